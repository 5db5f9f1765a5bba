package site

import (
	"context"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
)

func testSnapshot(t *testing.T) snapshot.Snapshot {
	t.Helper()
	idp, err := samltest.NewIdP("https://idp.example.com", "https://idp.example.com/sso", "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := snapshot.Snapshot{ServiceProvider: snapshot.ServiceProvider{Name: "main", URL: "https://sso.example.com", Session: snapshot.Session{CookieDomain: "example.com"}}}
	for _, name := range []string{"zeta", "alpha", "off"} {
		c, err := idp.Connection("https://sso.example.com", name, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		c.Enabled, c.UID = name != "off", "uid-"+name
		s.Connections = append(s.Connections, c)
	}
	s.Domains = []snapshot.Domain{{Domain: "acme.example", Connection: "zeta", Binding: "acme"}}
	return s
}

func TestOneBrokenConnectionStopsNoOther(t *testing.T) {
	s := testSnapshot(t)
	s.Connections[0].Trust.SigningCertificates = [][]byte{{1, 2, 3}}
	// Trust is shared between the test's connections: give the others their own.
	good := testSnapshot(t)
	s.Connections[1], s.Connections[2] = good.Connections[1], good.Connections[2]
	site, broken, err := Compile(nil, s, "r1")
	if err != nil || len(broken) != 1 || broken[0].Connection != "zeta" {
		t.Fatalf("%v %v", broken, err)
	}
	if site.Connection("zeta") != nil || site.Connection("alpha") == nil {
		t.Error("the wrong connection was left out")
	}
}

func TestCompileRefusesWhatItCannotServe(t *testing.T) {
	for field, edit := range map[string]func(*snapshot.ServiceProvider){
		"url":            func(sp *snapshot.ServiceProvider) { sp.URL = "http://sso.example.com" },
		"allowedHosts":   func(sp *snapshot.ServiceProvider) { sp.AllowedHosts = []string{"*"} },
		"trustedProxies": func(sp *snapshot.ServiceProvider) { sp.TrustedProxies = []string{"everyone"} },
	} {
		s := testSnapshot(t)
		edit(&s.ServiceProvider)
		if _, _, err := Compile(nil, s, "r"); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestAdmits(t *testing.T) {
	site, _, err := Compile(nil, testSnapshot(t), "r")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		uid, domain string
		want        bool
	}{
		{"uid-zeta", "acme.example", true},
		{"uid-alpha", "acme.example", false},
		{"uid-alpha", "unbound.example", true},
		{"uid-off", "unbound.example", false},
		{"uid-gone", "acme.example", true},
	} {
		if got := site.Admits(c.uid, c.domain); got != c.want {
			t.Errorf("Admits(%q, %q) = %v", c.uid, c.domain, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { site.Admits("uid-zeta", "acme.example") }); n > 0 {
		t.Errorf("Admits allocates %v times", n)
	}
	if usable := site.Usable(); len(usable) != 2 || usable[0].Name != "alpha" {
		t.Errorf("%v", usable)
	}
	for host, want := range map[string]bool{"app.example.com": true, "example.com:8443": true, "a.b.example.com": true, "badexample.com": false, "app.acme.example": false} {
		if site.CookieReaches(host) != want {
			t.Errorf("CookieReaches(%q) = %v", host, !want)
		}
	}
	if site.Cookie.Name != "__Secure-sso-main" {
		t.Error(site.Cookie.Name)
	}
}

func TestHolderWakesWhoeverWaits(t *testing.T) {
	var h Holder
	if h.Current() != nil {
		t.Fatal("serves something")
	}
	got := make(chan *Site)
	go func() { got <- h.Wait(t.Context(), "r2") }()
	h.Swap(&Site{Revision: "r1"})
	h.Swap(&Site{Revision: "r2"})
	if s := <-got; s.Revision != "r2" {
		t.Fatal(s.Revision)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s := h.Wait(ctx, "r3"); s.Revision != "r2" {
		t.Fatal(s.Revision)
	}
}
