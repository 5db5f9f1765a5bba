package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/web/pages"
)

// recentFailures are the newest refused responses.
func (v *visit) recentFailures(query url.Values, most int) ([]pages.AdminFailure, error) {
	var got manageapi.Page[manageapi.DebugEntry]
	if err := v.get("/debug", query, &got); err != nil {
		return nil, err
	}
	var out []pages.AdminFailure
	for _, e := range got.Items {
		if !e.Success && len(out) < most {
			out = append(out, v.failureOf(e))
		}
	}
	return out, nil
}

func (v *visit) failureOf(e manageapi.DebugEntry) pages.AdminFailure {
	return pages.AdminFailure{Reference: e.Reference, At: pages.At(e.At), IdP: v.label(e.IdP), Kind: strings.ReplaceAll(e.ErrorType, "_", " "), Email: e.Email, Verified: e.Verified,
		Sentence: e.Sentence, Advice: e.Advice}
}

func (v *visit) failures() error {
	query := only(v.r.URL.Query(), "idp", "type")
	query.Set("limit", "200")
	list, err := v.recentFailures(query, 200)
	if err != nil {
		return err
	}
	return v.page("failures", pages.AdminFailures{Items: list, IdP: query.Get("idp"), IdPs: v.idps()})
}

// idps are the names to choose from.
func (v *visit) idps() []string {
	var names []string
	for _, c := range v.s.Snapshot.Connections {
		names = append(names, c.Name)
	}
	return names
}

func (v *visit) failure() error {
	var e manageapi.DebugEntry
	if err := v.get("/debug/"+url.PathEscape(v.r.PathValue("entry")), nil, &e); err != nil {
		return err
	}
	page := pages.AdminFailureDetails{AdminFailure: v.failureOf(e)}
	add := func(label, value string) {
		if value != "" {
			page.Facts = append(page.Facts, pages.TrustValue{Label: label, Value: value})
		}
	}
	add("Check", e.Check)
	add("Expected", e.Expected)
	add("Actual", e.Actual)
	add("Issuer", e.Issuer)
	if e.NameID != nil {
		add("NameID", e.NameID.Value)
	}
	add("Request", e.RequestID)
	add("Clock difference", e.ClockDifference)
	add("Address", e.IP)
	add("Browser", e.UserAgent)
	for _, name := range sortedNames(e.Attributes) {
		page.Attributes = append(page.Attributes, pages.SentAttribute{Label: name, Values: e.Attributes[name]})
	}
	return v.page("failures", page)
}

// auditParameters are what the page filters by.
var auditParameters = []string{"type", "actor", "idp", "outcome", "request", "days", "cursor"}

// auditQuery makes the API's parameters of the page's.
func (v *visit) auditQuery() (asked, query url.Values) {
	asked = only(v.r.URL.Query(), auditParameters...)
	if asked.Get("days") == "" {
		asked.Set("days", "7")
	}
	query = only(asked, "type", "actor", "idp", "outcome", "request", "cursor")
	days, err := time.ParseDuration(asked.Get("days") + "h")
	if err == nil && days > 0 {
		query.Set("since", v.Clock.Now().Add(-24*days).UTC().Format(time.RFC3339))
	}
	return asked, query
}

func (v *visit) audit() error {
	asked, query := v.auditQuery()
	query.Set("newest", "true")
	query.Set("limit", "100")
	var lines []json.RawMessage
	header, err := v.ask(http.MethodGet, "/audit", query, nil, &lines)
	if err != nil {
		return err
	}
	page := pages.AdminAudit{Type: asked.Get("type"), Actor: asked.Get("actor"), IdP: asked.Get("idp"), Outcome: asked.Get("outcome"),
		Request: asked.Get("request"), Days: asked.Get("days"), IdPs: v.idps()}
	for _, t := range audit.AllTypes() {
		page.Types = append(page.Types, t.String())
	}
	for _, line := range lines {
		var r audit.Entry
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		page.Records = append(page.Records, recordOf(r))
	}
	asked.Del("cursor")
	page.ExportURL = "/admin/audit/export?" + asked.Encode()
	page.NextURL = nextURL("/admin/audit", asked, header.Get(manageapi.NextCursorHeader))
	return v.page("audit", page)
}

func recordOf(r audit.Entry) pages.AdminRecord {
	out := pages.AdminRecord{At: pages.At(r.Time), Type: r.Type, Outcome: r.Outcome, Reason: strings.ReplaceAll(r.Reason, "_", " "), Request: r.Request, Who: r.Who()}
	if t, err := audit.ParseType(r.Type); err == nil {
		if n := audit.Counted(t, r.Details).Count; n > 0 {
			out.Reason += fmt.Sprintf(", %d more", n)
		}
	}
	if r.Target.Name != "" {
		out.What = r.Target.Kind + " " + r.Target.Name
	}
	return out
}

// export streams the records that the page's filters select, as lines of JSON exactly as they were hashed.
func (v *visit) export() error {
	_, query := v.auditQuery()
	query.Del("cursor")
	request, err := http.NewRequestWithContext(v.r.Context(), http.MethodGet, "/v1/audit/export?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	pages.Harden(v.w.Header())
	v.w.Header().Set("Content-Disposition", `attachment; filename="audit.ndjson"`)
	v.api.As(v.by, v.w, request)
	return nil
}
