package trust

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/snapshot"
)

func TestEverythingOfAnIdentityProviderIsRead(t *testing.T) {
	old, fresh, enc := signer(t, "old"), signer(t, "fresh"), signer(t, "enc")
	document := xmlHead + `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="https://idp.example.com/a" cacheDuration="PT6H" validUntil="2026-07-01T00:00:00Z">` +
		`<SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"/>` +
		`<IDPSSODescriptor WantAuthnRequestsSigned="1" protocolSupportEnumeration="urn:oasis:names:tc:SAML:1.1:protocol urn:oasis:names:tc:SAML:2.0:protocol" cacheDuration="P1D">` +
		strings.NewReplacer("md:", "").Replace(keyDescriptor("signing", old.base64())+keyDescriptor("", fresh.base64())+keyDescriptor("encryption", enc.base64())) +
		`<ArtifactResolutionService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="http://idp.example.com/artifact" index="0"/>` +
		`<SingleLogoutService Binding="` + snapshot.BindingPOST + `" Location="https://idp.example.com/slo" ResponseLocation="https://idp.example.com/slo/done"/>` +
		`<NameIDFormat> urn:oasis:names:tc:SAML:2.0:nameid-format:persistent </NameIDFormat>` +
		`<NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress</NameIDFormat>` +
		`<SingleSignOnService Binding="` + snapshot.BindingPOST + `" Location="https://idp.example.com/sso/post"/>` +
		`<SingleSignOnService Binding="` + snapshot.BindingRedirect + `" Location="https://idp.example.com/sso?tenant=7&amp;x=1"/>` +
		`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="http://idp.example.com/soap"/>` +
		`<a:Attribute xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion" Name="urn:oid:0.9.2342.19200300.100.1.3" FriendlyName="mail"/>` +
		`<a:Attribute xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion" Name="groups"><a:AttributeValue>staff</a:AttributeValue></a:Attribute>` +
		`</IDPSSODescriptor></EntityDescriptor>`
	m := mustParse(t, document, ParseOptions{})
	tr := m.Trust
	if tr.EntityID != "https://idp.example.com/a" || !tr.WantAuthnRequestsSigned {
		t.Errorf("entity ID %q, wants signed requests %v", tr.EntityID, tr.WantAuthnRequestsSigned)
	}
	wantSSO := []snapshot.Endpoint{{Binding: snapshot.BindingPOST, URL: "https://idp.example.com/sso/post"}, {Binding: snapshot.BindingRedirect, URL: "https://idp.example.com/sso?tenant=7&x=1"}}
	if !slices.Equal(tr.SSO, wantSSO) {
		t.Errorf("SSO %v", tr.SSO)
	}
	if want := (snapshot.Endpoint{Binding: snapshot.BindingPOST, URL: "https://idp.example.com/slo", ResponseURL: "https://idp.example.com/slo/done"}); len(tr.SLO) != 1 || tr.SLO[0] != want {
		t.Errorf("SLO %v", tr.SLO)
	}
	if len(tr.SigningCertificates) != 2 || len(tr.EncryptionCertificates) != 2 {
		t.Errorf("%d signing and %d encryption certificates, want 2 and 2: one has no use and is for both", len(tr.SigningCertificates), len(tr.EncryptionCertificates))
	}
	uses := map[string]Use{}
	for _, c := range m.Certificates {
		uses[c.Subject] = c.Use
	}
	if uses["CN=old"] != UseSigning || uses["CN=fresh"] != UseBoth || uses["CN=enc"] != UseEncryption {
		t.Errorf("uses %v", uses)
	}
	if len(tr.NameIDFormats) != 2 || tr.NameIDFormats[0] != "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" {
		t.Errorf("NameID formats %v", tr.NameIDFormats)
	}
	if len(tr.Attributes) != 2 || tr.Attributes[0] != (snapshot.AdvertisedAttribute{Name: "urn:oid:0.9.2342.19200300.100.1.3", FriendlyName: "mail"}) {
		t.Errorf("attributes %v", tr.Attributes)
	}
	if want := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC); !m.ValidUntil.Equal(want) || !tr.ValidUntil.Equal(want) || m.CacheDuration != 6*time.Hour {
		t.Errorf("valid until %v, cache %v", m.ValidUntil, m.CacheDuration)
	}
}

