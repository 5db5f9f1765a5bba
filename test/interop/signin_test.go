package interop

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/sallyport/test/internal/await"
	"sallyport.dev/sallyport/test/interop/simplesamlphp"
)

func TestSignInLandsOnThePageThatWasAskedFor(t *testing.T) {
	r := newRig(t, options{})
	tab := r.signIn(appURL+"/d/board?from=now-6h&to=now&var=a%26b", "alice@acme.example", "alice")
	tab.WaitURL(appURL)
	if got := tab.URL(); got != appURL+"/d/board?from=now-6h&to=now&var=a%26b" {
		t.Errorf("landed on %s", got)
	}
	tab.WaitText("Hello Alice Adams")
	got := r.get(appURL+"/api/whoami", r.cookies(tab)).headers(t)
	for name, want := range map[string]string{
		"Remote-User": "alice@acme.example", "Remote-Email": "alice@acme.example", "Remote-Name": "Alice Adams", "Remote-Groups": "dev,oncall",
		"X-Auth-Request-User": "alice@acme.example", "X-Auth-Request-Email": "alice@acme.example", "X-Auth-Request-Groups": "dev,oncall",
		"X-Auth-Request-Preferred-Username": "alice@acme.example",
	} {
		if values := got[name]; !slices.Equal(values, []string{want}) {
			t.Errorf("the application got %s %q, want %q", name, values, want)
		}
	}

	// The session is there for every application of the domain, and for a second tab.
	other := tab.NewTab()
	other.Open(appURL + "/other")
	other.WaitText("Hello Alice Adams")
}

func TestSignOutEndsTheSession(t *testing.T) {
	r := newRig(t, options{})
	tab := r.signIn(appURL+"/", "alice@acme.example", "alice")
	tab.WaitText("Hello Alice Adams")
	stolen := r.cookies(tab)
	if got := r.get(appURL+"/api", stolen); got.status != http.StatusOK {
		t.Fatalf("signed in, and the application answers %d", got.status)
	}

	tab.Press("#signout")
	tab.WaitText("Sign out?")
	tab.Press("form[action='/signout'] button")
	tab.WaitText("signed out")
	if got := r.get(appURL+"/api", stolen); got.status != http.StatusUnauthorized {
		t.Errorf("signed out, and the old cookie still gets %d", got.status)
	}
	tab.Open(appURL + "/")
	tab.WaitURL(ssoURL + "/signin")
}

func TestSignedOutPagesAndCallsAreToldApart(t *testing.T) {
	r := newRig(t, options{})
	page := r.get(appURL+"/d/board?a=1&b=2", http.Header{"Accept": {"text/html"}})
	want := ssoURL + "/signin?rd=" + url.QueryEscape(appURL+"/d/board?a=1&b=2")
	if page.status != http.StatusFound || page.header.Get("Location") != want {
		t.Errorf("a page: %d to %q, want 302 to %q", page.status, page.header.Get("Location"), want)
	}
	if call := r.get(appURL+"/api/x?groups=dev", http.Header{"Accept": {"application/json"}}); call.status != http.StatusUnauthorized || len(call.header["Location"]) > 0 {
		t.Errorf("a call: %d %v, want 401 and no redirect", call.status, call.header)
	}
	for _, header := range []http.Header{
		{"Remote-User": {"ceo@victim.example"}},
		{"X-Auth-Request-User": {"ceo@victim.example"}},
		{"Cookie": {"__Secure-sallyport=forged"}},
		{"X-Forwarded-User": {"ceo@victim.example"}, "X-Original-Url": {ssoURL + "/healthz"}, "X-Forwarded-Uri": {"/healthz"}},
	} {
		if got := r.get(appURL+"/", header); got.status != http.StatusUnauthorized {
			t.Errorf("%v: %d, want 401", header, got.status)
		}
	}
}

