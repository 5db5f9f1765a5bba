package saml

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/url"
	"testing"

	crewjam "github.com/crewjam/saml"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/saml/xmlenc"
)

// benchCase is one input that both libraries accept. crewjam's canonicalization stops at 1,000 elements, so its largest case has
// 900 groups.
type benchCase struct {
	name string
	edit func(*fixture, *samltest.Response)
}

var benchCases = []benchCase{
	{"signed assertion, 2 KB", func(*fixture, *samltest.Response) {}},
	{"signed response and assertion", func(_ *fixture, r *samltest.Response) { r.SignResponse, r.SignAssertion = true, true }},
	{"encrypted", func(f *fixture, r *samltest.Response) {
		r.EncryptTo = []*rsa.PublicKey{public(shared().current)}
		r.Encryption = xmlenc.Options{Block: xmlenc.AES128GCM, Transport: xmlenc.OAEPMGF1P, Digest: "http://www.w3.org/2000/09/xmldsig#sha1"}
	}},
	{"900 groups", func(_ *fixture, r *samltest.Response) { r.Attributes[1].Values = groups(900) }},
}

func groups(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("group-%04d", i)
	}
	return out
}

func BenchmarkAccept(b *testing.B) {
	for _, bc := range benchCases {
		f := newFixture(b)
		r := f.response()
		bc.edit(f, &r)
		form := f.form(r)
		c := f.connection()
		raw, err := base64.StdEncoding.DecodeString(form)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("sallyport/"+bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, refusal := c.Accept(b.Context(), form, f.pending, f.now); refusal != nil {
					b.Fatal(refusal.Sentence)
				}
			}
		})
		sp := crewjamSP(b, f)
		b.Run("crewjam/"+bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := sp.ParseXMLResponse(raw, []string{f.pending.RequestID}, sp.AcsURL); err != nil {
					b.Fatal(err.(*crewjam.InvalidResponseError).PrivateErr)
				}
			}
		})
	}
	benchmarkFloor(b)
}

// benchmarkFloor is what cannot be saved: one RSA-2048 verification and SHA-256 over 2 KB twice.
func benchmarkFloor(b *testing.B) {
	cert, err := x509.ParseCertificate(shared().idp.Certificate)
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 2048)
	digest := sha256.Sum256(data)
	sig, err := shared().idp.Key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("floor/RSA-2048 verify and SHA-256", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sha256.Sum256(data)
			d := sha256.Sum256(data)
			if rsa.VerifyPKCS1v15(cert.PublicKey.(*rsa.PublicKey), crypto.SHA256, d[:], sig) != nil {
				b.Fatal("the signature does not verify")
			}
		}
	})
}

// crewjamSP is the same service provider for crewjam/saml.
func crewjamSP(t testing.TB, f *fixture) *crewjam.ServiceProvider {
	t.Helper()
	parsed, err := x509.ParsePKCS8PrivateKey(shared().current.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	acs, err := url.Parse(f.conf.ACSURL)
	if err != nil {
		t.Fatal(err)
	}
	var idp crewjam.EntityDescriptor
	if err := xml.Unmarshal(f.idp.Metadata(), &idp); err != nil {
		t.Fatal(err)
	}
	setCrewjamClock(t, f.now)
	return &crewjam.ServiceProvider{
		EntityID: f.conf.EntityID, Key: parsed.(*rsa.PrivateKey), AcsURL: *acs, IDPMetadata: &idp,
		AllowIDPInitiated: f.pending == nil,
	}
}