// Two signing certificates, or one to sign and one to encrypt, are what a rollover looks like: WeftID's import fails on both.
func TestFaultF1SeveralCertificates(t *testing.T) {
	one, two := signer(t, "old"), signer(t, "fresh")
	for name, role := range map[string]string{
		"two signing":            keyDescriptor("signing", one.base64()) + keyDescriptor("signing", two.base64()),
		"two in one descriptor":  `<md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + one.base64() + `</ds:X509Certificate><ds:X509Certificate>` + two.base64() + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`,
		"signing and encryption": keyDescriptor("signing", one.base64()) + keyDescriptor("encryption", two.base64()),
	} {
		m := mustParse(t, standalone("https://idp.example.com", role+testSSO), ParseOptions{})
		want := map[string]int{"two signing": 2, "two in one descriptor": 2, "signing and encryption": 1}[name]
		if len(m.Trust.SigningCertificates) != want || len(m.Certificates) != 2 {
			t.Errorf("%s: %d signing of %d certificates, want %d of 2", name, len(m.Trust.SigningCertificates), len(m.Certificates), want)
		}
	}
}

// What replaces a certificate by hand, or by metadata pasted again, is what is trusted, and the old one no longer: WeftID keeps two lists.
func TestFaultF4ReplacedCertificateIsTheTrustedOne(t *testing.T) {
	old, fresh := signer(t, "old"), signer(t, "fresh")
	before := mustParse(t, standalone("https://idp.example.com", goodRole(old)), ParseOptions{})
	after, err := ManualTrust("https://idp.example.com", "https://idp.example.com/sso", "Redirect", "", []string{fresh.pem()})
	if err != nil {
		t.Fatal(err)
	}
	if len(after.Trust.SigningCertificates) != 1 || string(after.Trust.SigningCertificates[0]) != string(fresh.certificate.Raw) {
		t.Error("the typed-in certificate is not the only one that is trusted")
	}
	changes := Compare(before, after)
	if len(changes.CertificatesAdded) != 1 || changes.CertificatesAdded[0].Subject != "CN=fresh" || len(changes.CertificatesRemoved) != 1 || changes.CertificatesRemoved[0].Subject != "CN=old" {
		t.Errorf("changes %+v", changes)
	}
	if before.Digest == after.Digest {
		t.Error("the digest does not show the change")
	}
}

func TestExpiredReissuedAndEllipticCertificatesAreUsedAndReported(t *testing.T) {
	key := rsaKey(t, "old", 2048)
	expired := certify(t, key, "expired", testNow.AddDate(-3, 0, 0), testNow.AddDate(-1, 0, 0))
	reissued := certify(t, key, "reissued", testNow.AddDate(-1, 0, 0), testNow.AddDate(1, 0, 0))
	elliptic := certify(t, ecKey(t, "a"), "elliptic", testNow, testNow.AddDate(1, 0, 0))
	m := mustParse(t, standalone("https://idp.example.com", goodRole(expired, reissued, elliptic, reissued)), ParseOptions{})
	if len(m.Trust.SigningCertificates) != 3 || len(m.Certificates) != 3 {
		t.Fatalf("%d trusted, %d listed, want 3 of each: equal ones count once", len(m.Trust.SigningCertificates), len(m.Certificates))
	}
	if !testNow.After(m.Certificates[0].NotAfter) || testNow.After(m.Certificates[1].NotAfter) {
		t.Error("which one has expired is not told")
	}
	if m.Certificates[2].Key != "ECDSA P-256" || m.Certificates[0].Key != "RSA 2048" {
		t.Errorf("keys %q and %q", m.Certificates[2].Key, m.Certificates[0].Key)
	}
}

