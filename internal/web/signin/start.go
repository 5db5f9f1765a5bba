package signin

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/saml"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/returnurl"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/site"
)

// accountPath is where people land who did not ask for anything.
const accountPath = "/account"

// maxForm bounds the body of the sign-in form, in bytes.
const maxForm = 32 << 10

// ask is what somebody asks for on the sign-in page.
type ask struct {
	// back was checked. asked says that somebody asked for it.
	back  string
	asked bool
	// idp and email choose the connection; other asks for the choice even where it is known.
	idp, email string
	other      bool
}

func (h *Handler) signIn(w http.ResponseWriter, r *http.Request, s *site.Site) {
	rd, query := returnurl.FromQuery(r.URL.RawQuery)
	a := ask{idp: query.Get("idp"), email: query.Get("login_hint"), other: query.Has("other")}
	if !h.checkReturn(w, s, rd, &a) {
		return
	}
	if withheld(s, r) {
		h.askAgain(w, s, "/signin", a.values())
		return
	}
	current, err := h.SignedIn(s, r.Header["Cookie"])
	switch {
	case err == nil && current.SecondFactorPending && h.secondFactor != "":
		http.Redirect(w, r, h.secondFactor, http.StatusSeeOther)
	case err == nil && !current.SecondFactorPending:
		h.goBack(w, r, s, current, a.back)
	case errors.Is(err, session.ErrUnavailable):
		h.StoreFailed(w, s, metrics.Session, err)
	default:
		h.route(w, r, s, a)
	}
}

// submit takes the form of the sign-in page. It comes from our own page only: the server checks Sec-Fetch-Site and Origin.
func (h *Handler) submit(w http.ResponseWriter, r *http.Request, s *site.Site) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		h.Page(w, s, http.StatusBadRequest, pages.Message{Heading: "Please try again", Sentence: "The form was incomplete.", Action: &pages.Link{URL: "/signin", Label: "Sign in"}})
		return
	}
	a := ask{idp: r.PostForm.Get("idp"), email: r.PostForm.Get("email")}
	if !h.checkReturn(w, s, r.PostForm.Get("rd"), &a) {
		return
	}
	if a.idp == "" && a.email == "" {
		h.form(w, s, a, "Enter your work e-mail address.")
		return
	}
	h.route(w, r, s, a)
}

// checkReturn holds the return URL against the allow-list, or answers 400.
func (h *Handler) checkReturn(w http.ResponseWriter, s *site.Site, rd string, a *ask) bool {
	back, err := s.Returns.Check(cmp.Or(rd, accountPath))
	if err != nil {
		reference := serve.NewReference()
		h.Log.Warn("a return URL was refused", "reference", reference, "error", err)
		h.Page(w, s, http.StatusBadRequest, pages.Message{
			Heading:   "This link cannot be used to sign in",
			Sentence:  "It leads to an address that this service does not return to.",
			Advice:    "Open the application and sign in from there. If it happens again, give your administrator this reference.",
			Reference: reference,
			Action:    &pages.Link{URL: accountPath, Label: "Your account"},
		})
		return false
	}
	a.back, a.asked = back, rd != ""
	return true
}

// route finds the connection, in the order: named, by the typed address, remembered, the only one. What is left is asked for.
// The answer depends on domains alone, never on whether a person is known.
func (h *Handler) route(w http.ResponseWriter, r *http.Request, s *site.Site, a ask) {
	usable := s.Usable()
	switch {
	case len(usable) == 0:
		h.Page(w, s, http.StatusServiceUnavailable, pages.Message{
			Heading: "Nobody can sign in right now", Sentence: "Every identity provider is switched off, or none is ready yet.", Advice: "Ask your administrator, or come back in a moment."})
	case a.idp != "":
		if c := s.Connection(a.idp); c != nil && c.Usable() {
			h.begin(w, r, s, c, a)
			return
		}
		h.choose(w, r, s, ask{back: a.back, asked: a.asked, other: true}, "That way of signing in is not available. Choose another.")
	case a.email != "":
		h.byAddress(w, r, s, a)
	case len(usable) == 1 && s.Domains.Empty():
		h.begin(w, r, s, usable[0], a)
	default:
		h.choose(w, r, s, a, "")
	}
}

// byAddress follows the binding of the address's domain.
func (h *Handler) byAddress(w http.ResponseWriter, r *http.Request, s *site.Site, a ask) {
	address, err := identity.NormaliseAddress(a.email)
	if err != nil {
		h.form(w, s, a, "Enter an e-mail address such as name@example.com.")
		return
	}
	name, _, ok := s.Domains.Route(address)
	if !ok && s.Domains.Empty() {
		// Without bindings no address leads anywhere: the person chooses.
		if usable := s.Usable(); len(usable) == 1 {
			h.begin(w, r, s, usable[0], a)
			return
		}
		h.choose(w, r, s, ask{back: a.back, asked: a.asked, other: true}, "")
		return
	}
	c := s.Connection(name)
	switch {
	case !ok:
		h.form(w, s, a, "No sign-in is set up for addresses at "+address.Domain+". Check the address, or ask your administrator.")
	case c == nil || !c.Usable():
		h.form(w, s, a, "Signing in for addresses at "+address.Domain+" is not available right now. Ask your administrator.")
	default:
		a.email = address.String()
		h.begin(w, r, s, c, a)
	}
}

