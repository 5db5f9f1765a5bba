package signin

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/saml"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/tracing"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/site"
)

// verifyPatience is how long a response waits for its turn to be verified.
const verifyPatience = 10 * time.Second

// arrival is one response on its way through the pipeline.
type arrival struct {
	s   *site.Site
	c   *site.Connection
	who serve.Client
	// reference is what the person is shown, entry the debug entry's ID.
	reference, entry string
	response         string
	handle           string
	// pending is the request that it answers, nil when there is none. lost says that there is one, and the browser has no part in it.
	pending *store.Pending
	lost    bool
	back    string
	// span is the trace of it.
	span tracing.Span
}

// acs is the assertion consumer service (saml-profiles 4.1.4.3): docs/security/response-pipeline.md has the order of the rules.
func (h *Handler) acs(w http.ResponseWriter, r *http.Request, s *site.Site) {
	c := h.connection(w, r, s)
	if c == nil {
		return
	}
	a := &arrival{s: s, c: c, who: serve.ClientOf(s, r), reference: serve.NewReference(), entry: audit.NewID(h.Clock.Now())}
	r, a.span = h.Tracer.Request(r, "saml.acs", c.Name, s.Proxies.Trusted(r))
	defer a.span.End()
	read, err := h.takeIn(w, r, a)
	switch {
	case errors.Is(err, saml.ErrBusy):
		h.overloaded(w, a)
		return
	case err != nil:
		h.StoreFailed(w, s, metrics.Pending, err)
		return
	case read != nil:
		h.refuse(w, r, a, read)
		return
	}
	if a.pending != nil && a.pending.Test {
		h.finishTrial(w, r, a)
		return
	}
	assertion, refusal, err := h.verify(r.Context(), a)
	switch {
	case err != nil:
		h.overloaded(w, a)
	case refusal != nil && a.lost:
		h.recordRefusal(r.Context(), a, refusal)
		pages.Harden(w.Header())
		http.Redirect(w, r, "/signin/resume?"+url.Values{"ref": {a.reference}, "rd": {a.back}}.Encode(), http.StatusSeeOther)
	case refusal != nil:
		h.refuse(w, r, a, refusal)
	default:
		h.admit(w, r, a, assertion)
	}
}

// takeIn reads the form when there is room for it, and finds what it answers. The room is taken until then: where the store does not answer, bodies
// that wait for it are as bounded as those that are being read. The error is saml.ErrBusy where there is no room, and the store's otherwise.
func (h *Handler) takeIn(w http.ResponseWriter, r *http.Request, a *arrival) (*saml.Refusal, error) {
	leave, ok := h.intake.enter(neighbourhood(a.who.IP), bodyShares(r, a.s.MaxBody()))
	if !ok {
		return nil, saml.ErrBusy
	}
	defer leave()
	if refusal := h.read(w, r, a); refusal != nil {
		return refusal, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), verifyPatience)
	defer cancel()
	return nil, h.findPending(ctx, r, a)
}

// read takes the form (rule 1): a POST of one SAMLResponse and at most one RelayState, in a body of bounded size.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, a *arrival) *saml.Refusal {
	r.Body = http.MaxBytesReader(w, r.Body, a.s.MaxBody())
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return a.c.SAML.Refuse(saml.ReasonMalformed, "application/x-www-form-urlencoded", "another content type")
	}
	if err := r.ParseForm(); err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return a.c.SAML.Refuse(saml.ReasonLimitExceeded, fmt.Sprintf("a body of at most %d bytes", a.s.MaxBody()), "a larger body")
		}
		return a.c.SAML.Refuse(saml.ReasonMalformed, "a form", "a body that is none")
	}
	responses, relay := r.PostForm["SAMLResponse"], r.PostForm["RelayState"]
	if len(responses) != 1 || len(relay) > 1 {
		return a.c.SAML.Refuse(saml.ReasonMalformed, "one SAMLResponse", "none or several")
	}
	a.response = responses[0]
	a.handle = r.PostForm.Get("RelayState")
	return nil
}