// padded makes a certificate with so many bytes in it that nobody needs.
func padded(t *testing.T, subject string, bytes int) identity {
	t.Helper()
	padding := make([]byte, bytes)
	if _, err := rand.Read(padding); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: subject}, NotBefore: testNow, NotAfter: testNow.AddDate(1, 0, 0),
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 999, 1}, Value: padding}}}
	key := ecKey(t, "padded")
	return issue(t, template, template, key, key)
}

// Whoever publishes metadata decides how long it is, and must not fill the Secret that other connections are in.
func TestCertificatesAreBoundedInBytes(t *testing.T) {
	large, good := padded(t, "large", 1<<20), signer(t, "old")
	m := mustParse(t, standalone("https://idp.example.com", goodRole(large, good)), ParseOptions{})
	if len(m.Trust.SigningCertificates) != 1 || len(m.Certificates) != 2 || !strings.Contains(m.Certificates[0].Weak, "at most 16384") {
		t.Errorf("trusted %d, listed %+v", len(m.Trust.SigningCertificates), m.Certificates)
	}
	if _, err := parseString(standalone("https://idp.example.com", goodRole(large)), ParseOptions{}); err == nil || !strings.Contains(err.Error(), "at most 16384") {
		t.Errorf("with that one alone: %v", err)
	}
	many := []identity{good}
	for i := range 40 {
		many = append(many, padded(t, fmt.Sprint(i), 12<<10))
	}
	m = mustParse(t, standalone("https://idp.example.com", goodRole(many...)), ParseOptions{})
	files, err := snapshot.Encode(snapshot.Snapshot{Connections: []snapshot.Connection{{Name: "main", Trust: &m.Trust}}})
	if err != nil {
		t.Fatal(err)
	}
	if size := len(files.Files[snapshot.ShardFile(snapshot.ShardOf("main"))]); size > snapshot.MaxFileBytes/4 {
		t.Errorf("one connection takes %d bytes of a Secret", size)
	}
	if len(m.Warnings) != 1 || !strings.Contains(m.Warnings[0], "bytes together") {
		t.Errorf("warnings %q", m.Warnings)
	}
}

func TestWeakKeysAreListedAndNotTrusted(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	weak := certify(t, rsaKey(t, "weak", 1024), "weak", testNow, testNow.AddDate(1, 0, 0))
	good := signer(t, "old")
	m := mustParse(t, standalone("https://idp.example.com", goodRole(weak, good)), ParseOptions{})
	if len(m.Trust.SigningCertificates) != 1 || len(m.Certificates) != 2 || m.Certificates[0].Weak == "" || m.Certificates[1].Weak != "" {
		t.Errorf("trusted %d, listed %+v", len(m.Trust.SigningCertificates), m.Certificates)
	}
	if len(m.Warnings) != 1 || !strings.Contains(m.Warnings[0], "1024 bits") {
		t.Errorf("warnings %q", m.Warnings)
	}
	_, err := parseString(standalone("https://idp.example.com", goodRole(weak)), ParseOptions{})
	if kindOf(err) != KindNoSigningKey || !strings.Contains(err.Error(), "1024 bits") {
		t.Errorf("nothing but a weak key: %v", err)
	}
}

