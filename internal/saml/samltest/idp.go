// Package samltest is an identity provider in a few functions: it reads AuthnRequests, answers with signed and encrypted responses,
// and speaks single logout. Tests use it to make messages of every shape, and the demonstration IdP serves it over HTTP.
//
// It signs whatever it is told to: it checks no password and no request signature.
package samltest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
	"sallyport.dev/sallyport/internal/snapshot"
)

// IdP is one identity provider.
type IdP struct {
	EntityID string
	// SSOURL takes AuthnRequests and SLOURL logout messages, both by Redirect and by POST; SLOURL may be empty.
	SSOURL, SLOURL string
	Key            crypto.Signer
	// Certificate is DER.
	Certificate []byte
}

// NewIdP makes an IdP with a new RSA-2048 key and a certificate that is valid from a day before now for ten years.
func NewIdP(entityID, ssoURL, sloURL string, now time.Time) (*IdP, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	cert, err := SelfSigned(key, entityID, now.Add(-24*time.Hour), now.AddDate(10, 0, 0))
	if err != nil {
		return nil, err
	}
	return &IdP{EntityID: entityID, SSOURL: ssoURL, SLOURL: sloURL, Key: key, Certificate: cert}, nil
}

// SelfSigned makes a certificate in DER for a key.
func SelfSigned(key crypto.Signer, commonName string, notBefore, notAfter time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: commonName}, NotBefore: notBefore, NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	return x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
}

// SPKey makes a key pair of a connection in the given phase.
func SPKey(phase snapshot.KeyPhase, commonName string, now time.Time) (snapshot.SPKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return snapshot.SPKey{}, err
	}
	return SPKeyFrom(phase, key, commonName, now)
}

// SPKeyFrom is SPKey with a key of the caller's.
func SPKeyFrom(phase snapshot.KeyPhase, key crypto.Signer, commonName string, now time.Time) (snapshot.SPKey, error) {
	cert, err := SelfSigned(key, commonName, now.Add(-24*time.Hour), now.AddDate(3, 0, 0))
	if err != nil {
		return snapshot.SPKey{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return snapshot.SPKey{}, err
	}
	return snapshot.SPKey{Phase: phase, Certificate: cert, PrivateKey: private}, nil
}

// Trust is what a service provider is told about the IdP.
func (i *IdP) Trust() *snapshot.Trust {
	t := &snapshot.Trust{
		EntityID: i.EntityID,
		SSO: []snapshot.Endpoint{
			{Binding: snapshot.BindingRedirect, URL: i.SSOURL}, {Binding: snapshot.BindingPOST, URL: i.SSOURL},
		},
		SigningCertificates: [][]byte{i.Certificate},
	}
	if i.SLOURL != "" {
		t.SLO = []snapshot.Endpoint{{Binding: snapshot.BindingRedirect, URL: i.SLOURL}, {Binding: snapshot.BindingPOST, URL: i.SLOURL}}
	}
	return t
}

// Connection is a snapshot connection to the IdP under the service provider at baseURL, with one current key.
func (i *IdP) Connection(baseURL, name string, now time.Time) (snapshot.Connection, error) {
	base := strings.TrimRight(baseURL, "/") + "/saml/" + name
	key, err := SPKey(snapshot.KeyCurrent, base, now)
	if err != nil {
		return snapshot.Connection{}, err
	}
	return snapshot.Connection{
		Name: name, UID: "uid-" + name, Generation: 1, DisplayName: name, Type: "Generic", Enabled: true,
		EntityID: base, ACSURL: base + "/acs", SLOURL: base + "/slo", MetadataURL: base + "/metadata", TrustPageURL: base,
		Trust: i.Trust(), Keys: []snapshot.SPKey{key},
		Request:      snapshot.RequestPolicy{Sign: true},
		Response:     snapshot.ResponsePolicy{ClockSkew: time.Minute},
		Logout:       snapshot.LogoutPolicy{Enabled: i.SLOURL != ""},
		Mapping:      snapshot.Mapping{Email: []snapshot.AttributeSource{{Name: "email"}}, Groups: snapshot.GroupsMapping{From: []snapshot.AttributeSource{{Name: "groups"}}}},
		Provisioning: snapshot.Provisioning{JIT: true},
	}, nil
}

// Metadata is the IdP's metadata (saml-metadata 2.4.3).
func (i *IdP) Metadata() []byte {
	var b strings.Builder
	b.WriteString(`<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + Escape(i.EntityID) + `">`)
	b.WriteString(`<md:IDPSSODescriptor protocolSupportEnumeration="` + nsProtocol + `"><md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="` + xmldsig.Space +
		`"><ds:X509Data><ds:X509Certificate>` + base64.StdEncoding.EncodeToString(i.Certificate) + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`)
	for _, e := range []struct{ element, url string }{{"SingleLogoutService", i.SLOURL}, {"SingleSignOnService", i.SSOURL}} {
		for _, binding := range []string{snapshot.BindingRedirect, snapshot.BindingPOST} {
			if e.url != "" {
				fmt.Fprintf(&b, `<md:%s Binding="%s" Location="%s"/>`, e.element, binding, Escape(e.url))
			}
		}
		if e.element == "SingleLogoutService" {
			b.WriteString(`<md:NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress</md:NameIDFormat>`)
		}
	}
	b.WriteString(`</md:IDPSSODescriptor></md:EntityDescriptor>`)
	return []byte(b.String())
}

const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
)

// Sign puts an enveloped signature by key after the Issuer of the root element of document.
func Sign(document string, signer *xmldsig.Signer) (string, error) {
	limits := xmldoc.DefaultLimits()
	limits.MaxBytes, limits.MaxElements, limits.MaxAttributes = 8<<20, 100000, 400000
	root, err := xmldoc.Parse([]byte(document), limits)
	if err != nil {
		return "", err
	}
	signature, err := signer.Sign(root)
	if err != nil {
		return "", err
	}
	before, after, ok := strings.Cut(document, "</saml:Issuer>")
	if !ok {
		return "", fmt.Errorf("samltest: the document has no saml:Issuer")
	}
	return before + "</saml:Issuer>" + string(signature) + after, nil
}

// NewID is a fresh message ID.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	return "_" + hex.EncodeToString(b[:])
}

// Escape makes a string safe for text and for attribute values in double quotes.
func Escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "\t", "&#9;", "\n", "&#10;", "\r", "&#13;").Replace(s)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
