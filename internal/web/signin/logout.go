package signin

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/saml"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/site"
)

const (
	// logoutCookie carries what the IdP's answer to our LogoutRequest must name, and where to go after: request ID "." return URL in base64.
	logoutCookie   = "__Host-sso-out"
	logoutLifetime = 300
	signedOutPath  = "/signed-out"
)

// confirmSignOut asks before it signs out: a link must not.
func (h *Handler) confirmSignOut(w http.ResponseWriter, r *http.Request, s *site.Site) {
	page := pages.SignOut{Return: r.URL.Query().Get("rd")}
	current, err := h.SignedIn(s, r.Header["Cookie"])
	if err == nil {
		page.Email = current.Email()
	}
	page.Nobody = errors.Is(err, session.ErrNone)
	h.Page(w, s, http.StatusOK, page)
}

// signOut ends the local session first; what the IdP does after cannot stop that.
func (h *Handler) signOut(w http.ResponseWriter, r *http.Request, s *site.Site) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	back := ""
	if r.ParseForm() == nil && r.PostForm.Get("rd") != "" {
		if checked, err := s.Returns.Check(r.PostForm.Get("rd")); err == nil {
			back = checked
		}
	}
	current, err := h.SignedIn(s, r.Header["Cookie"])
	serve.ClearSession(w, s)
	if errors.Is(err, session.ErrUnavailable) {
		h.StoreFailed(w, s, metrics.SignOut, err)
		return
	}
	if err != nil {
		h.afterSignOut(w, r, s, back)
		return
	}
	who := serve.ClientOf(s, r)
	ended, err := h.people.SignOut(r.Context(), current.Key, provision.Caller{
		Actor:   audit.Actor{Kind: audit.ActorUser, ID: current.UserID, Email: current.Email(), IP: who.IP, UserAgent: who.UserAgent},
		Request: serve.NewReference(),
	})
	h.Sessions.Forget(current.Key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		h.afterSignOut(w, r, s, back)
	case err != nil:
		h.StoreFailed(w, s, metrics.SignOut, err)
	default:
		h.signOutAtIdP(w, r, s, ended, back)
	}
}

// signOutAtIdP asks the IdP to end its session too, where it speaks single logout.
func (h *Handler) signOutAtIdP(w http.ResponseWriter, r *http.Request, s *site.Site, ended store.EndedSession, back string) {
	c := s.ConnectionByUID(ended.IdP.UID)
	if c == nil || !c.SAML.CanLogout() {
		h.afterSignOut(w, r, s, back)
		return
	}
	var indexes []string
	if ended.SessionIndex != "" {
		indexes = []string{ended.SessionIndex}
	}
	message, err := c.SAML.NewLogoutRequest(h.Clock.Now(), saml.NameID(ended.NameID), indexes, "")
	if err != nil {
		h.Log.Error("the logout request could not be created", "idp", c.Name, "error", err)
		h.afterSignOut(w, r, s, back)
		return
	}
	http.SetCookie(w, outCookie(message.ID+"."+base64.RawURLEncoding.EncodeToString([]byte(back)), logoutLifetime))
	h.sendMessage(w, r, s, c, message)
}

func outCookie(value string, maxAge int) *http.Cookie {
	return &http.Cookie{Name: logoutCookie, Value: value, Path: "/", MaxAge: maxAge, Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode}
}

func (h *Handler) sendMessage(w http.ResponseWriter, r *http.Request, s *site.Site, c *site.Connection, m *saml.Message) {
	h.send(w, r, s, m.RedirectURL, pages.Post{Heading: "Signing out at " + c.Label(), Action: m.PostURL, Field: m.Field, Message: m.Value, RelayState: m.RelayState})
}

func (h *Handler) afterSignOut(w http.ResponseWriter, r *http.Request, _ *site.Site, back string) {
	if back == "" {
		back = signedOutPath
	}
	pages.Harden(w.Header())
	http.Redirect(w, r, back, http.StatusSeeOther)
}

func (h *Handler) signedOut(w http.ResponseWriter, r *http.Request, s *site.Site) {
	m := pages.Message{
		Good: true, Heading: "You are signed out",
		Sentence: "This session has ended for every application that used it.",
		Action:   &pages.Link{URL: "/signin?other=1", Label: "Sign in again"},
	}
	if name := r.URL.Query().Get("partial"); name != "" {
		if c := s.Connection(name); c != nil {
			m.Advice = c.Label() + " may still have a session of its own. Close the browser to be sure, above all on a shared computer."
		}
	}
	h.Page(w, s, http.StatusOK, m)
}