func TestDocumentsThatAreRefused(t *testing.T) {
	k := signer(t, "old")
	good := standalone("https://idp.example.com", goodRole(k))
	service := xmlHead + `<md:EntityDescriptor ` + names + ` entityID="https://sp.example.com"><md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"/></md:EntityDescriptor>`
	cases := []struct {
		name, document string
		kind           Kind
		says           string
	}{
		{"empty", "", KindNotXML, "empty"},
		{"text", "Not Found", KindNotXML, "not XML"},
		{"JSON", `{"error":"secret-in-body"}`, KindNotXML, "not XML"},
		{"HTML", "<!DOCTYPE html>\n<html><body>secret-in-body<br></body></html>", KindNotXML, "web page"},
		{"HTML without DOCTYPE", "<HTML><body>secret-in-body<br></body></HTML>", KindNotXML, "web page"},
		{"XHTML", xmlHead + "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD\"><html/>", KindNotXML, "web page"},
		{"truncated", good[:len(good)-40], KindNotXML, "breaks off"},
		{"truncated in a tag", good[:len(good)-3], KindNotXML, "breaks off"},
		{"DTD", xmlHead + `<!DOCTYPE md [<!ENTITY x "secret-in-body">]>` + strings.TrimPrefix(good, xmlHead), KindDTD, "document type"},
		{"DTD inside", strings.Replace(good, "<md:IDP", "<!DOCTYPE x><md:IDP", 1), KindDTD, "document type"},
		{"entity reference", strings.Replace(good, "/sso\"", "/&x;\"", 1), KindNotXML, "well-formed"},
		{"processing instruction", xmlHead + `<?xml-stylesheet href="secret-in-body"?>` + strings.TrimPrefix(good, xmlHead), KindDTD, "processing instruction"},
		{"processing instruction inside", strings.Replace(good, "<md:IDP", "<?php x?><md:IDP", 1), KindDTD, "processing instruction"},
		{"UTF-16", "\xff\xfe<\x00", KindNotXML, "UTF-8"},
		{"Latin-1", strings.Replace(good, "UTF-8", "ISO-8859-1", 1), KindNotXML, "UTF-8"},
		{"two roots", good + entity("https://b.example.com", names, ""), KindNotXML, "after the root"},
		{"text after the root", good + "x", KindNotXML, "between"},
		{"other XML", `<feed xmlns="http://www.w3.org/2005/Atom"/>`, KindWrongRoot, "feed"},
		{"a response", `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"/>`, KindWrongRoot, "samlp:Response"[6:]},
		{"wrong namespace", strings.Replace(good, "SAML:2.0:metadata", "SAML:1.0:metadata", 1), KindWrongRoot, "namespace"},
		{"a service provider", service, KindNoIDPSSODescriptor, "service provider"},
		{"SAML 1.1 only", strings.Replace(good, "SAML:2.0:protocol", "SAML:1.1:protocol", 1), KindNoIDPSSODescriptor, "IDPSSODescriptor"},
		{"no entity ID", strings.Replace(good, `entityID="https://idp.example.com"`, "", 1), KindWrongRoot, "entityID"},
		{"no key", standalone("https://idp.example.com", testSSO), KindNoSigningKey, "no signing certificate"},
		{"encryption key only", standalone("https://idp.example.com", keyDescriptor("encryption", k.base64())+testSSO), KindNoSigningKey, "no signing certificate"},
		{"broken certificate", standalone("https://idp.example.com", keyDescriptor("signing", "MIIC secret-in-body")+testSSO), KindBadCertificate, "X.509"},
		{"no endpoint", standalone("https://idp.example.com", keyDescriptor("signing", k.base64())), KindBadEndpoint, "no single sign-on endpoint"},
		{"http endpoint", strings.Replace(good, "https://idp.example.com/sso", "http://idp.example.com/sso", 1), KindBadEndpoint, "must be https"},
		{"script endpoint", strings.Replace(good, "https://idp.example.com/sso", "javascript:alert(1)", 1), KindBadEndpoint, "not an absolute URL"},
		{"endpoint with user", strings.Replace(good, "https://idp.example.com/sso", "https://idp.example.com@evil.example/sso", 1), KindBadEndpoint, "user name"},
		{"expired", strings.Replace(good, "<md:EntityDescriptor", `<md:EntityDescriptor validUntil="2026-06-01T12:00:00Z"`, 1), KindExpired, "2026-06-01T12:00:00Z"},
		{"expired role", strings.Replace(good, "<md:IDPSSODescriptor", `<md:IDPSSODescriptor validUntil="2020-01-01T00:00:00"`, 1), KindExpired, "2020"},
		{"validUntil that is no date", strings.Replace(good, "<md:EntityDescriptor", `<md:EntityDescriptor validUntil="never"`, 1), KindNotXML, "validUntil"},
		{"deep", xmlHead + `<md:EntityDescriptor ` + names + ` entityID="https://idp.example.com"><md:Extensions>` + strings.Repeat("<x>", 100) + strings.Repeat("</x>", 100) + `</md:Extensions></md:EntityDescriptor>`, KindTooLarge, "levels"},
		{"many elements", xmlHead + `<md:EntityDescriptor ` + names + ` entityID="https://idp.example.com"><md:Extensions>` + strings.Repeat("<x/>", 30_000) + `</md:Extensions></md:EntityDescriptor>`, KindTooLarge, "elements"},
		{"large entity", xmlHead + `<md:EntityDescriptor ` + names + ` entityID="https://idp.example.com">` + strings.Repeat(" ", 3<<20) + `</md:EntityDescriptor>`, KindTooLarge, "larger than"},
		{"endless tag", `<md:EntityDescriptor a="` + strings.Repeat("x", 1<<20), KindNotXML, "not XML"},
		{"nested aggregates", strings.Repeat(`<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">`, 20), KindTooLarge, "nests"},
		{"empty aggregate", `<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata"/>`, KindEntityNotFound, "no entity"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseString(c.document, ParseOptions{})
			if kindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %s %v, want %s and %q", kindOf(err), err, c.kind, c.says)
			}
			if strings.Contains(fmt.Sprint(err), "secret-in-body") {
				t.Errorf("the body is quoted: %v", err)
			}
		})
	}
	if _, err := parseString(good, ParseOptions{MaxBytes: 100}); kindOf(err) != KindTooLarge {
		t.Errorf("100 bytes allowed: %v", err)
	}
	mustParse(t, good, ParseOptions{MaxBytes: int64(len(good))})
}

