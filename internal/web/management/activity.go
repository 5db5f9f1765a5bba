package management

import (
	"net/http"
	"strconv"
	"time"

	"sallyport.dev/sallyport/internal/manageapi"
)

// maxActivityHours bounds how far back activity is counted.
const maxActivityHours = 24 * 7

// activity counts sign-ins per hour and IdP, for charts.
func (m *Server) activity(w http.ResponseWriter, r *http.Request) error {
	hours := 24
	if given := r.URL.Query().Get("hours"); given != "" {
		n, err := strconv.Atoi(given)
		if err != nil || n < 1 || n > maxActivityHours {
			return status(http.StatusBadRequest, "hours %q is not a number from 1 to %d", given, maxActivityHours)
		}
		hours = n
	}
	first := m.Clock.Now().UTC().Truncate(time.Hour).Add(-time.Duration(hours-1) * time.Hour)
	counted, err := m.Store.SignInActivity(r.Context(), first)
	if err != nil {
		return err
	}
	report := manageapi.ActivityReport{First: first, Hours: hours, Items: []manageapi.Activity{}}
	at := map[string]int{}
	for _, c := range counted {
		i, known := at[c.IdP]
		if !known {
			i = len(report.Items)
			at[c.IdP] = i
			report.Items = append(report.Items, manageapi.Activity{IdP: c.IdP, SignIns: make([]int, hours), Failures: make([]int, hours)})
		}
		hour := int(c.Hour.Sub(first) / time.Hour)
		switch {
		case hour < 0 || hour >= hours:
		case c.Success:
			report.Items[i].SignIns[hour] += c.Count
		default:
			report.Items[i].Failures[hour] += c.Count
		}
	}
	return writeJSON(w, report)
}