// choose shows what was used last, or the e-mail field, or, where no domain is bound, the connections themselves.
func (h *Handler) choose(w http.ResponseWriter, r *http.Request, s *site.Site, a ask, notice string) {
	page := pages.SignIn{Return: a.back, Destination: destination(s, a), Notice: notice}
	if last := s.Connection(serve.Cookie(r, lastCookie)); last != nil && last.Usable() && !a.other {
		page.Remembered = &pages.Choice{Name: last.Name, DisplayName: last.Label()}
		page.OtherURL = "/signin?" + url.Values{"other": {"1"}, "rd": {a.back}}.Encode()
	} else if s.Domains.Empty() {
		for _, c := range s.Usable() {
			page.Choices = append(page.Choices, pages.Choice{Name: c.Name, DisplayName: c.Label()})
		}
	}
	h.Page(w, s, http.StatusOK, page)
}

// form shows the e-mail field again, with what is wrong.
func (h *Handler) form(w http.ResponseWriter, s *site.Site, a ask, fault string) {
	h.Page(w, s, http.StatusUnprocessableEntity, pages.SignIn{Return: a.back, Destination: destination(s, a), Email: a.email, FieldError: fault})
}

// destination is the host that somebody wants to go on to, "" for our own.
func destination(s *site.Site, a ask) string {
	u, err := url.Parse(a.back)
	if err != nil || u.Host == s.Host {
		return ""
	}
	return u.Host
}

// begin sends the browser to the IdP. The request is remembered before it is sent.
func (h *Handler) begin(w http.ResponseWriter, r *http.Request, s *site.Site, c *site.Connection, a ask) {
	h.beginWith(w, r, s, c, a, func(*store.Pending) {})
}

// beginWith is begin with something more to remember.
func (h *Handler) beginWith(w http.ResponseWriter, r *http.Request, s *site.Site, c *site.Connection, a ask, more func(*store.Pending)) {
	r, span := h.Tracer.Request(r, "saml.authn_request", c.Name, s.Proxies.Trusted(r))
	defer span.End()
	now, handle, secret := h.Clock.Now(), newSecret(), newSecret()
	request, err := c.SAML.NewAuthnRequest(now, handle, saml.RequestOptions{LoginHint: a.email})
	if err != nil {
		span.Failed()
		reference := serve.NewReference()
		h.Log.Error("the sign-in request could not be created", "idp", c.Name, "reference", reference, "error", err)
		h.Page(w, s, http.StatusServiceUnavailable, pages.Message{
			Heading: "We could not sign you in", Sentence: "The connection to " + c.Label() + " is not complete.",
			Advice: "Ask your administrator and give them this reference.", Reference: reference,
		})
		return
	}
	p := request.Pending()
	remembered := store.Pending{
		HandleHash: hash(handle), BrowserHash: hash(secret), Connection: c.Name, IdPUID: c.UID, RequestID: p.RequestID, ReturnURL: a.back,
		Classes: p.Classes, Comparison: p.Comparison, ForceAuthn: p.ForceAuthn, IssuedAt: p.IssuedAt, ExpiresAt: now.Add(pendingLifetime),
	}
	if previous, ok := session.KeyOf(serve.Cookie(r, s.Cookie.Name)); ok {
		remembered.Previous = previous[:]
	}
	more(&remembered)
	if err = h.Store.SavePending(r.Context(), remembered); err != nil {
		span.Failed()
		h.StoreFailed(w, s, metrics.Pending, err)
		return
	}
	setPending(w, r, handle, secret, now)
	if request.Binding == snapshot.BindingRedirect {
		h.send(w, r, s, request.RedirectURL, pages.Post{})
		return
	}
	h.send(w, r, s, "", pages.Post{Heading: "Continuing to " + c.Label(), Action: request.PostURL, Field: "SAMLRequest", Message: request.SAMLRequest, RelayState: request.RelayState})
}

// goBack sends somebody who is signed in to where they wanted to go: at once, or past the handover where browsers do not send the session's cookie.
func (h *Handler) goBack(w http.ResponseWriter, r *http.Request, s *site.Site, current *session.Session, back string) {
	u, err := url.Parse(back)
	if err != nil {
		h.Page(w, s, http.StatusBadRequest, pages.Message{Heading: "There is nothing here", Sentence: "The address may be misspelt, or out of date."})
		return
	}
	if !s.CookieReaches(u.Host) {
		h.handOver(w, r, s, current, u)
		return
	}
	h.redirect(w, r, back)
}

// resume goes on where a response came back to a browser that had lost its part of the request, for instance the oldest of very many tabs:
// whoever is signed in by now needs no response.
func (h *Handler) resume(w http.ResponseWriter, r *http.Request, s *site.Site) {
	rd, query := returnurl.FromQuery(r.URL.RawQuery)
	var a ask
	if !h.checkReturn(w, s, rd, &a) {
		return
	}
	if withheld(s, r) {
		h.askAgain(w, s, "/signin/resume", url.Values{"rd": {a.back}, "ref": {query.Get("ref")}})
		return
	}
	if current, err := h.SignedIn(s, r.Header["Cookie"]); err == nil && !current.SecondFactorPending {
		h.goBack(w, r, s, current, a.back)
		return
	}
	reference := query.Get("ref")
	if !serve.IsReference(reference) {
		reference = ""
	}
	h.Page(w, s, http.StatusForbidden, pages.Message{
		Heading:   "This sign-in took too long",
		Sentence:  "It was started in another browser, too long ago, or your browser does not keep cookies.",
		Advice:    "Sign in again. If that does not help, ask your administrator and give them this reference.",
		Reference: reference,
		Action:    &pages.Link{URL: "/signin?rd=" + url.QueryEscape(a.back), Label: "Sign in again"},
	})
}