// findPending finds the request that is answered (rule 2), by the handle in RelayState and the browser's own part of it. The connection of the path must
// be the one that was asked. Only an error means that the store could not say.
func (h *Handler) findPending(ctx context.Context, r *http.Request, a *arrival) error {
	a.back = a.s.Snapshot.ServiceProvider.URL + accountPath
	if !isSecret(a.handle) {
		// An unsolicited response may name a page to go to, within the allow-list (rule 11).
		if back, err := a.s.Returns.Check(a.handle); err == nil {
			a.back = back
		}
		return nil
	}
	p, err := h.Store.Pending(ctx, hash(a.handle))
	if errors.Is(err, store.ErrNotFound) || err == nil && (p.Connection != a.c.Name || p.IdPUID != a.c.UID) {
		return nil
	}
	if err != nil {
		return err
	}
	if back, err := a.s.Returns.Check(p.ReturnURL); err == nil {
		a.back = back
	}
	if !holds(r, a.handle, p) {
		a.lost = true
		return nil
	}
	a.pending = &p
	return nil
}

// verify runs rules 3 to 9, when it is this response's turn. An error means that its turn did not come.
func (h *Handler) verify(ctx context.Context, a *arrival) (*saml.Assertion, *saml.Refusal, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyPatience)
	defer cancel()
	release, err := h.turn(ctx, neighbourhood(a.who.IP), len(a.response))
	if err != nil {
		return nil, nil, err
	}
	defer release()
	if a.span.Recording() {
		ctx = saml.WithPhases(ctx, func(phase string) func() {
			_, span := tracing.Start(ctx, phase)
			return span.End
		})
	}
	assertion, refusal := a.c.SAML.Accept(ctx, a.response, a.samlPending(), h.Clock.Now())
	return assertion, refusal, nil
}

// samlPending is the request that is answered, as the pipeline knows it; nil for an unsolicited response.
func (a *arrival) samlPending() *saml.Pending {
	if a.pending == nil {
		return nil
	}
	return &saml.Pending{RequestID: a.pending.RequestID, Connection: a.pending.Connection, IssuedAt: a.pending.IssuedAt, Classes: a.pending.Classes,
		Comparison: a.pending.Comparison, ForceAuthn: a.pending.ForceAuthn}
}

// turn waits until a message of the client, of that size, may be verified; release says that it was. The error is saml.ErrBusy, or the context's.
func (h *Handler) turn(ctx context.Context, client string, size int) (release func(), err error) {
	pass, err := h.gate.Acquire(ctx, client, shares(int64(size)))
	if err != nil {
		return nil, err
	}
	started := time.Now()
	return func() {
		h.Metrics.Verification.Observe(time.Since(started).Seconds())
		pass()
	}, nil
}

// neighbourhood is what counts as one client: an IPv4 address, or the /64 that one IPv6 host can take any address of.
func neighbourhood(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Unmap().Is4() {
		return ip
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return ip
	}
	return prefix.String()
}

