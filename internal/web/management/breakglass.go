package management

import (
	"net/http"
	"strings"

	"sallyport.dev/sallyport/internal/manageapi"
)

// breakGlass makes such a link. It is recorded first.
func (m *Server) breakGlass(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Reason string `json:"reason"`
	}
	if err := body(r, &in); err != nil {
		return err
	}
	in.Reason = strings.ToValidUTF8(strings.TrimSpace(in.Reason), "")
	if in.Reason == "" {
		return status(http.StatusBadRequest, "a reason is missing: it goes into the record")
	}
	s := m.Sites.Current()
	if s == nil {
		return status(http.StatusServiceUnavailable, "no snapshot is served yet")
	}
	u, err := m.find(r)
	if err != nil {
		return err
	}
	_, domain, _ := strings.Cut(u.Email, "@")
	switch {
	case u.Suspended():
		return status(http.StatusConflict, "%s is suspended: `kubectl sso users resume %[1]s -n %[2]s` first", u.Email, s.Snapshot.ServiceProvider.Namespace)
	case !s.Admits(u.IdP.UID, domain):
		return status(http.StatusConflict, "the sessions of %s do not count: idp/%s is Disabled, or its domain is bound to another IdP; change that first", u.Email, u.IdP.Name)
	}
	secret, expires, err := m.people.BreakGlass(r.Context(), u, in.Reason, caller(r), m.Clock.Now())
	if err != nil {
		return err
	}
	m.Log.Warn("a break-glass link was created", "by", caller(r).Actor.ID)
	return writeJSON(w, manageapi.BreakGlassLink{URL: s.Snapshot.ServiceProvider.URL + "/signin/break-glass/" + secret, Expires: expires})
}
