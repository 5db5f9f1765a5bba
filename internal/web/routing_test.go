package web_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web"
)

// landscape has every kind of binding: okta with its subdomains, of which one is entra's, entra without, a domain that is held, one of an IdP that is
// disabled, and, if asked for, a catch-all.
func landscape(catchAll bool) func(*snapshot.Snapshot) {
	return func(s *snapshot.Snapshot) {
		disabled := s.Connections[0]
		disabled.Name, disabled.UID, disabled.DisplayName, disabled.Enabled = "off", "uid-off", "Off", false
		s.Connections = append(s.Connections, disabled)
		for i := range s.Connections {
			s.Connections[i].CatchAll = catchAll && s.Connections[i].Name == "entra"
		}
		s.Domains = []snapshot.Domain{
			{Domain: "acme.example", Subdomains: true, Connection: "okta", Binding: "acme"}, {Domain: "eu.acme.example", Connection: "entra", Binding: "eu"},
			{Domain: "victim.example", Connection: "entra", Binding: "victim"}, {Domain: "held.example", Subdomains: true, Binding: "held"},
			{Domain: "off.example", Connection: "off", Binding: "off"},
		}
	}
}

// TestAddressesAreRouted: by the exact domain, then the nearest parent with its subdomains, then the catch-all, else a clear page; typed or as login_hint.
func TestAddressesAreRouted(t *testing.T) {
	unavailable := func(domain string) string {
		return "Signing in for addresses at " + domain + " is not available right now. Ask your administrator."
	}
	nowhere := func(domain string) string {
		return "No sign-in is set up for addresses at " + domain + ". Check the address, or ask your administrator."
	}
	for _, catchAll := range []bool{false, true} {
		w := newWorld(t, landscape(catchAll))
		rest := func(domain string) string {
			if catchAll {
				return "entra"
			}
			return nowhere(domain)
		}
		for address, want := range map[string]string{
			"alice@acme.example": "okta", "ALICE@ACME.Example": "okta", "alice@de.acme.example": "okta", "alice@a.b.acme.example": "okta",
			"alice@eu.acme.example": "entra", "alice@x.eu.acme.example": "okta", "alice@victim.example": "entra",
			"alice@x.victim.example": rest("x.victim.example"), "alice@elsewhere.example": rest("elsewhere.example"), "alice@notacme.example": rest("notacme.example"),
			// Nobody has these, the catch-all included.
			"alice@held.example": unavailable("held.example"), "alice@x.held.example": unavailable("x.held.example"), "alice@off.example": unavailable("off.example"),
		} {
			typed := w.browser().post("/signin", "same-origin", url.Values{"email": {address}, "rd": {appURL}})
			hinted := w.browser().get("/signin?login_hint=" + url.QueryEscape(address) + "&rd=" + url.QueryEscape(appURL))
			for way, got := range map[string]answer{"typed": typed, "login_hint": hinted} {
				if strings.Contains(want, " ") {
					if got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, want) || !strings.Contains(got.body, `name="email"`) || strings.Contains(got.body, "Continue with") {
						t.Errorf("%s, %s: %d %q %s", address, way, got.status, got.location, got.body)
					}
				} else if u, _ := url.Parse(got.location); got.status != http.StatusSeeOther || u.Host != want+".idp.example" {
					t.Errorf("%s, %s: sent to %d %q, want %s", address, way, got.status, got.location, want)
				}
			}
		}
		// idp goes before the address; one that cannot be used leads to the choice.
		if a := w.browser().atIdP(w.browser().get("/signin?idp=entra&login_hint=alice@acme.example")); a.idp != "entra" {
			t.Errorf("idp=entra leads to %s", a.idp)
		}
		if got := w.browser().get("/signin?idp=off"); got.status != http.StatusOK || !strings.Contains(got.body, "not available") || !strings.Contains(got.body, `name="email"`) {
			t.Errorf("idp=off: %d %s", got.status, got.body)
		}
		if got := w.browser().get("/signin"); got.status != http.StatusOK || !strings.Contains(got.body, `name="email"`) {
			t.Errorf("nothing given: %d %s", got.status, got.body)
		}
	}
}