func TestDocumentsThatAreAccepted(t *testing.T) {
	k := signer(t, "old")
	good := standalone("https://idp.example.com", goodRole(k))
	for name, document := range map[string]string{
		"byte order mark":              "\ufeff" + good,
		"no declaration":               strings.TrimPrefix(good, xmlHead),
		"comments and white space":     xmlHead + "<!-- a > b -- c -->\r\n" + strings.TrimPrefix(good, xmlHead) + "\r\n<!-- end -->\n",
		"comment inside":               strings.Replace(good, "<md:IDP", "<!-- > <x> --><md:IDP", 1),
		"CDATA":                        strings.Replace(good, testSSO, "<md:NameIDFormat><![CDATA[a]]></md:NameIDFormat>"+testSSO, 1),
		"greater-than in an attribute": strings.Replace(good, "<md:IDP", `<md:Extensions x='>"/>'/><md:IDP`, 1),
		"wrapped base64":               strings.Replace(good, k.base64(), "\r\n\t"+k.base64()[:64]+"\n "+k.base64()[64:]+"\n", 1),
		"PEM in X509Certificate":       strings.Replace(good, k.base64(), k.pem(), 1),
		"single quotes":                strings.ReplaceAll(good, `"`, `'`),
		"one broken certificate more":  strings.Replace(good, testSSO, keyDescriptor("signing", "AAAA")+testSSO, 1),
		"an http endpoint more":        strings.Replace(good, testSSO, strings.Replace(testSSO, "https", "http", 1)+testSSO, 1),
		"a future validUntil":          strings.Replace(good, "<md:EntityDescriptor", `<md:EntityDescriptor validUntil="2026-06-01T12:00:00.001Z" cacheDuration="nonsense"`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			m, err := parseString(document, ParseOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Trust.SigningCertificates) != 1 || len(m.Trust.SSO) != 1 || m.Trust.SSO[0].URL != "https://idp.example.com/sso" {
				t.Errorf("trust %+v", m.Trust)
			}
			if warns := strings.Contains(name, "more") || strings.Contains(name, "future"); warns != (len(m.Warnings) == 1) {
				t.Errorf("warnings %q", m.Warnings)
			}
		})
	}
	loopback := strings.Replace(good, "https://idp.example.com/sso", "http://127.0.0.1:8080/sso", 1)
	if _, err := parseString(loopback, ParseOptions{}); kindOf(err) != KindBadEndpoint {
		t.Errorf("http on loopback without the option: %v", err)
	}
	mustParse(t, loopback, ParseOptions{AllowHTTPLoopback: true})
	if _, err := parseString(strings.Replace(loopback, "127.0.0.1", "127.0.0.1.example", 1), ParseOptions{AllowHTTPLoopback: true}); kindOf(err) != KindBadEndpoint {
		t.Errorf("http elsewhere with the option: %v", err)
	}
}

