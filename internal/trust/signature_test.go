package trust

import (
	"crypto/x509"
	"strings"
	"testing"
)

func pinned(keys ...identity) ParseOptions {
	o := ParseOptions{}
	for _, k := range keys {
		o.SignatureCertificates = append(o.SignatureCertificates, k.certificate)
	}
	return o
}

func TestSignatureOverOneEntity(t *testing.T) {
	k, by, other := signer(t, "old"), signer(t, "federation"), signer(t, "other")
	plain := xmlHead + entity("https://idp.example.com", names+` ID="_e"`, goodRole(k))
	signed := signDocument(t, plain, "_e", by)
	if m := mustParse(t, signed, pinned(by)); m.Trust.EntityID != "https://idp.example.com" || len(m.Trust.SigningCertificates) != 1 {
		t.Errorf("trust %+v", m.Trust)
	}
	mustParse(t, signed, pinned(other, by))
	mustParse(t, signed, ParseOptions{})
	forged := signer(t, "mallory")
	for name, c := range map[string]struct {
		document string
		o        ParseOptions
		says     string
	}{
		"not signed":              {plain, pinned(by), "not signed, and"},
		"by another key":          {signed, pinned(other), hexSHA256(by.certificate.Raw)},
		"changed endpoint":        {strings.Replace(signed, "example.com/sso", "evil.example/sso", 1), pinned(by), "changed after"},
		"certificate put in":      {strings.Replace(signed, testSSO, keyDescriptor("signing", forged.base64())+testSSO, 1), pinned(by), "changed after"},
		"changed entity ID":       {strings.Replace(signed, "https://idp.example.com\"", "https://evil.example.com\"", 1), pinned(by), "changed after"},
		"signature of another ID": {strings.Replace(signed, `ID="_e"`, `ID="_f"`, 1), pinned(by), "Reference"},
	} {
		if _, err := parseString(c.document, c.o); kindOf(err) != KindSignature || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// Signature wrapping: the signed entity stays somewhere in the document and a forged one takes its place.
func TestSignatureWrappingIsRefused(t *testing.T) {
	k, by, forged := signer(t, "old"), signer(t, "federation"), signer(t, "mallory")
	signed := strings.TrimPrefix(signDocument(t, xmlHead+entity("https://idp.example.com", names+` ID="_e"`, goodRole(k)), "_e", by), xmlHead)
	evil := entity("https://idp.example.com", names+` ID="_e"`, goodRole(forged))
	signature := signed[strings.Index(signed, "<ds:Signature"):]
	signature = signature[:strings.Index(signature, "</ds:Signature>")+len("</ds:Signature>")]
	inject := func(into, what string) string {
		at := strings.Index(into, "<md:IDPSSODescriptor")
		return into[:at] + what + into[at:]
	}
	for name, document := range map[string]string{
		"signature moved":              inject(evil, signature),
		"original in extensions":       inject(evil, signature+"<md:Extensions>"+signed+"</md:Extensions>"),
		"original in the signature":    inject(evil, strings.Replace(signature, "</ds:Signature>", "<ds:Object>"+signed+"</ds:Object></ds:Signature>", 1)),
		"original beside in aggregate": `<md:EntitiesDescriptor ` + names + `>` + evil + signed + `</md:EntitiesDescriptor>`,
		"forged only in aggregate":     `<md:EntitiesDescriptor ` + names + `>` + signature + evil + `</md:EntitiesDescriptor>`,
		"root is the forged one":       `<md:EntitiesDescriptor ` + names + ` ID="_e">` + signature + evil + `</md:EntitiesDescriptor>`,
	} {
		o := pinned(by)
		o.EntityID = "https://idp.example.com"
		m, err := parseString(document, o)
		if err == nil {
			t.Errorf("%s: accepted with %v", name, m.Certificates)
		}
	}
	// The signed one among unsigned ones of other names is found, and is the one that was signed.
	among := `<md:EntitiesDescriptor ` + names + `>` + strings.ReplaceAll(evil, "idp.example.com", "evil.example.com") + signed + `</md:EntitiesDescriptor>`
	o := pinned(by)
	o.EntityID = "https://idp.example.com"
	if m := mustParse(t, among, o); m.Certificates[0].Subject != "CN=old" {
		t.Errorf("got %v", m.Certificates)
	}
}

func TestSignatureOverAnAggregate(t *testing.T) {
	k, by, other, forged := signer(t, "old"), signer(t, "federation"), signer(t, "other"), signer(t, "mallory")
	plain := xmlHead + `<md:EntitiesDescriptor ` + names + ` Name="a &amp; b" ID="_root" xmlns:unused="urn:unused">` + "\r\n  " +
		`<md:Extensions><x:Info xmlns:x="urn:x" x:a='1' b="&quot;2&quot;"/></md:Extensions>` + "\n<!-- a comment -->\r" +
		entity("https://a.example.com", "", goodRole(forged)) +
		`<md:EntitiesDescriptor Name="inner">` + "\n" + entity("https://idp.example.com", ` xmlns:u="urn:u" u:x="y"`, goodRole(k)) + `</md:EntitiesDescriptor>` +
		`<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"/><md:EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata"></md:EntitiesDescriptor>` +
		entity("https://c.example.com", `xmlns="urn:none"`, goodRole(forged)) + "\n\n</md:EntitiesDescriptor>"
	signed := signDocument(t, plain, "_root", by)
	o := pinned(by)
	o.EntityID = "https://idp.example.com"
	m := mustParse(t, signed, o)
	if m.Trust.EntityID != o.EntityID || len(m.Certificates) != 1 || m.Certificates[0].Subject != "CN=old" {
		t.Errorf("trust %+v", m.Trust)
	}
	withOther := pinned(other)
	withOther.EntityID = o.EntityID
	if _, err := parseString(signed, withOther); kindOf(err) != KindSignature || !strings.Contains(err.Error(), hexSHA256(by.certificate.Raw)) {
		t.Errorf("by another key: %v", err)
	}
	if _, err := parseString(plain, o); kindOf(err) != KindSignature {
		t.Errorf("not signed: %v", err)
	}
	cut := func(s, part string) string {
		if !strings.Contains(s, part) {
			t.Fatalf("nothing to cut: %s", part)
		}
		return strings.Replace(s, part, "", 1)
	}
	for name, document := range map[string]string{
		"an entity left out":          cut(signed, entity("https://c.example.com", `xmlns="urn:none"`, goodRole(forged))),
		"an extension left out":       cut(signed, `<md:Extensions><x:Info xmlns:x="urn:x" x:a='1' b="&quot;2&quot;"/></md:Extensions>`),
		"white space left out":        cut(signed, "\n\n"),
		"another attribute":           strings.Replace(signed, `Name="inner"`, `Name="other"`, 1),
		"validUntil put on the root":  strings.Replace(signed, ` ID="_root"`, ` ID="_root" validUntil="2030-01-01T00:00:00Z"`, 1),
		"a certificate exchanged":     strings.Replace(signed, k.base64(), forged.base64(), 1),
		"an entity more":              strings.Replace(signed, "\n\n</md", entity("https://d.example.com", "", goodRole(forged))+"\n\n</md", 1),
		"the signature not the first": moveSignature(signed),
		"the signature twice":         doubleSignature(signed),
		"signature of another ID":     strings.Replace(signed, ` ID="_root"`, ` ID="_other"`, 1),
	} {
		if _, err := parseString(document, o); kindOf(err) != KindSignature {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A comment is no part of what is signed (xml-exc-c14n without comments).
	mustParse(t, cut(signed, "<!-- a comment -->"), o)
}

func takeSignature(s string) (without, signature string, at int) {
	at = strings.Index(s, "<ds:Signature")
	end := strings.Index(s, "</ds:Signature>") + len("</ds:Signature>")
	return s[:at] + s[end:], s[at:end], at
}

func moveSignature(s string) string {
	without, signature, _ := takeSignature(s)
	at := strings.Index(without, "<md:EntityDescriptor")
	return without[:at] + signature + without[at:]
}

func doubleSignature(s string) string {
	_, signature, at := takeSignature(s)
	return s[:at] + signature + s[at:]
}

// A root signed by somebody else does not stand in the way of an entity that is signed by the pinned key.
func TestEntitySignatureUnderAForeignRootSignature(t *testing.T) {
	k, by, other := signer(t, "old"), signer(t, "federation"), signer(t, "other")
	inner := signDocument(t, xmlHead+entity("https://idp.example.com", names+` ID="_e"`, goodRole(k)), "_e", by)
	document := signDocument(t, xmlHead+`<md:EntitiesDescriptor `+names+` ID="_root">`+strings.TrimPrefix(inner, xmlHead)+`</md:EntitiesDescriptor>`, "_root", other)
	mustParse(t, document, pinned(by))
	mustParse(t, document, pinned(other))
	expired := strings.Replace(document, ` ID="_root"`, ` ID="_root" validUntil="2020-01-01T00:00:00Z"`, 1)
	if _, err := parseString(expired, pinned(by)); kindOf(err) != KindExpired {
		t.Errorf("the validity around the entity is not looked at: %v", err)
	}
}

func TestWeakPinnedCertificateIsRefused(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	weak := certify(t, rsaKey(t, "weak", 1024), "weak", testNow, testNow.AddDate(1, 0, 0))
	_, err := parseString(standalone("https://idp.example.com", goodRole(signer(t, "old"))), ParseOptions{SignatureCertificates: []*x509.Certificate{weak.certificate}})
	if kindOf(err) != KindSignature || !strings.Contains(err.Error(), "signatureCertificate cannot be used") {
		t.Error(err)
	}
}