func TestForgedIdentityHeadersDoNotSurvive(t *testing.T) {
	r := newRig(t, options{})
	tab := r.signIn(appURL+"/", "bob@acme.example", "bob")
	tab.WaitText("Hello Bob Brown")
	forged := "ceo@victim.example"
	names := []string{"Remote-User", "remote-user", "REMOTE-USER", "Remote_User", "REMOTE_USER", "remote_groups", "Remote-Groups", "Remote-Email", "Remote-Name",
		"X-Auth-Request-User", "x-auth-request-groups", "X_Auth_Request_User", "X-Auth-Request-Email", "X-Auth-Request-Preferred-Username"}
	for _, name := range names {
		header := r.cookies(tab)
		header[name] = []string{forged, forged}
		got := r.get(appURL+"/api", header).headers(t)
		for had, values := range got {
			if strings.Contains(strings.Join(values, ","), forged) {
				t.Errorf("%s: the application got %s %q", name, had, values)
			}
		}
		if values := got["Remote-User"]; !slices.Equal(values, []string{"bob@acme.example"}) {
			t.Errorf("%s: Remote-User is %q", name, values)
		}
	}
}

func TestAnAddressOfAnotherDomainIsRefused(t *testing.T) {
	r := newRig(t, options{})
	tab := r.signIn(appURL+"/", "mallory@acme.example", "mallory")
	tab.WaitURL(ssoURL)
	tab.WaitText("Reference")
	if text := tab.Text(); strings.Contains(text, "victim.example") || !strings.Contains(text, "administrator") {
		t.Errorf("the page must say whom to ask and not repeat what was asserted:\n%s", text)
	}
	if got := r.get(appURL+"/api", r.cookies(tab)); got.status != http.StatusUnauthorized {
		t.Errorf("mallory gets %d from the application", got.status)
	}
	await.Until(r.t, "the audit record", func() bool { return strings.Contains(r.sp.Said(), "email_domain_not_bound") })
	if strings.Contains(r.sp.Said(), "<saml") || strings.Contains(r.sp.Said(), "PRIVATE KEY") {
		t.Error("the log holds an assertion or a key")
	}
}

func TestGroupsDecideWhoMayEnter(t *testing.T) {
	r := newRig(t, options{nginx: func(files map[string]string) {
		files["sallyport-check.conf"] = strings.NewReplacer(
			"proxy_pass http://sallyport/authz/nginx;", "proxy_pass http://sallyport/authz/nginx?groups=dev,ops;",
			"rewrite ^ /authz/forward? break;", "rewrite ^ /authz/forward?groups=dev,ops? break;").Replace(files["sallyport-check.conf"])
	}})
	r.signIn(appURL+"/", "alice@acme.example", "alice").WaitText("Hello Alice Adams")
	bob := r.signIn(appURL+"/?groups=sales", "bob@acme.example", "bob")
	bob.WaitText("Access denied")
	if got := r.get(appURL+"/api?groups=sales", r.cookies(bob)); got.status != http.StatusForbidden {
		t.Errorf("bob's call: %d, want 403", got.status)
	}
}

func TestEverySortOfResponseIsUnderstood(t *testing.T) {
	tests := map[string]options{
		"encrypted assertion in a signed response": {saml: "response: {encryption: Required}", remote: func(sp *simplesamlphp.SP) {
			sp.EncryptAssertions, sp.SignResponse = true, true
		}},
		"signed response": {saml: "response: {responseSignature: Required}", remote: func(sp *simplesamlphp.SP) { sp.SignResponse = true }},
		"request by POST": {saml: "request: {binding: POST}"},
		"NameID is an address": {saml: "request: {nameIDFormat: EmailAddress}", remote: func(sp *simplesamlphp.SP) {
			sp.NameIDFormat = simplesamlphp.EmailNameID
		}},
	}
	for name, o := range tests {
		t.Run(name, func(t *testing.T) {
			newRig(t, o).signIn(appURL+"/", "alice@acme.example", "alice").WaitText("Hello Alice Adams")
		})
	}
}

func TestResponsesBelowTheDemandAreRefused(t *testing.T) {
	tests := map[string]options{
		"plain where encryption is required":              {saml: "response: {encryption: Required}"},
		"signed assertion where the response should be":   {saml: "response: {responseSignature: Required}"},
		"CBC without a signature over the encrypted data": {remote: func(sp *simplesamlphp.SP) { sp.EncryptAssertions = true }},
	}
	for name, o := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, o)
			tab := r.signIn(appURL+"/", "alice@acme.example", "alice")
			tab.WaitText("Reference")
			if got := r.get(appURL+"/api", r.cookies(tab)); got.status != http.StatusUnauthorized {
				t.Errorf("refused, and the application answers %d", got.status)
			}
		})
	}
}
