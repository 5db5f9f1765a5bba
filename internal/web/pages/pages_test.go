package pages

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// everyPage is one of each, with what an attacker would put into every field.
func everyPage() []Page {
	const evil = `"><script>alert(1)</script>`
	at := At(time.Date(2026, 11, 23, 10, 2, 0, 0, time.UTC))
	return []Page{
		SignIn{Return: evil, Destination: evil, Notice: evil, Email: evil, FieldError: evil},
		SignIn{Return: evil, Remembered: &Choice{evil, evil}, OtherURL: "javascript:alert(1)"},
		SignIn{Choices: []Choice{{"okta", evil}, {"", ""}}},
		Post{Heading: evil, Action: "javascript:alert(1)", Field: "SAMLRequest", Message: evil, RelayState: evil},
		Message{Heading: evil, Sentence: evil, Advice: evil, Reference: evil, Action: &Link{"javascript:alert(1)", evil}, Other: &Link{"javascript:alert(1)", evil}},
		SignOut{Email: evil, Return: evil}, SignOut{Nobody: true, Return: evil},
		Account{Notice: evil, DisplayName: evil, Email: evil, FirstName: evil, LastName: evil, Groups: []string{evil}, Profile: []ProfileValue{{evil, evil, evil}},
			Sessions:    []Session{{ID: evil, Device: evil, IP: evil, IdP: evil, Created: at, LastSeen: at}},
			Connections: []Connected{{DisplayName: evil, Recorded: at, Attributes: []SentAttribute{{evil, evil, []string{evil, evil}}}}}},
		SecondStep{Email: evil, Fault: evil, Verify: true, HasPasskey: true}, SecondStep{Email: evil, Fault: evil, Enrol: true},
		SecondStep{Email: evil, Fault: evil, Notice: evil, Factors: []Factor{{evil, evil, evil, at, at}}}, NewApp(evil, evil, evil, []byte(evil), evil),
		RecoveryCodes{Codes: []string{evil}, Next: "javascript:alert(1)"},
		Trust{DisplayName: evil, Product: evil, MetadataURL: "javascript:alert(1)", Metadata: evil, Values: []TrustValue{{evil, evil, "javascript:alert(1)", evil, false}, {evil, evil, "", evil, true}},
			Steps: []Step{{evil, []Field{{evil, evil, true}}}}, Attributes: []ExpectedAttribute{{evil, []string{evil}, true}}, Profile: []ExpectedAttribute{{evil, []string{evil}, false}}, Certificates: []Certificate{{evil, evil, evil, evil, at}}},
	}
}

func TestNothingThatComesFromOutsideIsMarkup(t *testing.T) {
	for _, p := range everyPage() {
		w := httptest.NewRecorder()
		if err := Write(w, 200, Origin{Host: "sso.example.com"}, p); err != nil {
			t.Fatal(err)
		}
		name, _, _ := p.view()
		body := w.Body.String()
		if strings.Contains(body, "<script>alert") || strings.Contains(body, `="javascript:`) || strings.Contains(body, "style=") || strings.Contains(body, " on") && strings.Contains(body, "onclick") {
			t.Errorf("%s: %s", name, body)
		}
		if scripts := strings.Count(body, "<script") - strings.Count(body, `<script src="`+passkeyPath); scripts > 0 && name != "post" {
			t.Errorf("%s carries a script", name)
		}
	}
}

func TestPoliciesAndHeaders(t *testing.T) {
	for _, p := range everyPage() {
		w := httptest.NewRecorder()
		if err := Write(w, http.StatusForbidden, Origin{Host: "sso.example.com"}, p); err != nil {
			t.Fatal(err)
		}
		policy := w.Header().Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%q lacks %q", policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%q", policy)
		}
		if w.Code != http.StatusForbidden || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	}
}

func TestPolicyOfPostNamesItsOnlyScript(t *testing.T) {
	w := httptest.NewRecorder()
	if err := Write(w, 200, Origin{Host: "h"}, Post{Heading: "Going on to Acme", Action: "https://idp.example/sso", Field: "SAMLRequest", Message: "PHg+", RelayState: "r"}); err != nil {
		t.Fatal(err)
	}
	body := w.Body.String()
	_, rest, _ := strings.Cut(body, "<script>")
	script, _, ok := strings.Cut(rest, "</script>")
	if !ok || !strings.Contains(w.Header().Get("Content-Security-Policy"), "script-src '"+scriptHash(script)+"'") {
		t.Fatalf("%q is not the script of %s", script, w.Header().Get("Content-Security-Policy"))
	}
	for _, want := range []string{`action="https://idp.example/sso"`, `name="SAMLRequest" value="PHg&#43;"`, `name="RelayState" value="r"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the form lacks %s", want)
		}
	}
}

func TestAssetsMayBeKeptForEver(t *testing.T) {
	for _, path := range []string{stylesheetPath, faviconPath, passkeyPath} {
		w := httptest.NewRecorder()
		Assets().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
}

func TestPageOnAnotherHostTakesItsStyleFromOurs(t *testing.T) {
	w := httptest.NewRecorder()
	if err := Write(w, 403, Origin{Host: "sso.example.com", Base: "https://sso.example.com"}, Message{Heading: "No access"}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(w.Body.String(), `href="https://sso.example.com/assets/style.`) || !strings.Contains(w.Header().Get("Content-Security-Policy"), "style-src https://sso.example.com;") {
		t.Error(w.Header(), w.Body)
	}
}
