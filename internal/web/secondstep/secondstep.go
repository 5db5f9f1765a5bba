// Package secondstep is the page of the second factor: proving it after SAML, enrolling on first use, and managing what is enrolled.
// Everything works without scripts but passkeys, which browsers give to scripts only.
package secondstep

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/saml"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/session/secondfactor"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/site"
)

// Path is where a second factor is proved.
const Path = "/second-factor"

// maxForm bounds the body of a form, in bytes: the answer of an authenticator is the largest.
const maxForm = 64 << 10

// Handler serves Path. It is safe for concurrent use.
type Handler struct {
	*serve.Env
	// service is of the site's own host and changes with it; nil where there is no key.
	service func() *secondfactor.Service
}

// New makes the handler.
func New(env *serve.Env, service func() *secondfactor.Service) *Handler {
	return &Handler{Env: env, service: service}
}

// Routes adds the paths to a mux.
func (h *Handler) Routes(handle func(pattern string, f func(http.ResponseWriter, *http.Request, *site.Site))) {
	step := func(pattern string, f func(*visit)) {
		handle(pattern, func(w http.ResponseWriter, r *http.Request, s *site.Site) {
			if v := h.visit(w, r, s); v != nil {
				f(v)
			}
		})
	}
	step("GET "+Path, (*visit).show)
	step("POST "+Path+"/verify", (*visit).verify)
	step("POST "+Path+"/app", (*visit).beginApp)
	step("POST "+Path+"/app/confirm", (*visit).confirmApp)
	step("POST "+Path+"/passkey/begin", (*visit).beginPasskey)
	step("POST "+Path+"/passkey/enrol", (*visit).enrolPasskey)
	step("POST "+Path+"/passkey/verify", (*visit).verifyPasskey)
	step("POST "+Path+"/remove", (*visit).remove)
	step("POST "+Path+"/codes", (*visit).newCodes)
}

// visit is one request of somebody who has a session, waiting or full.
type visit struct {
	h       *Handler
	w       http.ResponseWriter
	r       *http.Request
	s       *site.Site
	current *session.Session
	service *secondfactor.Service
	by      secondfactor.By
}

func (h *Handler) visit(w http.ResponseWriter, r *http.Request, s *site.Site) *visit {
	service := h.service()
	if service == nil {
		h.Page(w, s, http.StatusNotFound, pages.Message{Heading: "There is no second factor here", Sentence: "This service provider is set up without second factors.",
			Action: &pages.Link{URL: "/account", Label: "Your account"}})
		return nil
	}
	current, err := h.SignedIn(s, r.Header["Cookie"])
	switch {
	case errors.Is(err, session.ErrUnavailable):
		h.StoreFailed(w, s, metrics.Session, err)
		return nil
	case err != nil:
		http.Redirect(w, r, "/signin?"+url.Values{"rd": {Path}}.Encode(), http.StatusSeeOther)
		return nil
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Redirect(w, r, Path, http.StatusSeeOther)
		return nil
	}
	who := serve.ClientOf(s, r)
	return &visit{h: h, w: w, r: r, s: s, current: current, service: service, by: secondfactor.By{
		Actor:   audit.Actor{Kind: audit.ActorUser, ID: current.UserID, Email: current.Email(), IP: who.IP, UserAgent: who.UserAgent},
		Request: serve.NewReference(),
	}}
}

func (v *visit) form(name string) string { return v.r.PostForm.Get(name) }

// show is what there is to do: prove a factor, enrol the first one, or manage them.
func (v *visit) show() { v.page(http.StatusOK, "", "") }

func (v *visit) page(status int, fault, notice string) {
	factors, codes, err := v.service.Factors(v.r.Context(), v.current.UserID)
	if err != nil {
		v.h.StoreFailed(v.w, v.s, metrics.SecondFactor, err)
		return
	}
	page := pages.SecondStep{Email: v.current.Email(), Fault: fault, Notice: notice, RecoveryCodes: codes}
	switch {
	case v.current.SecondFactorPending && len(factors) > 0:
		page.Verify = true
	case v.current.SecondFactorPending:
		page.Enrol = true
	}
	for _, f := range factors {
		page.HasPasskey = page.HasPasskey || f.Kind == store.FactorPasskey
		page.HasApp = page.HasApp || f.Kind == store.FactorTOTP
		page.Factors = append(page.Factors, pages.NewFactor(f.ID, f.Kind == store.FactorPasskey, f.Label, f.CreatedAt, f.LastUsedAt))
	}
	v.h.Page(v.w, v.s, status, page)
}

// verify takes a code of an app, or a recovery code.
func (v *visit) verify() {
	result, err := v.service.VerifyCode(v.r.Context(), v.current.Key, strings.TrimSpace(v.form("code")), v.by)
	if v.failed(err, "That code is not right. Codes change every 30 seconds, and each works once.") {
		return
	}
	v.passed(result)
}

