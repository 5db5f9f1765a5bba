// Package signin is the way in and out: the sign-in page, requests to IdPs, the assertion consumer service, single logout, and the pages for the
// administrator at the other side.
package signin

import (
	"net/http"
	"runtime"

	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/saml"
	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/site"
	"sallyport.dev/sallyport/internal/web/trial"
)

// Options of New.
type Options struct {
	Env    *serve.Env
	People *provision.Service
	// SecondFactor is where the second step is done; empty where there is none.
	SecondFactor string
}

// Handler serves sign-in and sign-out. It is safe for concurrent use.
type Handler struct {
	*serve.Env
	people       *provision.Service
	secondFactor string
	// gate bounds how many messages are verified at once, so that a flood of bad ones leaves processors for everybody else, and serves
	// clients in turn, so that it leaves them a turn too.
	gate *saml.Gate
	// intake bounds the memory of bodies before that.
	intake *intake
}

// How many messages wait to be verified, in all and of one client, in shares: see shares.
const (
	maxWaiting          = 256
	maxWaitingPerClient = 32
)

// New makes the handler.
func New(o Options) *Handler {
	return &Handler{Env: o.Env, people: o.People, secondFactor: o.SecondFactor, gate: saml.NewGate(runtime.GOMAXPROCS(0)/2, maxWaiting, maxWaitingPerClient),
		intake: newIntake()}
}

// Routes adds the paths to a mux. handle wraps a handler that needs the site.
func (h *Handler) Routes(handle func(pattern string, f func(http.ResponseWriter, *http.Request, *site.Site))) {
	handle("GET /signin", h.signIn)
	handle("POST /signin", h.submit)
	handle("GET /signin/resume", h.resume)
	handle("GET "+trial.Path+"{secret}", h.tryConnection)
	handle("GET /signin/break-glass/{secret}", h.confirmBreakGlass)
	handle("POST /signin/break-glass/{secret}", h.breakGlass)
	handle("GET /saml/{idp}", h.trust)
	handle("GET /saml/{idp}/metadata", h.metadata)
	handle("POST /saml/{idp}/acs", h.acs)
	handle("GET /saml/{idp}/slo", h.logout)
	handle("POST /saml/{idp}/slo", h.logout)
	handle("GET /signout", h.confirmSignOut)
	handle("POST /signout", h.signOut)
	handle("GET /signed-out", h.signedOut)
	handle("GET "+elsewhereStart, h.startElsewhere)
	handle("GET "+elsewhereCallback, h.callbackElsewhere)
}

// connection finds the connection of the path, or answers 404.
func (h *Handler) connection(w http.ResponseWriter, r *http.Request, s *site.Site) *site.Connection {
	c := s.Connection(r.PathValue("idp"))
	if c == nil {
		h.Page(w, s, http.StatusNotFound, pages.Message{
			Heading: "There is nothing here", Sentence: "No identity provider has this address. It may have been renamed or removed.",
		})
	}
	return c
}

// send takes a SAML message to the IdP through the browser: by redirect, or by a form.
func (h *Handler) send(w http.ResponseWriter, r *http.Request, s *site.Site, redirectURL string, form pages.Post) {
	if redirectURL != "" {
		pages.Harden(w.Header())
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, redirectURL, http.StatusSeeOther)
		return
	}
	h.Page(w, s, http.StatusOK, form)
}
