// Package admin is the view in the browser for people in spec.admins: connections, recent failures, the audit log, people and sessions. It asks the
// management API in this process, on behalf of the person who looks, so that everything is checked and recorded as for `kubectl sso`.
package admin

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/web/management"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/site"
)

// maxForm bounds a form, in bytes.
const maxForm = 16 << 10

// Handler serves /admin. It is safe for concurrent use.
type Handler struct {
	*serve.Env
	api *management.Server
}

// New makes the handler.
func New(env *serve.Env, api *management.Server) *Handler { return &Handler{env, api} }

// Routes adds the paths to a mux.
func (h *Handler) Routes(handle func(pattern string, f func(http.ResponseWriter, *http.Request, *site.Site))) {
	for pattern, f := range map[string]func(*visit) error{
		"GET /admin":                            (*visit).overview,
		"GET /admin/people":                     (*visit).people,
		"GET /admin/people/{user}":              (*visit).person,
		"GET /admin/people/{user}/{action}":     (*visit).askPerson,
		"POST /admin/people/{user}/{action}":    (*visit).changePerson,
		"GET /admin/sessions":                   (*visit).sessions,
		"GET /admin/sessions/{session}/revoke":  (*visit).askSession,
		"POST /admin/sessions/{session}/revoke": (*visit).revokeSession,
		"GET /admin/failures":                   (*visit).failures,
		"GET /admin/failures/{entry}":           (*visit).failure,
		"GET /admin/audit":                      (*visit).audit,
		"GET /admin/audit/export":               (*visit).export,
	} {
		handle(pattern, func(w http.ResponseWriter, r *http.Request, s *site.Site) {
			v := h.admit(w, r, s)
			if v == nil {
				return
			}
			if err := f(v); err != nil {
				v.failed(err)
			}
		})
	}
}

// visit is one request of an administrator.
type visit struct {
	*Handler
	w    http.ResponseWriter
	r    *http.Request
	s    *site.Site
	by   provision.Caller
	mail string
}

// admit lets administrators in: signed in whole, vouched for by one of the IdPs whose word counts, in one of the groups. It answers everybody else.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request, s *site.Site) *visit {
	current, err := h.SignedIn(s, r.Header["Cookie"])
	switch {
	case errors.Is(err, session.ErrUnavailable):
		h.StoreFailed(w, s, metrics.Session, err)
		return nil
	case err != nil || current.SecondFactorPending:
		back := "/admin"
		if r.Method == http.MethodGet {
			back = r.URL.RequestURI()
		}
		http.Redirect(w, r, "/signin?"+url.Values{"rd": {back}}.Encode(), http.StatusSeeOther)
		return nil
	}
	who := serve.ClientOf(s, r)
	by := provision.Caller{
		Actor:   audit.Actor{Kind: audit.ActorUser, ID: current.UserID, Email: current.Email(), IP: who.IP, UserAgent: who.UserAgent},
		Request: serve.NewReference(),
	}
	settings := s.Snapshot.ServiceProvider
	if !current.InAnyGroup(settings.AdminGroups) || !slices.Contains(settings.AdminIdentityProviders, s.NameOf(current.IdP())) {
		h.denied(r, by)
		h.Page(w, s, http.StatusForbidden, pages.Message{Heading: "This page is for administrators", Sentence: "You are signed in, but you are not one of this service's administrators.",
			Reference: by.Request, Action: &pages.Link{URL: "/account", Label: "Your account"}})
		return nil
	}
	return &visit{Handler: h, w: w, r: r, s: s, by: by, mail: current.Email()}
}

// denied records who was turned away. They are signed in, but may come as often as any stranger.
func (h *Handler) denied(r *http.Request, by provision.Caller) {
	err := h.Strangers.Record(r.Context(), audit.Record{Type: audit.TypeUserAccessDenied, Outcome: audit.OutcomeDenied, Reason: "not_an_administrator",
		Actor: by.Actor, Request: by.Request, Target: audit.Target{Kind: "Path", Name: "/admin"}})
	if err != nil {
		h.Log.Error("the refusal of somebody who is not an administrator could not be recorded", "error", err)
	}
}

// page shows one page of the view. tab is the part of the navigation that it belongs to.
func (v *visit) page(tab string, p pages.AdminPage) error {
	v.Page(v.w, v.s, http.StatusOK, pages.Admin{Tab: tab, Email: v.mail, Inner: p})
	return nil
}

// failed says what the API did not like.
func (v *visit) failed(err error) {
	refused, ok := errors.AsType[*refusal](err)
	if !ok {
		v.StoreFailed(v.w, v.s, metrics.Admin, err)
		return
	}
	v.Page(v.w, v.s, refused.status, pages.Message{Heading: "That did not work", Sentence: refused.message, Action: &pages.Link{URL: "/admin", Label: "Back to the overview"}})
}