func TestEntityIDIsPinned(t *testing.T) {
	k := signer(t, "old")
	document := standalone("https://idp.example.com", goodRole(k))
	mustParse(t, document, ParseOptions{EntityID: "https://idp.example.com"})
	_, err := parseString(document, ParseOptions{EntityID: "https://other.example.com"})
	if kindOf(err) != KindEntityNotFound || !strings.Contains(err.Error(), "https://other.example.com") || !strings.Contains(err.Error(), "spec.saml.metadata.entityID") {
		t.Errorf("pinned to another: %v", err)
	}
	before := mustParse(t, document, ParseOptions{})
	after := mustParse(t, standalone("https://new.example.com", goodRole(k)), ParseOptions{})
	err = CheckEntityID(before.Trust.EntityID, after, "")
	typed, _ := err.(*Error)
	if kindOf(err) != KindEntityIDChanged || typed.Expected != "https://idp.example.com" || typed.Actual != "https://new.example.com" {
		t.Errorf("changed: %v", err)
	}
	if err := CheckEntityID(before.Trust.EntityID, after, "https://new.example.com"); err != nil {
		t.Errorf("changed and pinned: %v", err)
	}
	if err := CheckEntityID("", after, ""); err != nil {
		t.Errorf("the first one: %v", err)
	}
}

func TestCompareTellsWhatChanged(t *testing.T) {
	a, b := signer(t, "old"), signer(t, "fresh")
	base := mustParse(t, standalone("https://idp.example.com", goodRole(a, b)), ParseOptions{})
	shuffled := mustParse(t, standalone("https://idp.example.com", goodRole(b, a)), ParseOptions{})
	if base.Digest != shuffled.Digest || Compare(base, shuffled).Any() {
		t.Error("another order is taken for a change")
	}
	later := mustParse(t, strings.Replace(standalone("https://idp.example.com", goodRole(a, b)), "<md:EntityDescriptor", `<md:EntityDescriptor validUntil="2027-01-01T00:00:00Z"`, 1), ParseOptions{})
	if base.Digest != later.Digest {
		t.Error("a new validUntil is taken for a change of what is trusted")
	}
	moved := mustParse(t, strings.Replace(standalone("https://new.example.com", goodRole(a)), "example.com/sso", "example.com/login", 1), ParseOptions{})
	c := Compare(base, moved)
	if len(c.CertificatesAdded) != 0 || len(c.CertificatesRemoved) != 1 || c.FormerEntityID != "https://idp.example.com" ||
		len(c.EndpointsAdded) != 1 || c.EndpointsAdded[0].URL != "https://idp.example.com/login" || len(c.EndpointsRemoved) != 1 {
		t.Errorf("changes %+v", c)
	}
	used := mustParse(t, standalone("https://idp.example.com", keyDescriptor("", a.base64())+goodRole(b)), ParseOptions{})
	if c := Compare(base, used); !c.Other || !c.Any() {
		t.Errorf("a key's new use is no change: %+v", c)
	}
}
