// Package proxies runs real reverse proxies with the configurations that docs/proxies prints, between a client that can send anything, a service
// provider and an application that tells what it got, byte for byte.
package proxies

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/sallyport/hack/demo/edge"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/trust"
	"sallyport.dev/sallyport/internal/web"
)

const (
	ssoHost = "sso.example.com"
	appHost = "grafana.example.com"
	// otherHost is outside of the domain of the session's cookie.
	otherHost = "grafana.example.org"
	// openHost is for everybody, and no proxy serves it.
	openHost = "open.example.com"
	ssoURL   = "https://" + ssoHost
	appURL   = "https://" + appHost
	idpSSO   = "https://idp.acme.example/sso"
)

// world is a service provider with one IdP, and an application. Every proxy of the tests stands before the same one.
type world struct {
	idp         *samltest.IdP
	connection  snapshot.Connection
	sp          *httptest.Server
	grpc        string
	application *application
	pair        edge.Pair
	signed      *snapshot.SignedHeader
}

var shared = sync.OnceValues(newWorld)

// theWorld is the world that all tests share: keys take a while to make, and no test changes it.
func theWorld(t *testing.T) *world {
	t.Helper()
	w, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newWorld() (*world, error) {
	now := time.Now()
	idp, err := samltest.NewIdP("https://idp.acme.example/metadata", idpSSO, "", now)
	if err != nil {
		return nil, err
	}
	w := &world{idp: idp}
	if w.connection, err = idp.Connection(ssoURL, "acme", now); err != nil {
		return nil, err
	}
	w.connection.Mapping = identity.Preset("Generic")
	authority, err := edge.NewAuthority("test")
	if err != nil {
		return nil, err
	}
	if w.pair, err = authority.Server("*.example.com", "*.example.org"); err != nil {
		return nil, err
	}
	if w.application, err = newApplication(); err != nil {
		return nil, err
	}
	key, err := trust.NewHeaderKey(now, ssoURL, time.Hour)
	if err != nil {
		return nil, err
	}
	key.Phase = snapshot.KeyCurrent
	w.signed = &snapshot.SignedHeader{Keys: []snapshot.SPKey{key}}
	return w, w.serve()
}

func (w *world) serve() error {
	dir, err := tempDir()
	if err != nil {
		return err
	}
	ctx := context.Background()
	db, err := store.Open(ctx, "sqlite://"+filepath.Join(dir, "store.db"), store.Options{AuditWriter: "test"})
	if err != nil {
		return err
	}
	server, err := web.New(ctx, web.Options{Store: db, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	s := snapshot.Snapshot{
		ServiceProvider: snapshot.ServiceProvider{
			Namespace: "sso", Name: "main", URL: ssoURL, AllowedHosts: []string{"*.example.com", "*.example.org"}, TrustedProxies: []string{"127.0.0.0/8"},
			Session:  snapshot.Session{Lifetime: time.Hour, IdleTimeout: time.Hour, CookieDomain: "example.com", SameSite: "Lax"},
			DebugLog: snapshot.DebugLog{Retention: time.Hour, MaxEntries: 100}, SignedHeader: w.signed,
			Access: &snapshot.Access{Rules: []snapshot.AccessRule{
				{Hosts: []string{appHost}, PathPrefixes: []string{"/public"}, Allow: "Public"},
				{Hosts: []string{appHost}, PathPrefixes: []string{"/admin"}, Allow: "Matching", Groups: []string{"ops"}},
				{Hosts: []string{appHost, otherHost}, Allow: "SignedIn"},
				{Hosts: []string{openHost}, Allow: "Public"},
			}},
		},
		Connections: []snapshot.Connection{w.connection},
		Domains:     []snapshot.Domain{{Domain: "acme.example", Connection: "acme", Binding: "acme"}},
	}
	encoded, err := snapshot.Encode(s)
	if err != nil {
		return err
	}
	if err := server.Apply(s, encoded.Revision); err != nil {
		return err
	}
	go server.Run(ctx) //nolint:errcheck // ends with the tests
	w.sp = httptest.NewServer(server.Public())
	listener, err := listen()
	if err != nil {
		return err
	}
	w.grpc = listener.Addr().String()
	go server.NewExtAuthz().Serve(listener) //nolint:errcheck // ends with the tests
	return nil
}

// spAddress is HOST:PORT of the service provider's public port.
func (w *world) spAddress() string { return strings.TrimPrefix(w.sp.URL, "http://") }

// respond makes the IdP's form for a browser that was sent to it.
func (w *world) respond(t *testing.T, location, email string) url.Values {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil || !strings.HasPrefix(location, idpSSO) {
		t.Fatalf("sent to %q, not to the IdP", location)
	}
	request, err := samltest.ReadQuery(u.RawQuery, nil)
	if err != nil {
		t.Fatal(err)
	}
	form, err := w.idp.Form(samltest.Response{
		Now: time.Now(), ACS: w.connection.ACSURL, Audience: w.connection.EntityID, InResponseTo: request.ID, NameID: "id-of-" + email,
		NameIDFormat: identity.FormatPersistent, SessionIndex: "index-" + email,
		Attributes: []samltest.Attribute{{Name: "email", Values: []string{email}}, {Name: "firstName", Values: []string{"Alice"}},
			{Name: "lastName", Values: []string{"Adams"}}, {Name: "groups", Values: []string{"dev", "ml,team"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return url.Values{"SAMLResponse": {form}, "RelayState": {request.RelayState}}
}

// signIn opens a page behind the proxy in a new browser and signs in, step by step as a browser goes. It returns where the person landed.
func (p *running) signIn(t *testing.T, email, page string) (*browser, reply) {
	t.Helper()
	b := newBrowser(t, p.address)
	got := b.get(page)
	if want := ssoURL + "/signin?rd=" + url.QueryEscape(page); got.status != http.StatusFound || got.location() != want {
		t.Fatalf("%s: a page, signed out: %d to %q, want 302 to %q", p.name, got.status, got.location(), want)
	}
	back, _ := url.Parse(got.location())
	if got = b.get(got.location()); got.status != http.StatusOK {
		t.Fatalf("%s: the sign-in page: %d %s", p.name, got.status, got.body)
	}
	got = b.post(ssoURL+"/signin", "same-origin", url.Values{"email": {email}, "rd": {back.Query().Get("rd")}})
	got = b.post(w(t).connection.ACSURL, "cross-site", w(t).respond(t, got.location(), email))
	if got.status != http.StatusSeeOther || got.location() != page {
		t.Fatalf("%s: signed in and sent to %d %q, want %q\n%s", p.name, got.status, got.location(), page, got.body)
	}
	return b, b.get(page)
}

func w(t *testing.T) *world { return theWorld(t) }
