package access

import (
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/snapshot"
)

func TestExplain(t *testing.T) {
	section := &snapshot.Access{Rules: []snapshot.AccessRule{
		{Hosts: []string{"app.example.com"}, PathPrefixes: []string{"/public"}, Allow: "Public"},
		{Hosts: []string{"app.example.com"}, PathPrefixes: []string{"/admin"}, Allow: "Matching", Groups: []string{"ops"}, IdentityProviders: []string{"okta"}},
		{Hosts: []string{"app.example.com"}, Methods: []string{"GET"}, Allow: "SignedIn"},
	}}
	alice := &Person{Email: "alice@acme.example", IdentityProvider: "okta", Groups: []string{"ops"}}
	mallory := &Person{Email: "mallory@acme.example", IdentityProvider: "entra", Groups: []string{"ops"}}
	for _, c := range []struct {
		section     *snapshot.Access
		method, url string
		person      *Person
		outcome     Outcome
		rule        int
		why         string
	}{
		{nil, "", "https://app.example.com/", nil, SignIn, -1, "no access rules"},
		{nil, "", "https://app.example.com/", alice, Allowed, -1, "no access rules"},
		{section, "", "https://app.example.com/public/logo.svg", nil, Allowed, 0, "Rule 1 (hosts app.example.com; paths /public)"},
		{section, "", "https://App.example.com:8443/admin/users?page=2", alice, Allowed, 1, "lets alice@acme.example pass"},
		{section, "", "https://app.example.com/admin", mallory, Denied, 1, "one of the groups ops, and a sign-in through okta"},
		{section, "", "https://app.example.com/admin", nil, SignIn, 1, "wants somebody who is signed in"},
		{section, "GET", "https://app.example.com/", mallory, Allowed, 2, "Rule 3"},
		{section, "DELETE", "https://app.example.com/", alice, Denied, -1, "none of them matches this path and method"},
		{section, "", "https://app.example.com/public/..%2fadmin", alice, Denied, -1, "read it in different ways"},
		{section, "", "https://other.example.com/", alice, Denied, -1, "No rule names the host other.example.com"},
	} {
		got, err := Explain(c.section, c.method, c.url, c.person)
		if err != nil || got.Outcome != c.outcome || got.Rule != c.rule || !strings.Contains(got.Why, c.why) {
			t.Errorf("%s %s: %+v %v, want %s by rule %d: %s", c.method, c.url, got, err, c.outcome, c.rule, c.why)
		}
	}
	for _, bad := range []string{"app.example.com", "/admin", "ftp://app.example.com/", "https://alice@app.example.com/", "https://%zz/"} {
		if got, err := Explain(section, "", bad, alice); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func TestExplainNamesTheRuleThatARequestIsUnclearTo(t *testing.T) {
	section := &snapshot.Access{Rules: []snapshot.AccessRule{
		{Hosts: []string{"app.example.com"}, PathPrefixes: []string{"/admin/"}, Allow: "Matching", Groups: []string{"ops"}},
		{Hosts: []string{"app.example.com"}, Allow: "SignedIn"},
	}}
	ops := &Person{Email: "alice@acme.example", IdentityProvider: "okta", Groups: []string{"ops"}}
	for address, why := range map[string]string{
		"https://app.example.com/Admin":      "Rule 1 (hosts app.example.com; paths /admin) does not match as it is written, but some programs take",
		"https://app.example.com/admin.json": "write a rule that names this one before it",
		"https://app.example.com/x//admin":   "Rule 1 (hosts app.example.com; paths /admin) cannot be asked about this path",
	} {
		got, err := Explain(section, "", address, ops)
		if err != nil || got.Outcome != Denied || got.Rule != -1 || !strings.Contains(got.Why, why) {
			t.Errorf("%s: %+v, %v", address, got, err)
		}
	}
}
