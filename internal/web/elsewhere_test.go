package web_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/snapshot"
)

const otherURL = "https://wiki.example.org/pages/1?a=b&c=d"

func severalDomains(s *snapshot.Snapshot) {
	s.ServiceProvider.AllowedHosts = []string{"*.example.com", "*.example.org"}
}

// checkAt asks about a host as nginx does. more are further headers.
func (b *browser) checkAt(host string, more ...string) answer {
	b.t.Helper()
	r, err := http.NewRequest("GET", "https://"+host+"/authz/nginx", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	headers := append([]string{"X-Original-Url", "https://" + host + "/", "X-Original-Method", "GET"}, more...)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return b.do(r)
}

// follow goes on from one redirect to the next until a page, or an address of the prefix.
func (b *browser) follow(address, prefix string) answer {
	b.t.Helper()
	for range 10 {
		got := b.get(address)
		if got.status != http.StatusSeeOther || strings.HasPrefix(got.location, prefix) {
			return got
		}
		address = got.location
	}
	b.t.Fatalf("in circles: %s", address)
	return answer{}
}

func TestHandoverToAnotherDomain(t *testing.T) {
	w := newWorld(t, severalDomains)
	b := w.browser()
	a := b.begin("alice@acme.example", otherURL)
	if got := b.finish(a, w.respond(a, "alice@acme.example")); got.status != http.StatusSeeOther || got.location != otherURL {
		t.Fatalf("%d %q", got.status, got.location)
	}
	if b.checkAt("wiki.example.org").status != 401 || b.checkAt("grafana.example.com").status != 200 {
		t.Fatal("the cookie of our domain counts elsewhere, or not at home")
	}
	// The application's proxy sends the browser to sign in once more, where it is signed in.
	if got := b.follow(spURL+"/signin?rd="+url.QueryEscape(otherURL), "https://wiki.example.org/pages"); got.location != otherURL {
		t.Fatalf("%d %q %s", got.status, got.location, got.body)
	}
	if got := b.checkAt("wiki.example.org"); got.status != 200 || got.header.Get("Remote-User") != "alice@acme.example" {
		t.Fatalf("%d %v", got.status, got.header)
	}
	// What that host was shown opens nothing else, and not for want of the name.
	token := b.cookie("https://wiki.example.org/", "__Host-sso-at-main")
	thief := w.browser()
	if got := thief.checkAt("wiki.example.org", "Cookie", "__Host-sso-at-main="+token); got.status != 200 {
		t.Fatalf("the test's own idea of the cookie is wrong: %d", got.status)
	}
	for host, name := range map[string]string{"grafana.example.com": "__Secure-sso-main", "docs.example.org": "__Host-sso-at-main", "wiki.example.org": "__Secure-sso-main"} {
		if got := thief.checkAt(host, "Cookie", name+"="+token); got.status != 401 {
			t.Errorf("on %s as %s: %d", host, name, got.status)
		}
	}
	if got := b.checkAt("docs.example.org"); got.status != 401 {
		t.Errorf("another host: %d", got.status)
	}
	waitFor(t, "the record", func() bool {
		var found string
		w.api("GET", "/v1/audit?type=session_handed_over", "", &found)
		return strings.Contains(found, "wiki.example.org") && strings.Contains(found, "alice@acme.example")
	})
	// Signing out ends it on both.
	if got := b.post("/signout", "same-origin", url.Values{}); got.status >= 400 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if home, there := b.checkAt("grafana.example.com").status, b.checkAt("wiki.example.org").status; home != 401 || there != 401 {
		t.Errorf("signed out: %d and %d", home, there)
	}
}

// cookie is what the browser holds for an address, "" for nothing.
func (b *browser) cookie(address, name string) string {
	b.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// code brings a browser to the point where it holds a code for wiki.example.org.
func (b *browser) code() string {
	b.t.Helper()
	start := b.get("https://wiki.example.org/.sallyport/start?to=" + url.QueryEscape("/pages/1?a=b&c=d"))
	got := b.get(start.location)
	if got.status != http.StatusSeeOther || !strings.HasPrefix(got.location, "https://wiki.example.org/.sallyport/callback?code=") {
		b.t.Fatalf("%d %q %s", got.status, got.location, got.body)
	}
	return got.location
}

func TestHandoverCodesAreForOneBrowserOneHostOnce(t *testing.T) {
	w := newWorld(t, severalDomains)
	mallory, alice := w.browser(), w.browser()
	mallory.signIn("mallory@acme.example")
	alice.signIn("alice@acme.example")

	// A code that somebody else asked for signs nobody in, and is spent by the attempt.
	stolen := mallory.code()
	if got := alice.get(stolen); got.status != 403 || alice.checkAt("wiki.example.org").status != 401 {
		t.Errorf("mallory's code in alice's browser: %d", got.status)
	}
	if got := mallory.get(stolen); got.status != 403 {
		t.Errorf("a spent code: %d", got.status)
	}
	// Neither on another host.
	if got := alice.get(strings.Replace(alice.code(), "wiki.", "docs.", 1)); got.status != 403 || alice.checkAt("docs.example.org").status != 401 {
		t.Errorf("on another host: %d", got.status)
	}
	// Nor twice.
	good := alice.code()
	if got := alice.get(good); got.location != otherURL {
		t.Fatalf("%d %q", got.status, got.location)
	}
	if got := alice.get(good); got.status != 403 {
		t.Errorf("again: %d", got.status)
	}
	// A session that has ended hands nothing over.
	late := alice.code()
	alice.post("/signout", "same-origin", url.Values{})
	if got := alice.get(late); got.status != 403 {
		t.Errorf("after signing out: %d", got.status)
	}
	// It is no RelayState either.
	form := url.Values{"SAMLResponse": {"x"}, "RelayState": {late[len(late)-22:]}}
	if got := alice.post("/saml/okta/acs", "cross-site", form); got.status != 403 && got.status != 400 {
		t.Errorf("as RelayState: %d", got.status)
	}
}

func TestHandoverLeadsNowhereElse(t *testing.T) {
	w := newWorld(t, severalDomains)
	b := w.browser()
	b.signIn("alice@acme.example")
	for address, want := range map[string]int{
		"https://evil.example/.sallyport/start?to=/":               404,
		"https://grafana.example.com/.sallyport/start":             404,
		spURL + "/.sallyport/callback?code=aaaaaaaaaaaaaaaaaaaaaa": 404,
		"https://wiki.example.org/.sallyport/callback":             404,
		"https://wiki.example.org/.sallyport/callback?code=x":      404,
	} {
		if got := b.get(address); got.status != want {
			t.Errorf("%s: %d, want %d", address, got.status, want)
		}
	}
	for _, to := range []string{"//evil.example/", "https://evil.example/", "/\\evil.example", "/%0d%0aLocation:https://evil.example", ""} {
		start := b.get("https://wiki.example.org/.sallyport/start?to=" + url.QueryEscape(to))
		got := b.get(b.get(start.location).location)
		if !strings.HasPrefix(got.location, "https://wiki.example.org/") {
			t.Errorf("%q leads to %q", to, got.location)
		}
	}
	// Where the callback is told to go elsewhere, it goes to the front page.
	forged := "https://wiki.example.org/.sallyport/callback?state=" + strings.Repeat("ab", 32) + "&to=" + url.QueryEscape("https://docs.example.org/")
	if got := b.get(spURL + "/signin?rd=" + url.QueryEscape(forged)); !strings.HasPrefix(got.location, "https://wiki.example.org/.sallyport/callback?code=") {
		t.Errorf("%q", got.location)
	}
	// A proxy that does not pass the path on sends it back to us: that ends with a page.
	if got := b.follow(spURL+"/signin?rd="+url.QueryEscape("https://wiki.example.org/.sallyport/start?to=/"), "https://wiki"); got.status != 200 || !strings.Contains(got.body, "does not pass /.sallyport/ on") {
		t.Errorf("%d %q %s", got.status, got.location, got.body)
	}
}

// Nobody can make up a code that works where there is no secret: the hash of nothing is known to everybody. With one, whoever has an account could sign somebody
// else's browser in as themselves.
func TestHandoverNeedsASecretOfTheBrowser(t *testing.T) {
	w := newWorld(t, severalDomains)
	mallory := w.browser()
	mallory.signIn("mallory@acme.example")
	for name, secret := range map[string]string{"nothing": "", "white space": " ", "too short": "AAAA"} {
		state := sha256.Sum256([]byte(secret))
		callback := "https://wiki.example.org/.sallyport/callback?state=" + hex.EncodeToString(state[:]) + "&to=" + url.QueryEscape("https://wiki.example.org/")
		link := mallory.get(spURL + "/signin?rd=" + url.QueryEscape(callback)).location
		if !strings.HasPrefix(link, "https://wiki.example.org/.sallyport/callback?code=") {
			t.Fatalf("%s: %q", name, link)
		}
		r, err := http.NewRequest("GET", link, nil)
		if err != nil {
			t.Fatal(err)
		}
		if secret != "" {
			r.Header.Set("Cookie", "__Host-sso-at-main-start="+secret)
		}
		victim := w.browser()
		if got := victim.do(r); got.status != http.StatusForbidden || victim.checkAt("wiki.example.org").status != http.StatusUnauthorized {
			t.Errorf("%s: %d, and the browser is signed in as %q", name, got.status, victim.checkAt("wiki.example.org").header.Get("Remote-User"))
		}
	}
}

// Whoever ends a session that somebody else may have, in the account or as an administrator, ends what was handed over from it too.
func TestEndingASessionEndsWhatWasHandedOver(t *testing.T) {
	w := newWorld(t, severalDomains)
	for name, end := range map[string]func(thief, owner *browser){
		"by its person": func(thief, owner *browser) {
			key, _ := session.KeyOf(thief.cookie(spURL, "__Secure-sso-main"))
			if !strings.Contains(owner.get("/account").body, key.Hex()) {
				t.Fatal("the account does not list the other session")
			}
			owner.post("/account/sessions/revoke", "same-origin", url.Values{"session": {key.Hex()}})
		},
		"by an administrator": func(thief, _ *browser) {
			key, _ := session.KeyOf(thief.cookie(spURL, "__Secure-sso-main"))
			if code := w.api("POST", "/v1/sessions/revoke", `{"session":"`+key.Hex()[:32]+`"}`, nil); code != http.StatusOK {
				t.Fatal(code)
			}
		},
		"by signing in again": func(thief, _ *browser) {
			thief.signIn("alice@acme.example")
		},
	} {
		thief, owner := w.browser(), w.browser()
		thief.signIn("alice@acme.example")
		owner.signIn("alice@acme.example")
		if thief.get(thief.code()); thief.checkAt("wiki.example.org").status != http.StatusOK {
			t.Fatalf("%s: not handed over", name)
		}
		if owner.get(owner.code()); owner.checkAt("wiki.example.org").status != http.StatusOK {
			t.Fatalf("%s: not handed over", name)
		}
		end(thief, owner)
		waitFor(t, name, func() bool { return thief.checkAt("wiki.example.org").status == http.StatusUnauthorized })
		if home, there := owner.checkAt("grafana.example.com").status, owner.checkAt("wiki.example.org").status; home != 200 || there != 200 {
			t.Errorf("%s ended the other sessions: %d and %d", name, home, there)
		}
	}
}
