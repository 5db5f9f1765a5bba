package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/snapshot"
)

func strictCookie(s *snapshot.Snapshot) {
	severalDomains(s)
	s.ServiceProvider.Session.SameSite = "Strict"
}

// refreshed follows a page of ours that goes on by itself; anything else is returned as it is.
func (b *browser) refreshed(got answer) answer {
	b.t.Helper()
	if to, ok := strings.CutPrefix(got.header.Get("Refresh"), "0; url="); ok {
		return b.getFrom("same-origin", to)
	}
	return got
}

// TestALinkOfAnotherSiteOpensNoSecondSession: with a Strict cookie the browser that follows it does not show that it is signed in. It signed in again, and the session of
// before stayed, with all that was handed over from it.
func TestALinkOfAnotherSiteOpensNoSecondSession(t *testing.T) {
	w := newWorld(t, strictCookie)
	b := w.browser()
	a := b.begin("alice@acme.example", appURL)
	b.finish(a, w.respond(a, "alice@acme.example"))
	sessions := func() int {
		return w.rows(`SELECT COUNT(*) FROM sessions`)
	}
	if n := sessions(); n != 1 {
		t.Fatalf("%d sessions", n)
	}
	for name, address := range map[string]string{
		"the sign-in page":       "/signin?idp=okta&rd=" + url.QueryEscape(appURL),
		"a lost answer":          "/signin/resume?ref=0000-0000&rd=" + url.QueryEscape(appURL),
		"a place without a host": "/signin",
	} {
		want := appURL
		if !strings.Contains(address, "rd=") {
			want = spURL + "/account"
		}
		got := b.refreshed(b.getFrom("cross-site", address))
		if got.status != http.StatusSeeOther || got.location != want {
			t.Errorf("%s: %d %q", name, got.status, got.location)
		}
	}
	// An application of another domain takes the session over instead of replacing it.
	start := b.get("https://wiki.example.org/.sallyport/start?to=" + url.QueryEscape("/pages/1?a=b&c=d"))
	if got := b.refreshed(b.getFrom("cross-site", start.location)); !strings.HasPrefix(got.location, "https://wiki.example.org/.sallyport/callback?code=") {
		t.Errorf("%d %q", got.status, got.location)
	}
	if n := sessions(); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// TestThePreviousSessionIsRememberedWithAStrictCookie: one that does not count any more is replaced, and ends in the store.
func TestThePreviousSessionIsRememberedWithAStrictCookie(t *testing.T) {
	w := newWorld(t, strictCookie)
	b := w.browser()
	a := b.begin("alice@acme.example", appURL)
	b.finish(a, w.respond(a, "alice@acme.example"))
	// The browser shows it at the beginning, and what comes from the IdP does not.
	a = b.begin("alice@acme.example", appURL)
	b.finish(a, w.respond(a, "alice@acme.example"))
	if n := w.rows(`SELECT COUNT(*) FROM sessions`); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// TestABrowserThatShowsNoCookieDoesNotGoInCircles: whoever has none signs in, from a link of another site too, and from the first request on where the cookie is not Strict.
func TestABrowserThatShowsNoCookieDoesNotGoInCircles(t *testing.T) {
	w := newWorld(t, strictCookie)
	b := w.browser()
	got := b.getFrom("cross-site", "/signin?idp=okta&login_hint=alice%40acme.example&rd="+url.QueryEscape(appURL))
	to, ok := strings.CutPrefix(got.header.Get("Refresh"), "0; url=")
	if got.status != http.StatusOK || !ok || !strings.HasPrefix(to, spURL+"/signin?") {
		t.Fatalf("%d %v", got.status, got.header)
	}
	for _, site := range []string{"same-origin", "cross-site"} { // some browsers may take the page's own navigation for the other site's
		if a := b.atIdP(b.getFrom(site, to)); a.idp != "okta" {
			t.Error(a.idp)
		}
	}
	w.snapshot.ServiceProvider.Session.SameSite = "Lax"
	w.apply(w.process)
	b.atIdP(b.getFrom("cross-site", "/signin?idp=okta"))
}
