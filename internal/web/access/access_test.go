package access

import (
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/web/proxy"
)

func TestFirstMatchDecides(t *testing.T) {
	a, err := Compile(&snapshot.Access{Rules: []snapshot.AccessRule{
		{Hosts: []string{"app.example.com"}, PathPrefixes: []string{"/public", "/assets/"}, Allow: "Public"},
		{Hosts: []string{"app.example.com"}, PathPrefixes: []string{"/admin"}, Allow: "Matching", Groups: []string{"admins"}},
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
	admins := a.Match(proxy.Original{Method: "GET", Host: "app.example.com", URI: "/admin"})
	dev := a.Match(proxy.Original{Method: "GET", Host: "x.dev.example.com", URI: "/"})
	for name, ok := range map[string]bool{
		"admin enters":           admins.Admits([]string{"dev", "admins"}, "okta", "bob@acme.example"),
		"others do not":          !admins.Admits([]string{"dev"}, "okta", "bob@acme.example"),
		"user by address":        dev.Admits(nil, "entra", "alice@acme.example"),
		"user by IdP":            dev.Admits(nil, "okta", "bob@acme.example"),
		"neither":                !dev.Admits([]string{"admins"}, "entra", "bob@acme.example"),
		"an empty group is none": !admins.Admits([]string{""}, "", ""),
	} {
		if !ok {
			t.Error(name)
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