// TestAnotherAccountIsOfferedUnderBindings: the last IdP is remembered, and not a trap.
func TestAnotherAccountIsOfferedUnderBindings(t *testing.T) {
	w := newWorld(t, landscape(false))
	b := w.browser()
	b.signIn("alice@acme.example")
	b.post("/signout", "same-origin", nil)
	page := b.get("/signin?rd=" + url.QueryEscape(appURL))
	if !strings.Contains(page.body, "Continue with Okta") || !strings.Contains(page.body, "Use another account") || strings.Contains(page.body, "alice") {
		t.Fatal(page.body)
	}
	if a := b.atIdP(b.post("/signin", "same-origin", url.Values{"idp": {"okta"}, "rd": {appURL}})); a.idp != "okta" {
		t.Errorf("the remembered one leads to %s", a.idp)
	}
	other := b.get("/signin?other=1&rd=" + url.QueryEscape(appURL))
	if strings.Contains(other.body, "Continue with") || !strings.Contains(other.body, `name="email"`) {
		t.Fatal(other.body)
	}
	if a := b.begin("bob@victim.example", appURL); a.idp != "entra" {
		t.Errorf("another account leads to %s", a.idp)
	}
}

// watched notes what is asked of the store.
type watched struct {
	store.Store
	mu    sync.Mutex
	asked []string
}

func (w *watched) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, what)
}

func (w *watched) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := w.asked
	w.asked = nil
	return asked
}

func (w *watched) Do(ctx context.Context, fn func(store.Tx) error) error {
	w.note("Do")
	return w.Store.Do(ctx, fn)
}

func (w *watched) SavePending(ctx context.Context, p store.Pending) error {
	w.note("SavePending")
	return w.Store.SavePending(ctx, p)
}

func (w *watched) SessionByHash(ctx context.Context, hash []byte) (store.Session, error) {
	w.note("SessionByHash")
	return w.Store.SessionByHash(ctx, hash)
}

func (w *watched) User(ctx context.Context, id string) (store.User, error) {
	w.note("User")
	return w.Store.User(ctx, id)
}

func (w *watched) UserByEmail(ctx context.Context, email string) (store.User, error) {
	w.note("UserByEmail")
	return w.Store.UserByEmail(ctx, email)
}

func (w *watched) Users(ctx context.Context, q store.UserQuery) ([]store.User, string, error) {
	w.note("Users")
	return w.Store.Users(ctx, q)
}

// TestWhetherAPersonIsKnownShowsNowhere: nobody is looked up before the IdP has answered, so that neither the answer nor its time depends on who is known.
func TestWhetherAPersonIsKnownShowsNowhere(t *testing.T) {
	w := newWorld(t, landscape(false))
	w.browser().signIn("alice@acme.example")
	watch := &watched{Store: w.process.store}
	replica, err := web.New(t.Context(), web.Options{Store: watch})
	if err != nil {
		t.Fatal(err)
	}
	if err := replica.Apply(w.snapshot, "r"); err != nil {
		t.Fatal(err)
	}
	watch.take()
	ask := func(address string) (status int, host, body string, asked []string) {
		r := httptest.NewRequest(http.MethodPost, spURL+"/signin", strings.NewReader(url.Values{"email": {address}, "rd": {appURL}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		recorder := httptest.NewRecorder()
		replica.Public().ServeHTTP(recorder, r)
		content, _ := io.ReadAll(recorder.Body)
		u, _ := url.Parse(recorder.Header().Get("Location"))
		return recorder.Code, u.Host, string(content), watch.take()
	}
	for known, unknown := range map[string]string{"alice@acme.example": "ecila@acme.example", "alice@held.example": "ecila@held.example"} {
		status, host, body, asked := ask(known)
		status2, host2, body2, asked2 := ask(unknown)
		if status != status2 || host != host2 || strings.ReplaceAll(body, known, "") != strings.ReplaceAll(body2, unknown, "") || !slices.Equal(asked, asked2) {
			t.Errorf("%s: %d %s %v, %s: %d %s %v", known, status, host, asked, unknown, status2, host2, asked2)
		}
		if slices.ContainsFunc(asked, func(what string) bool { return what != "SavePending" }) {
			t.Errorf("%s: the store was asked for %v", known, asked)
		}
	}
}
