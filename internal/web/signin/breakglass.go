package signin

import (
	"cmp"
	"errors"
	"net/http"
	"strings"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/identity"
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
		h.breakGlassOver(w, r, s)
		return
	}
	if err != nil {
		h.StoreFailed(w, s, metrics.BreakGlass, err)
		return
	}
	h.Page(w, s, http.StatusOK, pages.BreakGlass{Secret: secret, IssuedBy: p.RequestedBy, Expires: pages.At(p.ExpiresAt)})
}

// breakGlass signs a person in without their IdP, once.
func (h *Handler) breakGlass(w http.ResponseWriter, r *http.Request, s *site.Site) {
	who, reference := serve.ClientOf(s, r), serve.NewReference()
	result, err := h.people.UseBreakGlass(r.Context(), r.PathValue("secret"), provision.BreakGlassUse{
		Client: provision.Client{IP: who.IP, UserAgent: who.UserAgent, Request: reference}, Refuses: s.Refuses, ReturnURL: s.Snapshot.ServiceProvider.URL + accountPath,
		RequireSecondFactor: func(idp store.IdPRef, enrolled bool) bool {
			if c := s.ConnectionByUID(idp.UID); c != nil {
				return c.Provisioning.RequireSecondFactor
			}
			return enrolled // their IdP is gone or broken, and can say nothing: that is what links are for
		},
		SecondFactors: h.secondFactor != "",
	})
	refusal, refused := errors.AsType[*provision.BreakGlassRefusal](err)
	switch {
	case errors.Is(err, store.ErrNotFound):
		h.breakGlassOver(w, r, s)
		return
	case refused:
		h.breakGlassRefused(w, r, s, refusal, reference)
		return
	case err != nil:
		h.StoreFailed(w, s, metrics.BreakGlass, err)
		return
	}
	h.Metrics.BreakGlassUses.WithLabelValues("success", "").Inc()
	h.Log.Warn("somebody signed in by a break-glass link", "reference", reference)
	serve.SetSession(w, s, result.Token, result.Session.ExpiresAt, h.Clock.Now())
	to := accountPath
	if result.SecondFactorRequired {
		to = h.secondFactor
	}
	http.Redirect(w, r, s.Snapshot.ServiceProvider.URL+to, http.StatusSeeOther)
}

// breakGlassOver is for a link that is not there any more, and for what never was one: anybody can cause it, so that its records are rationed.
func (h *Handler) breakGlassOver(w http.ResponseWriter, r *http.Request, s *site.Site) {
	who, reference := serve.ClientOf(s, r), serve.NewReference()
	refusal := &provision.BreakGlassRefusal{Reason: identity.ReasonLinkNotValid}
	err := h.Strangers.Record(r.Context(), audit.Record{
		Type: audit.TypeSSOBreakGlass, Outcome: audit.OutcomeDenied, Reason: string(refusal.Reason), Request: reference,
		Actor: audit.Actor{Kind: audit.ActorUser, IP: who.IP, UserAgent: who.UserAgent}, Details: audit.BreakGlass{Step: "refused"},
	})
	if err != nil {
		h.Metrics.StoreFailed(metrics.WriteAudit)
		h.Log.Error("a refused break-glass link could not be recorded", "reference", reference, "error", err)
	}
	h.noteBreakGlass(r, s, refusal, reference)
	h.linkOver(w, s, reference)
}

func (h *Handler) linkOver(w http.ResponseWriter, s *site.Site, reference string) {
	h.Page(w, s, http.StatusNotFound, pages.Message{Heading: "This link is no longer valid", Sentence: "It was used, or it is more than ten minutes old.",
		Advice: "Ask your administrator for a new one. If that does not help, give them this reference.", Reference: reference, Action: &pages.Link{URL: "/signin", Label: "Sign in"}})
}

// breakGlassRefused answers for a link whose user may not come in. The audit record is written already.
func (h *Handler) breakGlassRefused(w http.ResponseWriter, r *http.Request, s *site.Site, refusal *provision.BreakGlassRefusal, reference string) {
	h.noteBreakGlass(r, s, refusal, reference)
	m := pages.Message{Heading: "We could not sign you in", Sentence: "Your account is suspended, or your identity provider is switched off.",
		Advice: "Ask your administrator and give them this reference.", Reference: reference}
	switch refusal.Reason {
	case identity.ReasonUserNotFound:
		h.linkOver(w, s, reference)
		return
	case identity.ReasonSecondFactorFailed:
		m.Sentence = "A second factor is required, but this service is set up without second factors."
	}
	h.Page(w, s, http.StatusForbidden, m)
}

// noteBreakGlass writes the debug entry, the metric and the log of a link that was refused.
func (h *Handler) noteBreakGlass(r *http.Request, s *site.Site, refusal *provision.BreakGlassRefusal, reference string) {
	h.Metrics.BreakGlassUses.WithLabelValues("failure", string(refusal.Reason)).Inc()
	h.Log.Info("a break-glass link was refused", "reference", reference, "reason", refusal.Reason)
	who, text := serve.ClientOf(s, r), breakGlassTexts[refusal.Reason]
	names := strings.NewReplacer("{address}", cmp.Or(refusal.User.Email, "ADDRESS"), "{idp}", refusal.User.IdP.Name, "{in}", " -n "+s.Snapshot.ServiceProvider.Namespace)
	h.debug(r.Context(), store.DebugEntry{
		ID: audit.NewID(h.Clock.Now()), Reference: reference, IdP: refusal.User.IdP, Email: refusal.User.Email, Verified: refusal.User.Email != "", IP: who.IP, UserAgent: who.UserAgent,
		ErrorType: string(refusal.Reason), Sentence: text.what + "\n" + names.Replace(text.advice),
	})
}

// breakGlassTexts say of each of provision.BreakGlassReasons what was wrong, and what to do.
var breakGlassTexts = map[identity.Reason]struct{ what, advice string }{
	identity.ReasonLinkNotValid: {"The break-glass link was used or refused before, is more than ten minutes old, or never was one.",
		"Make a new one: kubectl sso break-glass {address} --reason TEXT{in}."},
	identity.ReasonUserNotFound: {"The user of the break-glass link was deleted after it was made.",
		"kubectl sso users list{in} lists the users that there are; a link needs one."},
	identity.ReasonUserSuspended: {"The user of the break-glass link is suspended.",
		"kubectl sso users show {address}{in} says since when and why. After kubectl sso users resume {address}{in}, make a new link."},
	identity.ReasonIdPDisabled: {"The identity provider of the user is disabled or deleted, and sessions of it do not count.",
		"Set spec.state of idp/{idp} to Enabled, then make a new link."},
	identity.ReasonDomainNotBound: {"The domain of the user's address is bound to another identity provider, and sessions of theirs do not count.",
		"Bind it to idp/{idp} again and make a new link, or let the person sign in at the identity provider that it is bound to."},
	identity.ReasonSecondFactorFailed: {"A second factor is required, but this service provider is set up without second factors.",
		"Start it with --second-factor-key-file, or set spec.provisioning.secondFactor of idp/{idp} so that it requires none; then make a new link."},
}