// admit runs rules 10 to 12 and signs the person in: replay guard, domain, user, session and audit record in one transaction.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request, a *arrival, assertion *saml.Assertion) {
	in := h.signInOf(r, a, assertion)
	result, err := h.people.SignIn(r.Context(), in)
	if rejection, ok := identity.AsRejection(err); ok {
		refusal := a.c.SAML.Refuse(saml.Reason(rejection.Reason), rejection.Expected, rejection.Actual)
		refusal.Sentence, refusal.XML, refusal.ClockDifference = rejection.Sentence, assertion.XML, assertion.ClockDifference
		h.debug(r.Context(), entryOf(a, refusal, assertion))
		h.count(a, saml.Reason(rejection.Reason))
		h.refusalPage(w, a, saml.Reason(rejection.Reason))
		return
	}
	if err != nil {
		a.span.Failed()
		h.StoreFailed(w, a.s, metrics.SignIn, err)
		return
	}
	if h.Clock.Now().Before(a.c.VerboseUntil) {
		h.debug(r.Context(), acceptedEntry(a, assertion, result.Person.FailedRules))
	}
	if result.SecondFactorRequired && h.secondFactor == "" {
		// The session waits for a step that this build does not have: it opens nothing.
		h.count(a, saml.ReasonSecondFactorFailed)
		h.refusalPage(w, a, saml.ReasonSecondFactorFailed)
		return
	}
	if !result.SecondFactorRequired {
		h.Metrics.SignIns.WithLabelValues(a.c.Name, "success", "").Inc()
		a.span.Outcome("", a.reference)
	}
	if a.pending != nil {
		clearPending(w, pendingName(a.handle))
	}
	rememberConnection(w, a.c)
	serve.SetSession(w, a.s, result.Token, result.Session.ExpiresAt, h.Clock.Now())
	switch {
	case result.SecondFactorRequired:
		h.leave(w, r, a.s, a.s.Snapshot.ServiceProvider.URL+h.secondFactor)
	default:
		h.leave(w, r, a.s, a.back)
	}
}

func (h *Handler) signInOf(r *http.Request, a *arrival, assertion *saml.Assertion) provision.SignIn {
	idp := store.IdPRef{UID: a.c.UID, Name: a.c.Name}
	in := provision.SignIn{
		Connection: provision.Connection{IdP: idp, Enabled: a.c.Enabled, Provisioning: a.c.Provisioning, Mapping: a.c.Mapping, Verbose: h.Clock.Now().Before(a.c.VerboseUntil)},
		Domains:    a.s.Domains, Profile: a.s.Snapshot.ServiceProvider.ProfileAttributes, Session: a.s.Snapshot.ServiceProvider.Session,
		Assertion: provision.Assertion{
			Input: identity.Input{
				NameID:     identity.NameID(assertion.NameID),
				Attributes: assertion.Values(),
			},
			ID: assertion.ID, ReplayUntil: assertion.ReplayUntil, SessionIndex: assertion.SessionIndex, SessionNotOnOrAfter: assertion.SessionNotOnOrAfter,
			AuthnContext: assertion.AuthnContextClass,
		},
		Client: provision.Client{IP: a.who.IP, UserAgent: a.who.UserAgent, Request: a.reference}, ReturnURL: a.back, DebugEntry: a.entry,
	}
	if a.pending != nil {
		in.PendingHandle = a.pending.HandleHash
		// A response is a form of another site, with which a browser sends no cookie that is Lax: the one of the beginning counts.
		if len(a.pending.Previous) == len(session.Key{}) {
			in.Previous = (*session.Key)(a.pending.Previous)
		}
	}
	if previous, ok := session.KeyOf(serve.Cookie(r, a.s.Cookie.Name)); ok {
		in.Previous = &previous
	}
	return in
}

// leave goes on after signing in. A Strict cookie is not sent on a navigation that another site began, redirects included: then the browser has to begin
// a new one from a page of ours.
func (h *Handler) leave(w http.ResponseWriter, r *http.Request, s *site.Site, to string) {
	if s.Cookie.SameSite != "Strict" {
		pages.Harden(w.Header())
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	w.Header().Set("Refresh", "0; url="+to)
	h.Page(w, s, http.StatusOK, pages.Message{Good: true, Heading: "You are signed in", Action: &pages.Link{URL: to, Label: "Continue"}})
}

func (h *Handler) overloaded(w http.ResponseWriter, a *arrival) {
	h.Log.Error("a response was not read or verified in time: too many at once", "idp", a.c.Name, "reference", a.reference)
	w.Header().Set("Retry-After", "5")
	h.Page(w, a.s, http.StatusServiceUnavailable, pages.Message{
		Heading: "Please try again in a moment", Sentence: "Very many people are signing in right now.", Reference: a.reference,
		Action: &pages.Link{URL: "/signin?rd=" + url.QueryEscape(a.back), Label: "Try again"},
	})
}
