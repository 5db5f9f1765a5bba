package signin

import (
	"errors"
	"net/http"

	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/site"
)

// confirmBreakGlass asks before it uses the link: what only looks at links, such as a mail scanner, must not use it up.
func (h *Handler) confirmBreakGlass(w http.ResponseWriter, r *http.Request, s *site.Site) {
	secret := r.PathValue("secret")
	p, err := h.Store.Pending(r.Context(), provision.BreakGlassKey(secret))
	if errors.Is(err, store.ErrNotFound) {
		h.breakGlassOver(w, s)
		return
	}
	if err != nil {
		h.StoreFailed(w, s, metrics.BreakGlass, err)
		return
	}
	h.Page(w, s, http.StatusOK, pages.BreakGlass{Secret: secret, IssuedBy: p.RequestedBy, Expires: pages.At(p.ExpiresAt)})
}

func (h *Handler) breakGlassOver(w http.ResponseWriter, s *site.Site) {
	h.Page(w, s, http.StatusNotFound, pages.Message{Heading: "This link is no longer valid", Sentence: "It was used, or it is more than ten minutes old.",
		Advice: "Ask your administrator for a new one.", Action: &pages.Link{URL: "/signin", Label: "Sign in"}})
}

// breakGlass signs a person in without their IdP, once.
func (h *Handler) breakGlass(w http.ResponseWriter, r *http.Request, s *site.Site) {
	who, reference := serve.ClientOf(s, r), serve.NewReference()
	result, err := h.people.UseBreakGlass(r.Context(), r.PathValue("secret"), provision.BreakGlassUse{
		Client: provision.Client{IP: who.IP, UserAgent: who.UserAgent, Request: reference}, Admits: s.Admits, ReturnURL: s.Snapshot.ServiceProvider.URL + accountPath,
		RequireSecondFactor: func(idp store.IdPRef, enrolled bool) bool {
			if c := s.ConnectionByUID(idp.UID); c != nil {
				return c.Provisioning.RequireSecondFactor
			}
			return enrolled // their IdP is gone or broken, and can say nothing: that is what links are for
		},
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		h.breakGlassOver(w, s)
		return
	case errors.Is(err, provision.ErrNotAdmitted):
		h.Page(w, s, http.StatusForbidden, pages.Message{Heading: "We could not sign you in", Sentence: "Your account is suspended, or your identity provider is switched off.",
			Advice: "Ask your administrator and give them this reference.", Reference: reference})
		return
	case err != nil:
		h.StoreFailed(w, s, metrics.BreakGlass, err)
		return
	}
	h.Log.Warn("somebody signed in by a break-glass link", "reference", reference)
	serve.SetSession(w, s, result.Token, result.Session.ExpiresAt, h.Clock.Now())
	to := s.Snapshot.ServiceProvider.URL + accountPath
	if result.SecondFactorRequired {
		if h.secondFactor == "" {
			h.Page(w, s, http.StatusForbidden, pages.Message{Heading: "We could not sign you in", Sentence: "A second factor is required, but this service is set up without second factors.", Reference: reference})
			return
		}
		to = s.Snapshot.ServiceProvider.URL + h.secondFactor
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}
