package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
	"sallyport.dev/sallyport/internal/snapshot"
)

var testNow = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// identity is a key with a certificate.
type identity struct {
	key         crypto.Signer
	certificate *x509.Certificate
}

func (i identity) base64() string { return base64.StdEncoding.EncodeToString(i.certificate.Raw) }

func (i identity) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.certificate.Raw}))
}

var keyCache sync.Map

// cachedKey makes one key per name and test run: RSA keys are slow to make.
func cachedKey(t testing.TB, name string, make func() (crypto.Signer, error)) crypto.Signer {
	t.Helper()
	if key, ok := keyCache.Load(name); ok {
		return key.(crypto.Signer)
	}
	key, err := make()
	if err != nil {
		t.Fatal(err)
	}
	keyCache.Store(name, key)
	return key
}

func rsaKey(t testing.TB, name string, bits int) crypto.Signer {
	return cachedKey(t, fmt.Sprintf("rsa-%d-%s", bits, name), func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, bits) })
}

func ecKey(t testing.TB, name string) crypto.Signer {
	return cachedKey(t, "ec-"+name, func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })
}

// certify makes a self-signed certificate for a key.
func certify(t testing.TB, key crypto.Signer, subject string, notBefore, notAfter time.Time) identity {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: subject}, NotBefore: notBefore, NotAfter: notAfter}
	return issue(t, template, template, key, key)
}

func issue(t testing.TB, template, parent *x509.Certificate, key, parentKey crypto.Signer) identity {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return identity{key: key, certificate: certificate}
}

// signer is the same for the same name in one test run.
func signer(t testing.TB, name string) identity {
	if known, ok := signers.Load(name); ok {
		return known.(identity)
	}
	known, _ := signers.LoadOrStore(name, certify(t, rsaKey(t, name, 2048), name, testNow.AddDate(-1, 0, 0), testNow.AddDate(2, 0, 0)))
	return known.(identity)
}

var signers sync.Map

func keyDescriptor(use, certificate string) string {
	if use != "" {
		use = ` use="` + use + `"`
	}
	return `<md:KeyDescriptor` + use + `><ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + certificate + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`
}

const (
	testSSO = `<md:SingleSignOnService Binding="` + snapshot.BindingRedirect + `" Location="https://idp.example.com/sso"/>`
	xmlHead = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	names   = `xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`
)

// entity writes an EntityDescriptor without declarations of its own; attributes go on it, role is the content of the IDPSSODescriptor.
func entity(entityID, attributes, role string) string {
	return `<md:EntityDescriptor ` + attributes + ` entityID="` + entityID + `"><md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` +
		role + `</md:IDPSSODescriptor></md:EntityDescriptor>`
}

// standalone writes a document with one IdP.
func standalone(entityID, role string) string { return xmlHead + entity(entityID, names, role) }

// goodRole is what a minimal IdP has.
func goodRole(keys ...identity) string {
	role := ""
	for _, k := range keys {
		role += keyDescriptor("signing", k.base64())
	}
	return role + testSSO
}

func parseString(document string, o ParseOptions) (*Metadata, error) {
	if o.Now.IsZero() {
		o.Now = testNow
	}
	return ParseMetadata(strings.NewReader(document), o)
}

func mustParse(t testing.TB, document string, o ParseOptions) *Metadata {
	t.Helper()
	m, err := parseString(document, o)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	return m
}

func kindOf(err error) Kind {
	if typed, ok := errors.AsType[*Error](err); ok {
		return typed.Kind
	}
	return ""
}

// signDocument puts a signature by the key over the element with the ID into it, as its first child.
func signDocument(t testing.TB, document, id string, by identity) string {
	t.Helper()
	limits := xmldoc.DefaultLimits()
	limits.MaxBytes, limits.MaxElements, limits.MaxAttributes = 64<<20, 1<<20, 1<<22
	root, err := xmldoc.Parse([]byte(document), limits)
	if err != nil {
		t.Fatal(err)
	}
	var target *xmldoc.Node
	root.Walk(func(n *xmldoc.Node) bool {
		if n.Value("ID") == id {
			target = n
		}
		return target == nil
	})
	s := &xmldsig.Signer{Key: by.key, Certificate: by.certificate.Raw}
	signature, err := s.Sign(target)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(document, `ID="`+id+`"`)
	at += strings.Index(document[at:], ">") + 1
	return document[:at] + string(signature) + document[at:]
}