// logout takes messages of the IdP on the single logout URL (saml-profiles 4.4): its request to end sessions, or its answer to ours.
func (h *Handler) logout(w http.ResponseWriter, r *http.Request, s *site.Site) {
	c := h.connection(w, r, s)
	if c == nil {
		return
	}
	client := neighbourhood(serve.ClientOf(s, r).IP)
	in, isRequest, err := h.incoming(w, r, s, client)
	if errors.Is(err, saml.ErrBusy) {
		h.logoutOverloaded(w, s, c)
		return
	}
	if err != nil {
		h.refuseLogout(w, r, s, c, c.SAML.Refuse(saml.ReasonMalformed, "one SAMLRequest or SAMLResponse", "none, both or several"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), verifyPatience)
	defer cancel()
	release, err := h.turn(ctx, client, len(in.Value)+len(in.RawQuery))
	if err != nil {
		h.logoutOverloaded(w, s, c)
		return
	}
	if isRequest {
		request, refusal := c.SAML.AcceptLogoutRequest(in, h.Clock.Now())
		release()
		h.logoutRequest(w, r, s, c, request, refusal)
		return
	}
	id, back := h.sentLogout(w, r, s)
	answer, refusal := c.SAML.AcceptLogoutResponse(in, id, h.Clock.Now())
	release()
	h.logoutAnswer(w, r, s, c, answer, refusal, back)
}

// logoutOverloaded answers a message whose turn did not come. It ended nothing.
func (h *Handler) logoutOverloaded(w http.ResponseWriter, s *site.Site, c *site.Connection) {
	h.Log.Error("a logout message was not read or verified in time: too many at once", "idp", c.Name)
	w.Header().Set("Retry-After", "5")
	h.Page(w, s, http.StatusServiceUnavailable, pages.Message{
		Heading: "Please try again in a moment", Sentence: "Very many messages are arriving right now.", Action: &pages.Link{URL: "/signout", Label: "Sign out"}})
}

// errMessages says that a logout came with no message, or with several.
var errMessages = errors.New("not one SAMLRequest or SAMLResponse")

// incoming reads exactly one message, from the query with GET and from the body with POST: saml.ErrBusy when there is no room for that.
func (h *Handler) incoming(w http.ResponseWriter, r *http.Request, s *site.Site, client string) (in saml.Incoming, isRequest bool, err error) {
	var values url.Values
	if r.Method == http.MethodGet {
		in.Binding, in.RawQuery = snapshot.BindingRedirect, r.URL.RawQuery
		if int64(len(r.URL.RawQuery)) > s.MaxBody() {
			return in, false, errMessages
		}
		if values, err = url.ParseQuery(r.URL.RawQuery); err != nil {
			return in, false, errMessages
		}
	} else {
		leave, ok := h.intake.enter(client, bodyShares(r, s.MaxBody()))
		if !ok {
			return in, false, saml.ErrBusy
		}
		defer leave()
		r.Body = http.MaxBytesReader(w, r.Body, s.MaxBody())
		if err := r.ParseForm(); err != nil {
			return in, false, errMessages
		}
		in.Binding, values = snapshot.BindingPOST, r.PostForm
	}
	requests, responses, relay := values["SAMLRequest"], values["SAMLResponse"], values["RelayState"]
	if len(requests)+len(responses) != 1 || len(relay) > 1 {
		return in, false, errMessages
	}
	in.RelayState = values.Get("RelayState")
	in.Value = append(requests, responses...)[0]
	return in, len(requests) == 1, nil
}

// logoutRequest ends the sessions that a verified request of the IdP names, on every replica, and answers it.
func (h *Handler) logoutRequest(w http.ResponseWriter, r *http.Request, s *site.Site, c *site.Connection, request *saml.LogoutRequest, refusal *saml.Refusal) {
	if refusal != nil {
		h.refuseLogout(w, r, s, c, refusal)
		return
	}
	ended, err := h.endSessions(r, s, c, request)
	switch {
	case errors.Is(err, store.ErrReplayed):
		h.refuseLogout(w, r, s, c, c.SAML.Refuse(saml.ReasonReplayed, "a new request ID", request.ID))
		return
	case err != nil:
		h.StoreFailed(w, s, metrics.Logout, err)
		return
	}
	for _, e := range ended {
		h.Sessions.Forget(session.Key(e.TokenHash))
	}
	// The cookie is worth nothing any more if it was one of these; if it was not, it stays.
	if _, err := h.SignedIn(s, r.Header["Cookie"]); errors.Is(err, session.ErrNone) && serve.Cookie(r, s.Cookie.Name) != "" {
		serve.ClearSession(w, s)
	}
	h.Metrics.Logouts.WithLabelValues(c.Name, "idp", "success").Inc()
	answer, err := c.SAML.NewLogoutResponse(h.Clock.Now(), request.ID, request.Binding, saml.StatusSuccess, request.RelayState)
	if err != nil {
		h.Log.Error("the logout response could not be created", "idp", c.Name, "error", err)
		http.Redirect(w, r, signedOutPath, http.StatusSeeOther)
		return
	}
	h.sendMessage(w, r, s, c, answer)
}

// endSessions ends what the request names, and remembers it, so that a copy of it ends nothing more.
func (h *Handler) endSessions(r *http.Request, s *site.Site, c *site.Connection, request *saml.LogoutRequest) ([]store.EndedSession, error) {
	id, who := store.NameID(request.NameID), serve.ClientOf(s, r)
	by := provision.Caller{Actor: audit.Actor{Kind: audit.ActorIdP, ID: c.Name, IP: who.IP, UserAgent: who.UserAgent}, Request: serve.NewReference()}
	named := store.SessionMatch{IdPUID: c.UID, NameID: &id, SessionIndexes: request.SessionIndexes}
	ended, err := h.people.RevokeOnce(r.Context(), named, "slo", by, func(tx store.Tx) error {
		return tx.RememberAssertion(c.UID, "logout:"+request.ID, request.ReplayUntil)
	})
	all := ended
	for err == nil && len(ended) >= provision.RevokeBatch {
		ended, err = h.people.Revoke(r.Context(), named, "slo", by)
		all = append(all, ended...)
	}
	return all, err
}

// sentLogout reads and clears what this browser was given with our request: the request's ID, and where the person wanted to go.
func (h *Handler) sentLogout(w http.ResponseWriter, r *http.Request, s *site.Site) (id, back string) {
	id, encoded, _ := strings.Cut(serve.Cookie(r, logoutCookie), ".")
	http.SetCookie(w, outCookie("", -1))
	if raw, err := base64.RawURLEncoding.DecodeString(encoded); err == nil && len(raw) > 0 {
		if checked, err := s.Returns.Check(string(raw)); err == nil {
			back = checked
		}
	}
	return id, back
}

// logoutAnswer takes the IdP's answer to our request. The local session has ended long since, whatever it says.
func (h *Handler) logoutAnswer(w http.ResponseWriter, r *http.Request, s *site.Site, c *site.Connection, answer *saml.LogoutResponse, refusal *saml.Refusal, next string) {
	outcome := "success"
	if refusal != nil || !answer.Success {
		outcome, next = "failure", signedOutPath+"?partial="+url.QueryEscape(c.Name)
	}
	if refusal != nil {
		h.Log.Warn("the answer to a logout request was refused", "idp", c.Name, "reason", refusal.Reason, "check", refusal.Check)
	}
	h.Metrics.Logouts.WithLabelValues(c.Name, "sp", outcome).Inc()
	h.afterSignOut(w, r, s, next)
}

// refuseLogout ends nothing, says so, and records it.
func (h *Handler) refuseLogout(w http.ResponseWriter, r *http.Request, s *site.Site, c *site.Connection, refusal *saml.Refusal) {
	h.Metrics.Logouts.WithLabelValues(c.Name, "idp", "failure").Inc()
	a := &arrival{s: s, c: c, who: serve.ClientOf(s, r), reference: serve.NewReference(), entry: audit.NewID(h.Clock.Now())}
	h.debug(r.Context(), entryOf(a, refusal, nil))
	h.auditRefusal(r.Context(), a, refusal)
	h.Page(w, s, http.StatusForbidden, pages.Message{
		Heading: "Nothing was signed out", Sentence: c.Label() + " sent a message that we could not accept.",
		Advice: "You can sign out here yourself. If this happens again, give your administrator this reference.", Reference: a.reference,
		Action: &pages.Link{URL: "/signout", Label: "Sign out"},
	})
}