// passed goes on to where the person wanted to go at first, with the session's new cookie; recovery codes are shown on the way.
func (v *visit) passed(result *secondfactor.Result) {
	next := v.s.Snapshot.ServiceProvider.URL + "/account"
	if result.Token != "" {
		v.h.Sessions.Forget(v.current.Key)
		serve.SetSession(v.w, v.s, result.Token, result.Session.ExpiresAt, v.h.Clock.Now())
		v.h.Metrics.SignIns.WithLabelValues(v.s.NameOf(result.Session.IdP), "success", "").Inc()
		if back, err := v.s.Returns.Check(result.Session.ReturnURL); err == nil {
			next = back
		}
	} else if len(result.RecoveryCodes) == 0 {
		next = v.s.Snapshot.ServiceProvider.URL + Path
	}
	if len(result.RecoveryCodes) > 0 {
		v.h.Page(v.w, v.s, http.StatusOK, pages.RecoveryCodes{Codes: result.RecoveryCodes, Next: next})
		return
	}
	pages.Harden(v.w.Header())
	http.Redirect(v.w, v.r, next, http.StatusSeeOther)
}

// failed answers an error; false means that there was none.
func (v *visit) failed(err error, wrong string) bool {
	throttled, isThrottled := errors.AsType[*secondfactor.ThrottledError](err)
	switch {
	case err == nil:
		return false
	case isThrottled:
		v.w.Header().Set("Retry-After", "30")
		v.page(http.StatusTooManyRequests, "Too many attempts. Try again after "+throttled.Until.UTC().Format("15:04:05")+" UTC.", "")
	case errors.Is(err, secondfactor.ErrWrong):
		v.h.Metrics.SignIns.WithLabelValues(v.s.NameOf(v.current.IdP()), "failure", string(saml.ReasonSecondFactorFailed)).Inc()
		v.page(http.StatusUnprocessableEntity, wrong, "")
	case errors.Is(err, secondfactor.ErrNotEnrolled):
		v.page(http.StatusUnprocessableEntity, "This second factor is not set up for your account.", "")
	case errors.Is(err, secondfactor.ErrVerifyFirst):
		v.page(http.StatusForbidden, "Use a second factor that you have already set up first.", "")
	case errors.Is(err, secondfactor.ErrNoSession):
		http.Redirect(v.w, v.r, "/signin", http.StatusSeeOther)
	default:
		v.h.StoreFailed(v.w, v.s, metrics.SecondFactor, err)
	}
	return true
}

func (v *visit) remove() {
	err := v.service.Remove(v.r.Context(), v.current.Key, v.form("id"), v.by)
	if !v.failed(err, "") {
		v.page(http.StatusOK, "", "The second factor was removed.")
	}
}

func (v *visit) newCodes() {
	codes, err := v.service.NewRecoveryCodes(v.r.Context(), v.current.Key, v.by)
	if !v.failed(err, "") {
		v.h.Page(v.w, v.s, http.StatusOK, pages.RecoveryCodes{Codes: codes, Next: v.s.Snapshot.ServiceProvider.URL + Path})
	}
}

// beginPasskey answers the page's script: what to hand to the browser, and the state that comes back with the answer.
func (v *visit) beginPasskey() {
	begin := v.service.BeginPasskey
	if v.form("for") == "verify" {
		begin = v.service.BeginVerifyPasskey
	}
	ceremony, err := begin(v.r.Context(), v.current.Key)
	v.w.Header().Set("Content-Type", "application/json")
	v.w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		v.h.Log.Info("a passkey ceremony did not begin", "error", err)
		v.w.WriteHeader(http.StatusConflict)
		v.w.Write([]byte("{}")) //nolint:errcheck // the client went away
		return
	}
	json.NewEncoder(v.w).Encode(map[string]any{"options": ceremony.Options, "state": ceremony.State}) //nolint:errcheck // the client went away
}

func (v *visit) enrolPasskey() {
	result, err := v.service.FinishPasskey(v.r.Context(), v.current.Key, v.form("state"), []byte(v.form("response")), label(v.form("label"), "Passkey"), v.by)
	if !v.failed(err, "The passkey was not accepted. Try again.") {
		v.passed(result)
	}
}

func (v *visit) verifyPasskey() {
	result, err := v.service.VerifyPasskey(v.r.Context(), v.current.Key, v.form("state"), []byte(v.form("response")), v.by)
	if !v.failed(err, "The passkey was not accepted. Try again, or use a code.") {
		v.passed(result)
	}
}

// label is the person's own name for a factor, at most 64 characters.
func label(given, otherwise string) string {
	given = strings.Join(strings.Fields(strings.ToValidUTF8(given, "")), " ")
	if given == "" {
		return otherwise
	}
	if runes := []rune(given); len(runes) > 64 {
		return string(runes[:64])
	}
	return given
}
