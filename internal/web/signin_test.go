package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
)

func TestSignInEndsWhereItBegan(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	if got := b.check(""); got.status != http.StatusUnauthorized || got.location != "" {
		t.Fatalf("signed out: %d %q", got.status, got.location)
	}
	page := b.get("/signin?rd=" + appURL)
	if page.status != 200 || !strings.Contains(page.body, "grafana.example.com") || !strings.Contains(page.body, `value="https://grafana.example.com/d/1?var=a&amp;b=c"`) {
		t.Fatalf("%d %s", page.status, page.body)
	}
	a := b.begin("Alice@ACME.example", appURL)
	if a.idp != "okta" || a.request.ACS != spURL+"/saml/okta/acs" {
		t.Fatalf("%+v", a)
	}
	got := b.finish(a, w.respond(a, "alice@acme.example"))
	if got.status != http.StatusSeeOther || got.location != appURL {
		t.Fatalf("%d %q %s", got.status, got.location, got.body)
	}
	for _, line := range got.header.Values("Set-Cookie") {
		if strings.HasPrefix(line, "__Secure-sso-main=") {
			for _, want := range []string{"Domain=example.com", "HttpOnly", "Secure", "SameSite=Lax", "Path=/"} {
				if !strings.Contains(line, want) {
					t.Errorf("%s lacks %s", line, want)
				}
			}
		}
	}
	checked := b.check("")
	for name, want := range map[string]string{
		"Remote-User": "alice@acme.example", "Remote-Email": "alice@acme.example", "Remote-Name": "Alice Ærlig, M.", "Remote-Groups": "dev,ml%2Cteam",
		"X-Auth-Request-User": "alice@acme.example", "X-Auth-Request-Email": "alice@acme.example", "X-Auth-Request-Groups": "dev,ml%2Cteam",
		"X-Auth-Request-Preferred-Username": "alice@acme.example",
	} {
		if got := checked.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if checked.status != 200 {
		t.Errorf("%d", checked.status)
	}
	// Somebody who is signed in is sent straight on.
	if got := b.get("/signin?rd=" + url.QueryEscape(appURL)); got.status != http.StatusSeeOther || got.location != appURL {
		t.Errorf("%d %q", got.status, got.location)
	}
	if account := b.get("/account"); account.status != 200 || !strings.Contains(account.body, "alice@acme.example") || !strings.Contains(account.body, "This browser") {
		t.Errorf("%d %s", account.status, account.body)
	}
	waitFor(t, "the record on standard output", func() bool { return strings.Contains(w.process.audit.String(), `"user_signed_in_saml"`) })
}

func TestSeveralTabsAllSucceed(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	var tabs []asked
	for range 5 {
		tabs = append(tabs, b.begin("alice@acme.example", appURL))
	}
	for i := len(tabs) - 1; i >= 0; i-- {
		if got := b.finish(tabs[i], w.respond(tabs[i], "alice@acme.example")); got.location != appURL {
			t.Fatalf("tab %d: %d %q %s", i, got.status, got.location, got.body)
		}
	}
}

func TestMoreTabsThanAreRememberedStillArrive(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	first := b.begin("alice@acme.example", appURL)
	for range 40 {
		b.begin("alice@acme.example", appURL)
	}
	last := b.begin("alice@acme.example", appURL)
	if got := b.finish(last, w.respond(last, "alice@acme.example")); got.location != appURL {
		t.Fatalf("%d %q", got.status, got.location)
	}
	got := b.finish(first, w.respond(first, "alice@acme.example"))
	if got.status != http.StatusSeeOther || !strings.HasPrefix(got.location, "/signin/resume?") {
		t.Fatalf("%d %q", got.status, got.location)
	}
	if got := b.get(got.location); got.location != appURL {
		t.Fatalf("%d %q %s", got.status, got.location, got.body)
	}
}

func TestARestartInBetweenLosesNothing(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	a := b.begin("alice@acme.example", appURL)
	w.restart()
	if got := b.finish(a, w.respond(a, "alice@acme.example")); got.location != appURL {
		t.Fatalf("%d %q %s", got.status, got.location, got.body)
	}
	w.restart()
	if got := b.check(""); got.status != 200 {
		t.Fatalf("%d", got.status)
	}
}

func TestWhatMustBeRefused(t *testing.T) {
	w := newWorld(t)
	// fails brings a response that must be refused, and says why it was.
	fails := func(name, reason string, b *browser, a asked, form url.Values) {
		t.Helper()
		got := b.finish(a, form)
		if got.status == http.StatusSeeOther && strings.HasPrefix(got.location, "/signin/resume?") {
			got = b.get(got.location)
		}
		if got.status != http.StatusForbidden {
			t.Errorf("%s: %d %q", name, got.status, got.location)
			return
		}
		if b.check("").status != http.StatusUnauthorized {
			t.Errorf("%s: signed in", name)
		}
		var entry struct{ ErrorType, Sentence string }
		if code := w.api("GET", "/v1/debug/"+got.reference(t), "", &entry); code != 200 || entry.ErrorType != reason {
			t.Errorf("%s: debug entry %d %+v, want %s", name, code, entry, reason)
		}
	}
	b := w.browser()
	a := b.begin("alice@acme.example", appURL)
	fails("bad signature", "signature_invalid", b, a, w.respond(a, "alice@acme.example", func(r *samltest.Response) {
		r.EditSent = func(s string) string { return strings.ReplaceAll(s, "alice@acme.example", "admin@acme.example") }
	}))
	fails("audience", "audience_mismatch", b, a, w.respond(a, "alice@acme.example", func(r *samltest.Response) { r.Audience = "https://other.example" }))

	// Mix-up: the other IdP's answer, to the address of the one that was asked; and to its own address with a request that was not made to it.
	other := asked{"entra", a.request}
	fails("mix-up at the asked one's ACS", "issuer_mismatch", b, a, w.respond(other, "ceo@victim.example", func(r *samltest.Response) {
		r.ACS, r.Audience = w.connection("okta").ACSURL, w.connection("okta").EntityID
	}))
	fails("mix-up at its own ACS", "in_response_to_mismatch", b, other, w.respond(other, "ceo@victim.example"))

	// Another browser's request: login CSRF.
	mallory := w.browser()
	theirs := mallory.begin("mallory@acme.example", appURL)
	fails("another browser's request", "in_response_to_mismatch", w.browser(), theirs, w.respond(theirs, "mallory@acme.example"))
	fails("unsolicited", "in_response_to_mismatch", w.browser(), a, url.Values{"SAMLResponse": w.respond(a, "alice@acme.example", func(r *samltest.Response) { r.InResponseTo = "" })["SAMLResponse"]})

	// An address that belongs to another IdP: by attribute, by NameID, in other spellings.
	for name, edit := range map[string]func(*samltest.Response){
		"attribute": func(r *samltest.Response) { r.Attributes[0].Values = []string{"ceo@victim.example"} },
		"case":      func(r *samltest.Response) { r.Attributes[0].Values = []string{"CEO@Victim.Example"} },
		"second": func(r *samltest.Response) {
			r.Attributes[0].Values = []string{"alice@acme.example", "ceo@victim.example"}
		},
		"subdomain": func(r *samltest.Response) { r.Attributes[0].Values = []string{"ceo@x.victim.example"} },
	} {
		fails("domain by "+name, "domain_not_bound", b, a, w.respond(a, "", edit))
	}
	fails("no address", "missing_email", b, a, w.respond(a, "", func(r *samltest.Response) { r.Attributes = nil }))
	fails("status", "status_not_success", b, a, w.respond(a, "", func(r *samltest.Response) {
		r.Status, r.StatusMessage = "urn:oasis:names:tc:SAML:2.0:status:Responder", "not assigned"
	}))

	// After all that the request is still good, once.
	form := w.respond(a, "alice@acme.example")
	if got := b.finish(a, form); got.location != appURL {
		t.Fatalf("%d %s", got.status, got.body)
	}
	fresh := w.browser()
	again := fresh.begin("alice@acme.example", appURL)
	replayed := url.Values{"SAMLResponse": form["SAMLResponse"], "RelayState": {again.request.RelayState}}
	fails("an old answer to a new request", "in_response_to_mismatch", fresh, again, replayed)
	if got := b.finish(a, form); got.status != http.StatusForbidden {
		t.Errorf("the same answer twice: %d", got.status)
	}
}

func TestReplayOfAnUnsolicitedResponse(t *testing.T) {
	w := newWorld(t, func(s *snapshot.Snapshot) {
		for i := range s.Connections {
			s.Connections[i].Response.AllowUnsolicited = true
		}
	})
	a := asked{"okta", &samltest.Request{}}
	form := w.respond(a, "alice@acme.example")
	for _, relay := range []string{"https://evil.example/", `/\evil.example`, "//evil.example", "javascript:alert(1)"} {
		f := w.respond(a, "alice@acme.example")
		f.Set("RelayState", relay)
		if got := w.browser().finish(a, f); got.location != spURL+"/account" {
			t.Errorf("relay state %q: %d %q", relay, got.status, got.location)
		}
	}
	form.Set("RelayState", appURL)
	if got := w.browser().finish(a, form); got.location != appURL {
		t.Fatalf("%d %q %s", got.status, got.location, got.body)
	}
	w.restart()
	b := w.browser()
	got := b.finish(a, form)
	if got.status != http.StatusForbidden || b.check("").status != http.StatusUnauthorized {
		t.Fatalf("replayed after a restart: %d", got.status)
	}
	var entry struct{ ErrorType string }
	if w.api("GET", "/v1/debug/"+got.reference(t), "", &entry); entry.ErrorType != "replayed" {
		t.Errorf("%+v", entry)
	}
}

// TestErrorPageIsConstant: what an attacker could probe for looks the same, but for the reference.
func TestErrorPageIsConstant(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	a := b.begin("alice@acme.example", appURL)
	var first string
	for name, form := range map[string]url.Values{
		"not base64":     {"SAMLResponse": {"%%%"}, "RelayState": {a.request.RelayState}},
		"not XML":        {"SAMLResponse": {"aGVsbG8="}, "RelayState": {a.request.RelayState}},
		"another issuer": w.respond(asked{"entra", a.request}, "x@victim.example", func(r *samltest.Response) { r.ACS = w.connection("okta").ACSURL }),
		"unsigned":       w.respond(a, "alice@acme.example", func(r *samltest.Response) { r.Unsigned = true }),
		"expired":        w.respond(a, "alice@acme.example", func(r *samltest.Response) { r.Now = r.Now.Add(-48 * 3600e9) }),
		"other domain":   w.respond(a, "ceo@victim.example"),
	} {
		got := b.finish(a, form)
		page := strings.ReplaceAll(got.body, got.reference(t), "REFERENCE")
		if first == "" {
			first = page
		}
		if got.status != http.StatusForbidden || page != first {
			t.Errorf("%s looks different: %d %s", name, got.status, page)
		}
	}
	if !strings.Contains(first, "Okta sent a response that we could not accept.") {
		t.Error(first)
	}
}

func TestBodyLimits(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	a := b.begin("alice@acme.example", appURL)
	for name, form := range map[string]url.Values{
		"too large":     {"SAMLResponse": {strings.Repeat("A", 300<<10)}},
		"two responses": {"SAMLResponse": {"a", "b"}},
		"two relays":    {"SAMLResponse": {"a"}, "RelayState": {"a", "b"}},
		"none":          {},
	} {
		if got := b.finish(a, form); got.status != http.StatusForbidden {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	r, _ := http.NewRequest("POST", spURL+"/saml/okta/acs", strings.NewReader("<xml/>"))
	r.Header.Set("Content-Type", "text/xml")
	if got := b.do(r); got.status != http.StatusForbidden {
		t.Errorf("XML body: %d", got.status)
	}
	if got := b.get("/saml/okta/acs"); got.status != http.StatusNotFound {
		t.Errorf("GET: %d", got.status)
	}
	if got := b.post("/saml/nobody/acs", "cross-site", url.Values{"SAMLResponse": {"a"}}); got.status != http.StatusNotFound {
		t.Errorf("unknown IdP: %d", got.status)
	}
}
