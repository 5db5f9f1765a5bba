package web_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
)

// ask sends a forward-auth check with headers, as a proxy on loopback does.
func (b *browser) ask(method, path string, headers ...string) answer {
	b.t.Helper()
	r, err := http.NewRequest(method, "https://grafana.example.com"+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	return b.do(r)
}

func forwarded(method, uri string, more ...string) []string {
	return append([]string{"X-Forwarded-Method", method, "X-Forwarded-Proto", "https", "X-Forwarded-Host", "grafana.example.com", "X-Forwarded-Uri", uri}, more...)
}

const acceptHTML = "text/html,application/xhtml+xml"

func TestSignedOutAnswers(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	back := func(u string) string { return spURL + "/signin?rd=" + url.QueryEscape(u) }
	for name, c := range map[string]struct {
		path     string
		method   string
		headers  []string
		status   int
		location string
	}{
		"nginx page":         {"/authz/nginx", "GET", []string{"Accept", acceptHTML}, 401, ""},
		"forward page":       {"/authz/forward", "GET", forwarded("GET", "/d/1?var=a&b=c", "Accept", acceptHTML, "Sec-Fetch-Mode", "navigate"), 302, back(appURL)},
		"forward POST page":  {"/authz/forward", "GET", forwarded("POST", "/save", "Accept", acceptHTML, "Sec-Fetch-Mode", "navigate"), 302, back("https://grafana.example.com/")},
		"forward API":        {"/authz/forward", "GET", forwarded("GET", "/api", "Accept", "application/json"), 401, ""},
		"forward fetch":      {"/authz/forward", "GET", forwarded("GET", "/api", "Accept", acceptHTML, "Sec-Fetch-Mode", "cors"), 401, ""},
		"forward XHR":        {"/authz/forward", "GET", forwarded("GET", "/api", "Accept", acceptHTML, "X-Requested-With", "XMLHttpRequest"), 401, ""},
		"forward websocket":  {"/authz/forward", "GET", forwarded("GET", "/ws", "Upgrade", "websocket", "Accept", acceptHTML), 401, ""},
		"forward preflight":  {"/authz/forward", "GET", forwarded("OPTIONS", "/api", "Origin", "https://x.example.com", "Access-Control-Request-Method", "PUT"), 401, ""},
		"preflight let pass": {"/authz/forward?preflight=allow", "GET", forwarded("OPTIONS", "/api", "Origin", "https://x.example.com", "Access-Control-Request-Method", "PUT"), 200, ""},
		"not a preflight":    {"/authz/forward?preflight=allow", "GET", forwarded("GET", "/api", "Origin", "https://x.example.com", "Access-Control-Request-Method", "PUT"), 401, ""},
		"nginx preflight":    {"/authz/nginx?preflight=allow", "OPTIONS", []string{"Origin", "https://x.example.com", "Access-Control-Request-Method", "PUT"}, 401, ""},
		"envoy page":         {"/authz/envoy/d/1?var=a&b=c", "GET", []string{"Host", "grafana.example.com", "Accept", acceptHTML}, 302, back(appURL)},
		"envoy with groups":  {"/authz/envoy-with/groups=a,b/d/1?var=a&b=c", "GET", []string{"Host", "grafana.example.com", "Accept", acceptHTML}, 302, back(appURL)},
		"envoy odd path":     {"/authz/envoy//evil.example/%2e%2e/x", "GET", []string{"Host", "grafana.example.com", "Accept", acceptHTML}, 302, back("https://grafana.example.com//evil.example/%2e%2e/x")},
		"envoy API":          {"/authz/envoy/api", "PUT", []string{"Host", "grafana.example.com"}, 401, ""},
		"unknown parameter":  {"/authz/nginx?group=dev", "GET", nil, 500, ""},
		"garbled cookie":     {"/authz/nginx", "GET", []string{"Cookie", "__Secure-sso-main=%%%; __Secure-sso-main=" + strings.Repeat("a", 43)}, 401, ""},
	} {
		got := b.ask(c.method, c.path, c.headers...)
		if got.status != c.status || got.location != c.location {
			t.Errorf("%s: %d %q, want %d %q", name, got.status, got.location, c.status, c.location)
		}
		if got.header.Get("Remote-User") != "" {
			t.Errorf("%s: Remote-User %q", name, got.header.Get("Remote-User"))
		}
	}
	// Letting a preflight pass overwrites what the client claims to be.
	if got := b.ask("GET", "/authz/forward?preflight=allow", forwarded("OPTIONS", "/", "Origin", "https://x.example.com", "Access-Control-Request-Method", "PUT")...); len(got.header.Values("Remote-User")) != 1 {
		t.Errorf("%v", got.header)
	}
}

func TestRequirements(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice@acme.example")
	for query, want := range map[string]int{
		"": 200, "?groups=dev": 200, "?groups=ops,dev": 200, "?groups=ops": 403, "?groups=": 403, "?groups=Dev": 403, "?groups=ml%2Cteam": 403, "?idp=okta": 200,
		"?idp=entra": 403, "?idp=entra,okta&groups=dev": 200, "?idp=okta&groups=ops": 403, "?groups=dev&groups=ops": 500, "?groups=%zz": 500, "?idp": 403, "?x=y": 500,
	} {
		got := b.check(query)
		if got.status != want {
			t.Errorf("%q: %d, want %d", query, got.status, want)
		}
		if (got.header.Get("Remote-User") != "") != (want == 200) {
			t.Errorf("%q: Remote-User %q", query, got.header.Get("Remote-User"))
		}
	}
	page := b.ask("GET", "/authz/forward?groups=ops", forwarded("GET", "/", "Accept", acceptHTML)...)
	if page.status != 403 || !strings.Contains(page.body, "alice@acme.example") {
		t.Fatalf("%d %s", page.status, page.body)
	}
	waitFor(t, "the record of the denial", func() bool {
		var found string
		w.api("GET", "/v1/audit?type=user_access_denied&request="+page.reference(t), "", &found)
		return strings.Contains(found, "alice@acme.example")
	})
}

func TestAccessRules(t *testing.T) {
	w := newWorld(t, func(s *snapshot.Snapshot) {
		s.ServiceProvider.Access = &snapshot.Access{Rules: []snapshot.AccessRule{
			{Hosts: []string{"grafana.example.com"}, PathPrefixes: []string{"/public"}, Allow: "Public"},
			{Hosts: []string{"grafana.example.com"}, PathPrefixes: []string{"/admin"}, Allow: "Matching", Groups: []string{"ops"}},
			{Hosts: []string{"grafana.example.com"}, Allow: "SignedIn"},
		}}
	})
	out, in := w.browser(), w.browser()
	in.signIn("alice@acme.example")
	nginx := func(uri string) []string {
		return []string{"X-Original-Url", "https://grafana.example.com" + uri, "X-Original-Method", "GET"}
	}
	for uri, want := range map[string][2]int{"/public/x": {200, 200}, "/admin": {401, 403}, "/": {401, 200}, "/public/../admin": {403, 403}} {
		for i, b := range []*browser{out, in} {
			if got := b.ask("GET", "/authz/nginx", nginx(uri)...); got.status != want[i] {
				t.Errorf("nginx %s: %d, want %d", uri, got.status, want[i])
			}
			if got := b.ask("GET", "/authz/forward", forwarded("GET", uri)...); got.status != want[i] {
				t.Errorf("forward %s: %d, want %d", uri, got.status, want[i])
			}
		}
	}
	if got := in.ask("GET", "/authz/nginx", "X-Original-Url", "https://other.example.com/", "X-Original-Method", "GET"); got.status != 403 {
		t.Errorf("a host without a rule: %d", got.status)
	}
	// The page about it has a reference that finds the record.
	page := in.ask("GET", "/authz/forward", forwarded("GET", "/", "X-Forwarded-Host", "other.example.com", "Accept", acceptHTML)...)
	if page.status != 500 {
		t.Errorf("two hosts: %d", page.status)
	}
	other := []string{"X-Forwarded-Method", "GET", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "other.example.com", "X-Forwarded-Uri", "/", "Accept", acceptHTML}
	page = in.ask("GET", "/authz/forward", other...)
	if page.status != 403 {
		t.Fatalf("a page of a host without a rule: %d", page.status)
	}
	waitFor(t, "the record of the denial", func() bool {
		var found string
		w.api("GET", "/v1/audit?type=user_access_denied&request="+page.reference(t), "", &found)
		return strings.Contains(found, "alice@acme.example") && strings.Contains(found, "other.example.com")
	})
	if page = out.ask("GET", "/authz/forward", other...); page.status != 403 || referencePattern.MatchString(page.body) {
		t.Errorf("signed out: %d, and a reference that finds nothing", page.status)
	}
	// A proxy that does not say what it asks about is answered by nobody.
	if got := in.ask("GET", "/authz/nginx"); got.status != 500 {
		t.Errorf("no original: %d", got.status)
	}
	// What the other kind of proxy would have written is the client's own here.
	if got := out.ask("GET", "/authz/forward", forwarded("GET", "/", "X-Original-Url", "https://grafana.example.com/public")...); got.status != 401 {
		t.Errorf("spoofed X-Original-URL: %d", got.status)
	}
	if got := out.ask("GET", "/authz/nginx", append(nginx("/"), "X-Forwarded-Uri", "/public")...); got.status != 401 {
		t.Errorf("spoofed X-Forwarded-Uri: %d", got.status)
	}
}

func TestForwardingHeadersOfStrangersDoNotCount(t *testing.T) {
	w := newWorld(t, func(s *snapshot.Snapshot) { s.ServiceProvider.TrustedProxies = []string{"10.0.0.0/8"} })
	b := w.browser()
	if got := b.ask("GET", "/authz/forward", forwarded("GET", "/", "Accept", acceptHTML)...); got.status != 302 || got.location != spURL+"/signin" {
		t.Errorf("%d %q", got.status, got.location)
	}
	if got := b.ask("GET", "/authz/forward?preflight=allow", forwarded("OPTIONS", "/", "Origin", "https://x.example.com", "Access-Control-Request-Method", "PUT")...); got.status != 401 {
		t.Errorf("preflight: %d", got.status)
	}
}

// TestHoweverManySessionsEnd: more than one transaction takes.
func TestHoweverManySessionsEnd(t *testing.T) {
	w := newWorld(t)
	alice := w.browser()
	alice.signIn("alice@acme.example")
	key, _ := session.KeyOf(alice.cookie(spURL, "__Secure-sso-main"))
	leaves := func(want int, end func()) {
		t.Helper()
		err := w.store.Do(t.Context(), func(tx store.Tx) error {
			s, err := tx.Session(key[:])
			for range 2*provision.RevokeBatch + 1 {
				_, other := session.NewToken()
				s.TokenHash = other[:]
				err = errors.Join(err, tx.CreateSession(s))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		end()
		left, _, err := w.store.Sessions(t.Context(), store.SessionQuery{})
		if err != nil || len(left) != want {
			t.Errorf("%d are left, want %d: %v", len(left), want, err)
		}
	}
	leaves(1, func() { alice.post("/account/sessions/revoke", "same-origin", url.Values{"session": {"others"}}) })
	leaves(0, func() { w.api("POST", "/v1/sessions/revoke", `{"user":"alice@acme.example"}`, nil) })
}

func TestRevocationAndSnapshotsReachTheGate(t *testing.T) {
	w := newWorld(t)
	alice, phone := w.browser(), w.browser()
	alice.signIn("alice@acme.example")
	phone.signIn("alice@acme.example")
	if got := alice.post("/account/sessions/revoke", "cross-site", url.Values{"session": {"others"}}); got.status != http.StatusForbidden || phone.check("").status != 200 {
		t.Fatalf("another site ended a session: %d", got.status)
	}
	if got := alice.post("/account/sessions/revoke", "same-origin", url.Values{"session": {"others"}}); got.status != http.StatusSeeOther || !strings.Contains(alice.get(got.location).body, "All your other sessions have ended.") {
		t.Fatalf("%d", got.status)
	}
	if alice.check("").status != 200 || phone.check("").status != 401 {
		t.Fatal("the wrong session ended")
	}

	// Disabled: at once for checks, and for good in the store.
	w.connection("okta").Enabled = false
	w.apply(w.process)
	if alice.check("").status != 401 {
		t.Error("a disabled IdP's session passes")
	}
	waitFor(t, "the session to end in the store", func() bool {
		var page struct{ Items []any }
		w.api("GET", "/v1/sessions?idp=okta", "", &page)
		return len(page.Items) == 0
	})
	w.connection("okta").Enabled = true
	w.apply(w.process)
	if alice.check("").status != 401 {
		t.Error("a session came back")
	}

	// Rebound: the domain's people belong to another IdP now.
	alice.signIn("alice@acme.example")
	w.snapshot.Domains[0].Connection = "entra"
	w.apply(w.process)
	if alice.check("").status != 401 {
		t.Error("a session of the former IdP passes")
	}
}

func TestSuspensionEndsSessions(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice@acme.example")
	if code := w.api("POST", "/v1/users/alice@acme.example/suspend", `{"reason":"left"}`, nil); code != http.StatusNoContent {
		t.Fatal(code)
	}
	waitFor(t, "the session to end", func() bool { return b.check("").status == 401 })
	a := b.begin("alice@acme.example", appURL)
	if got := b.finish(a, w.respond(a, "alice@acme.example")); got.status != 403 || !strings.Contains(got.body, "Your account is suspended") {
		t.Errorf("%d %s", got.status, got.body)
	}
	w.api("POST", "/v1/users/alice@acme.example/resume", "", nil)
	b.signIn("alice@acme.example")
}
