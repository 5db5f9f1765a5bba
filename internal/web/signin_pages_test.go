package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/snapshot"
)

func oneIdP(s *snapshot.Snapshot) { s.Connections, s.Domains = s.Connections[1:], nil }

func TestOneIdPWithoutBindingsGoesStraightOn(t *testing.T) {
	w := newWorld(t, oneIdP)
	b := w.browser()
	if a := b.atIdP(b.get("/signin?rd=" + appURL)); a.idp != "okta" {
		t.Error(a.idp)
	}
}

func TestChooserAndRemembering(t *testing.T) {
	w := newWorld(t, func(s *snapshot.Snapshot) {
		s.Domains = nil
		for i := range s.Connections {
			s.Connections[i].CatchAll = s.Connections[i].Name == "okta"
		}
	})
	b := w.browser()
	page := b.get("/signin?rd=" + appURL)
	if !strings.Contains(page.body, `value="entra"`) || !strings.Contains(page.body, `value="okta"`) {
		t.Fatal(page.body)
	}
	a := b.atIdP(b.post("/signin", "same-origin", url.Values{"idp": {"okta"}, "rd": {appURL}}))
	if got := b.finish(a, w.respond(a, "alice@acme.example")); got.location != appURL {
		t.Fatalf("%d %s", got.status, got.body)
	}
	b.post("/signout", "same-origin", nil)
	page = b.get("/signin?rd=" + appURL)
	if !strings.Contains(page.body, "Continue with Okta") || !strings.Contains(page.body, "Use another account") || strings.Contains(page.body, "alice") {
		t.Fatal(page.body)
	}
	if other := b.get("/signin?other=1"); !strings.Contains(other.body, `value="entra"`) {
		t.Error(other.body)
	}
	// It was disabled since: no dead end.
	w.connection("okta").Enabled = false
	w.apply(w.process)
	if page := b.get("/signin"); strings.Contains(page.body, "Continue with Okta") {
		t.Error(page.body)
	}
	// With the last one disabled, nobody is told that something is not set up yet.
	for i := range w.snapshot.Connections {
		w.snapshot.Connections[i].Enabled = false
	}
	w.apply(w.process)
	if page := w.browser().get("/signin"); page.status != http.StatusServiceUnavailable || !strings.Contains(page.body, "Nobody can sign in right now") || !strings.Contains(page.body, "switched off") {
		t.Errorf("%d %s", page.status, page.body)
	}
}

func TestAddressesThatLeadNowhere(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice@acme.example")
	b = w.browser()
	for address, want := range map[string]string{
		"bob@nowhere.example":       "No sign-in is set up for addresses at nowhere.example.",
		"not an address":            "Enter an e-mail address such as name@example.com.",
		`"ceo"@victim.example`:      "Enter an e-mail address such as name@example.com.",
		"":                          "Enter your work e-mail address.",
		"a@b@victim.example":        "Enter an e-mail address such as name@example.com.",
		"<script>@acme.example.org": "Enter an e-mail address such as name@example.com.",
	} {
		got := b.post("/signin", "same-origin", url.Values{"email": {address}, "rd": {appURL}})
		if got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, want) || !strings.Contains(got.body, `aria-invalid="true"`) {
			t.Errorf("%q: %d %s", address, got.status, got.body)
		}
	}
	// Known or not, a person of a bound domain is sent to the same place.
	for _, address := range []string{"alice@acme.example", "nobody@acme.example"} {
		if a := b.begin(address, appURL); a.idp != "okta" {
			t.Error(a.idp)
		}
	}
	if a := b.atIdP(b.get("/signin?login_hint=alice%40acme.example&rd=" + appURL)); a.idp != "okta" {
		t.Error(a.idp)
	}
	if a := b.atIdP(b.get("/signin?idp=entra&rd=" + appURL)); a.idp != "entra" {
		t.Error(a.idp)
	}
	if got := b.get("/signin?idp=nobody"); got.status != 200 || !strings.Contains(got.body, "not available") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestOpenRedirectsAreRefused(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice@acme.example")
	for _, rd := range []string{"//evil.example", `/\evil.example`, "https://evil.example/", "https://grafana.example.com@evil.example/", "javascript:alert(1)", "http://grafana.example.com/",
		"https://grafana.example.com.evil.example/", "https:evil.example", "/%0d%0a/\n", "\thttps://evil.example"} {
		for _, path := range []string{"/signin?rd=", "/signin/resume?ref=0000-0000&rd="} {
			if got := b.get(path + url.QueryEscape(rd)); got.status != http.StatusBadRequest || got.location != "" {
				t.Errorf("%s%q: %d %q", path, rd, got.status, got.location)
			}
		}
		if got := w.browser().post("/signin", "same-origin", url.Values{"email": {"alice@acme.example"}, "rd": {rd}}); got.status != http.StatusBadRequest {
			t.Errorf("form %q: %d", rd, got.status)
		}
	}
	out := w.browser()
	out.signIn("alice@acme.example")
	w.connection("okta").Logout.Enabled = false
	w.apply(w.process)
	if got := out.post("/signout", "same-origin", url.Values{"rd": {"https://evil.example/"}}); got.location != "/signed-out" {
		t.Errorf("%d %q", got.status, got.location)
	}
}

