package access

import (
	"slices"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/web/proxy"
)

func TestFirstMatchDecides(t *testing.T) {
	a, err := Compile(&snapshot.Access{Rules: []snapshot.AccessRule{
		{Hosts: []string{"app.example.com"}, PathPrefixes: []string{"/public", "/assets/"}, Allow: "Public"},
		{Hosts: []string{"app.example.com"}, PathPrefixes: []string{"/admin"}, Allow: "Matching", Groups: []string{"admins"}},
		{Hosts: []string{"app.example.com"}, PathPrefixes: []string{"/settings/"}, Allow: "Matching", Groups: []string{"admins"}},
		{Hosts: []string{"app.example.com"}, Methods: []string{"GET", "HEAD"}, Allow: "SignedIn"},
		{Hosts: []string{"*.dev.example.com"}, Allow: "Matching", Users: []string{"Alice@acme.example"}, IdentityProviders: []string{"okta"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	const (
		denied, public, signedIn, matching = "denied", "public", "signed in", "matching"
	)
	for request, want := range map[string]string{
		"GET app.example.com /public":                  public,
		"GET app.example.com:8443 /public/x?y":         public,
		"POST app.example.com /public/x":               public,
		"GET app.example.com /publicity":               signedIn,
		"GET app.example.com /assets/x":                public,
		"GET app.example.com /assets":                  signedIn,
		"GET app.example.com /admin":                   matching,
		"GET app.example.com /%61dmin/x":               matching,
		"GET app.example.com /":                        signedIn,
		"POST app.example.com /":                       denied,
		"GET other.example.com /":                      denied,
		"GET x.dev.example.com /":                      matching,
		"GET dev.example.com /":                        denied,
		"GET app.example.com /public/../admin":         denied,
		"GET app.example.com /public/%2e%2e/admin":     denied,
		"GET app.example.com /public/..%2fadmin":       denied,
		"GET app.example.com /public/..%5cadmin":       denied,
		"GET app.example.com /public%252f..%252fadmin": denied,
		"GET app.example.com //admin":                  denied,
		"GET app.example.com /./admin":                 denied,
		"GET app.example.com /public;/../admin":        denied,
		"GET app.example.com /public/%":                denied,
		"GET x.dev.example.com /a/../b":                matching,

		// What some program takes for /admin, which is not for everybody who is signed in: another case (Express, IIS), something that is trimmed (Flask, Spring, Windows),
		// a format (Rails), a fragment that the application cuts off, compatible characters.
		"GET app.example.com /ADMIN":                  denied,
		"GET app.example.com /Admin/x":                denied,
		"GET app.example.com /%41dmin":                denied,
		"GET app.example.com /admin%20":               denied,
		"GET app.example.com /%20admin":               denied,
		"GET app.example.com /admin%09":               denied,
		"GET app.example.com /admin%0a":               denied,
		"GET app.example.com /admin%00":               denied,
		"GET app.example.com /admin%1f":               denied,
		"GET app.example.com /admin\x85":              denied,
		"GET app.example.com /admin%85":               denied,
		"GET app.example.com /admin%a0":               denied,
		"GET app.example.com /admin%c2%a0":            denied,
		"GET app.example.com /admin%c2%85":            denied,
		"GET app.example.com /admin%e2%80%8b":         denied,
		"GET app.example.com /ad%e2%80%8bmin":         denied,
		"GET app.example.com /public/%c0%ae%c0%ae/x":  denied,
		"GET app.example.com /admin.":                 denied,
		"GET app.example.com /admin./x":               denied,
		"GET app.example.com /admin.json":             denied,
		"GET app.example.com /admin~":                 denied,
		"GET app.example.com /admin,x":                denied,
		"GET app.example.com /admin:x":                denied,
		"GET app.example.com /admin%3fx":              denied,
		"GET app.example.com /admin%23x":              denied,
		"GET app.example.com /admin#x":                denied,
		"GET app.example.com /#/admin":                denied,
		"GET app.example.com /%ef%bd%81dmin":          denied,
		"GET app.example.com /%ef%bc%8fadmin":         denied,
		"GET app.example.com /x/%ef%bc%8e%ef%bc%8e/a": denied,
		"GET app.example.com /admin%ef%bc%9bx":        denied,
		"GET app.example.com /adm%c4%b1n":             denied,
		"get app.example.com /x":                      denied,
		"Post app.example.com /x":                     denied,
		"GET app.example.com /settings":               matching,
		"GET app.example.com /settings/x":             matching,
		"GET app.example.com /Settings":               denied,
		// What nobody takes for it.
		"GET app.example.com /administrator":   signedIn,
		"GET app.example.com /admin-panel":     signedIn,
		"GET app.example.com /admin_panel":     signedIn,
		"GET app.example.com /admin2":          signedIn,
		"GET app.example.com /admin%c3%b6":     signedIn,
		"GET app.example.com /wiki/Apple_Inc.": signedIn,
		"GET app.example.com /wiki/My%20page":  signedIn,
		"GET app.example.com /x/admin":         signedIn,
		"GET app.example.com /.well-known/x":   signedIn,
		// A rule that lets everybody pass takes nothing but what it names.
		"GET app.example.com /PUBLIC":      signedIn,
		"GET app.example.com /public.html": signedIn,
		"GET app.example.com /public%20":   signedIn,
	} {
		part := strings.Fields(request)
		got := denied
		if r := a.Match(proxy.Original{Method: part[0], Scheme: "https", Host: part[1], URI: part[2]}); r != nil {
			switch {
			case r.Public:
				got = public
			case r.SignedIn:
				got = signedIn
			default:
				got = matching
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", request, got, want)
		}
	}
}

func TestAdmits(t *testing.T) {
	a, err := Compile(&snapshot.Access{Rules: []snapshot.AccessRule{
		{Hosts: []string{"groups"}, Allow: "Matching", Groups: []string{"admins"}},
		{Hosts: []string{"people"}, Allow: "Matching", Groups: []string{"admins"}, Users: []string{"Alice@acme.example"}},
		{Hosts: []string{"idp"}, Allow: "Matching", IdentityProviders: []string{"okta"}},
		{Hosts: []string{"both"}, Allow: "Matching", IdentityProviders: []string{"okta"}, Groups: []string{"admins"}, Users: []string{"alice@acme.example"}},
		{Hosts: []string{"nothing"}, Allow: "Matching"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host, groups, idp, email string
		want                     bool
	}{
		{"groups", "dev admins", "okta", "bob@acme.example", true},
		{"groups", "dev", "okta", "bob@acme.example", false},
		{"groups", "Admins", "okta", "bob@acme.example", false},
		{"groups", "", "", "", false},
		{"people", "", "entra", "alice@acme.example", true},
		{"people", "admins", "entra", "bob@acme.example", true},
		{"people", "", "entra", "bob@acme.example", false},
		{"idp", "", "okta", "bob@acme.example", true},
		{"idp", "admins", "entra", "bob@acme.example", false},
		{"both", "admins", "okta", "bob@acme.example", true},
		{"both", "", "okta", "alice@acme.example", true},
		{"both", "admins", "partner", "mallory@partner.example", false},
		{"both", "dev", "okta", "bob@acme.example", false},
		{"nothing", "admins", "okta", "alice@acme.example", false},
	} {
		rule := a.Match(proxy.Original{Method: "GET", Host: c.host, URI: "/"})
		if got := rule.Admits(func(group string) bool { return slices.Contains(strings.Fields(c.groups), group) }, c.idp, c.email); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestUnknownAllowIsAnError(t *testing.T) {
	if _, err := Compile(&snapshot.Access{Rules: []snapshot.AccessRule{{Allow: "Everyone"}}}); err == nil || !strings.Contains(err.Error(), "access.rules[0].allow") {
		t.Error(err)
	}
	if a, err := Compile(nil); a != nil || err != nil {
		t.Error(a, err)
	}
}
