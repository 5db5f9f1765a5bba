package saml

import (
	"crypto/rsa"
	"crypto/x509"
	"sync"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
)

// t0 is now in every test.
var t0 = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

// material is what is slow to make: two IdPs and three pairs of our own keys.
type material struct {
	idp, other              *samltest.IdP
	current, previous, next snapshot.SPKey
}

var shared = sync.OnceValue(func() material {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	var m material
	var err error
	m.idp, err = samltest.NewIdP("https://idp.example.com/metadata", "https://idp.example.com/sso", "https://idp.example.com/slo", t0)
	must(err)
	m.other, err = samltest.NewIdP("https://idp.victim.example/metadata", "https://idp.victim.example/sso", "https://idp.victim.example/slo", t0)
	must(err)
	m.current, err = samltest.SPKey(snapshot.KeyCurrent, "sp", t0)
	must(err)
	m.previous, err = samltest.SPKey(snapshot.KeyPrevious, "sp", t0)
	must(err)
	m.next, err = samltest.SPKey(snapshot.KeyNext, "sp", t0)
	must(err)
	return m
})

// public is the RSA key of one of our key pairs.
func public(k snapshot.SPKey) *rsa.PublicKey {
	cert, err := x509.ParseCertificate(k.Certificate)
	if err != nil {
		panic(err)
	}
	return cert.PublicKey.(*rsa.PublicKey)
}

// Status codes of an IdP that refuses (saml-core 3.2.2.2).
const (
	statusRequester     = "urn:oasis:names:tc:SAML:2.0:status:Requester"
	statusResponder     = "urn:oasis:names:tc:SAML:2.0:status:Responder"
	statusRequestDenied = "urn:oasis:names:tc:SAML:2.0:status:RequestDenied"
)

// fixture is a connection that accepts what its IdP sends, and the request that is pending.
type fixture struct {
	t       testing.TB
	idp     *samltest.IdP
	conf    snapshot.Connection
	pending *Pending
	limits  Limits
	now     time.Time
}

func newFixture(t testing.TB) *fixture {
	m := shared()
	base := "https://sso.example.com/saml/okta"
	return &fixture{
		t: t, idp: m.idp, now: t0, limits: DefaultLimits(),
		conf: snapshot.Connection{
			Name: "okta", UID: "uid-okta", DisplayName: "Acme", Type: "Okta", Enabled: true,
			EntityID: base, ACSURL: base + "/acs", SLOURL: base + "/slo", MetadataURL: base + "/metadata", TrustPageURL: base,
			Trust: m.idp.Trust(), Keys: []snapshot.SPKey{m.next, m.previous, m.current},
			Request:  snapshot.RequestPolicy{Sign: true},
			Response: snapshot.ResponsePolicy{ClockSkew: time.Minute},
			Logout:   snapshot.LogoutPolicy{Enabled: true},
		},
		pending: &Pending{RequestID: "_request1", Connection: "okta", IssuedAt: t0.Add(-30 * time.Second)},
	}
}

func (f *fixture) connection() *Connection {
	f.t.Helper()
	c, err := NewConnection(f.conf, f.limits)
	if err != nil {
		f.t.Fatal(err)
	}
	return c.WithNamespace("sso")
}

// response is what the IdP says when nothing is wrong.
func (f *fixture) response() samltest.Response {
	r := samltest.Response{
		Now: f.now, ACS: f.conf.ACSURL, Audience: f.conf.EntityID,
		Attributes: []samltest.Attribute{
			{Name: "email", FriendlyName: "mail", Values: []string{"alice@example.com"}},
			{Name: "groups", Values: []string{"dev", "ml-team"}},
		},
	}
	if f.pending != nil {
		r.InResponseTo = f.pending.RequestID
	}
	return r
}

func (f *fixture) form(r samltest.Response) string {
	f.t.Helper()
	form, err := f.idp.Form(r)
	if err != nil {
		f.t.Fatal(err)
	}
	return form
}