// TestACookieOfOneHostAloneIsHandedOver: without session.cookie.domain every application is elsewhere.
func TestACookieOfOneHostAloneIsHandedOver(t *testing.T) {
	w := newWorld(t, func(s *snapshot.Snapshot) { s.ServiceProvider.Session.CookieDomain = "" })
	b := w.browser()
	b.signIn("alice@acme.example")
	if got := b.follow(spURL+"/signin?rd="+url.QueryEscape(appURL), appURL); got.location != appURL || b.checkAt("grafana.example.com").status != 200 {
		t.Errorf("%d %q", got.status, got.location)
	}
}

func TestStrictCookieLeavesByAPage(t *testing.T) {
	w := newWorld(t, func(s *snapshot.Snapshot) { s.ServiceProvider.Session.SameSite = "Strict" })
	b := w.browser()
	a := b.begin("alice@acme.example", appURL)
	got := b.finish(a, w.respond(a, "alice@acme.example"))
	if got.status != 200 || got.header.Get("Refresh") != "0; url="+appURL {
		t.Errorf("%d %v", got.status, got.header)
	}
}

func TestFormsOfOtherSitesAreNotCarriedOut(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice@acme.example")
	for _, site := range []string{"cross-site", "same-site"} {
		if got := b.post("/signout", site, nil); got.status != http.StatusForbidden || b.check("").status != 200 {
			t.Errorf("%s: %d", site, got.status)
		}
	}
	if got := b.get("/signout"); got.status != 200 || b.check("").status != 200 || !strings.Contains(got.body, "alice@acme.example") {
		t.Errorf("a link signed out: %d", got.status)
	}
	if got := w.browser().get("/signout"); got.status != 200 || !strings.Contains(got.body, "You are not signed in") || strings.Contains(got.body, "Sign out?") {
		t.Errorf("nobody is asked to sign out: %d %s", got.status, got.body)
	}
}

func TestTrustPageAndMetadata(t *testing.T) {
	for kind, wants := range map[string][]string{
		"Okta":            {"Audience URI (SP Entity ID)", "Single sign-on URL"},
		"EntraID":         {"Identifier (Entity ID)", "Reply URL (Assertion Consumer Service URL)"},
		"GoogleWorkspace": {"ACS URL", "Start URL (optional)"},
		"ADFS":            {"Relying party trust identifier"},
		"Keycloak":        {"Master SAML Processing URL", "Valid redirect URIs"},
		"Generic":         {"Entity ID, audience or identifier"},
	} {
		w := newWorld(t, func(s *snapshot.Snapshot) {
			for i := range s.Connections {
				s.Connections[i].Type = kind
			}
			// Trust is still waited for: the other side needs the page all the more.
			s.Connections[0].Trust, s.Connections[1].Enabled = nil, false
		})
		b := w.browser()
		page := b.get("/saml/okta")
		for _, want := range append(wants, spURL+"/saml/okta/acs", spURL+"/saml/okta/metadata", "SHA-256", "This connection is disabled") {
			if page.status != 200 || !strings.Contains(page.body, strings.ReplaceAll(want, " (optional)", "")) {
				t.Errorf("%s: the page lacks %q", kind, want)
			}
		}
		if waiting := b.get("/saml/entra"); waiting.status != 200 || !strings.Contains(waiting.body, "waiting for the identity provider") {
			t.Errorf("%s: %d", kind, waiting.status)
		}
		metadata := b.get("/saml/okta/metadata")
		if metadata.status != 200 || metadata.header.Get("Content-Type") != "application/samlmetadata+xml" || !strings.Contains(metadata.body, "EntityDescriptor") {
			t.Errorf("%s: %d %v", kind, metadata.status, metadata.header)
		}
		r, _ := http.NewRequest("GET", spURL+"/saml/okta/metadata", nil)
		r.Header.Set("If-None-Match", metadata.header.Get("ETag"))
		if got := b.do(r); got.status != http.StatusNotModified {
			t.Errorf("%d", got.status)
		}
	}
}
