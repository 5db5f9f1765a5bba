package saml

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/saml/xmldoc"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
)

// idpWith is the IdP with another key; the connection trusts it.
func idpWith(key func() crypto.Signer) func(*fixture) {
	return func(f *fixture) {
		f.idp = reKeyed(key())
		f.conf.Trust = f.idp.Trust()
	}
}

// reKeyed is the IdP under another key.
func reKeyed(key crypto.Signer) *samltest.IdP {
	cert, err := samltest.SelfSigned(key, "idp", t0.AddDate(-1, 0, 0), t0.AddDate(1, 0, 0))
	if err != nil {
		panic(err)
	}
	idp := *shared().idp
	idp.Key, idp.Certificate = key, cert
	return &idp
}

func rsaKey(bits int) func() crypto.Signer {
	return sync.OnceValue(func() crypto.Signer {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		return key
	})
}

func ecKey(curve elliptic.Curve) func() crypto.Signer {
	return sync.OnceValue(func() crypto.Signer {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			panic(err)
		}
		return key
	})
}

var rsa3072, p256, p384, p521 = rsaKey(3072), ecKey(elliptic.P256()), ecKey(elliptic.P384()), ecKey(elliptic.P521())

// resigned changes SignedInfo and signs it again with the IdP's real key, so that its content alone is what is refused. change gets
// the SignedInfo element with its namespace declared.
func resigned(change func(info string) string) func(*samltest.Response) {
	return sent(func(s string) string {
		info := between(s, "<ds:SignedInfo", "</ds:SignedInfo>")
		changed := change(info)
		root, err := xmldoc.Parse([]byte(changed), xmldoc.DefaultLimits())
		if err != nil {
			panic(err)
		}
		canonical, err := root.Canonical(nil, "")
		if err != nil {
			panic(err)
		}
		_, value, err := (&xmldsig.Signer{Key: shared().idp.Key}).SignBytes(func(string) []byte { return canonical })
		if err != nil {
			panic(err)
		}
		old := between(s, "<ds:SignatureValue>", "</ds:SignatureValue>")
		s = strings.Replace(s, old, "<ds:SignatureValue>"+base64.StdEncoding.EncodeToString(value)+"</ds:SignatureValue>", 1)
		return strings.Replace(s, info, changed, 1)
	})
}

func withMethod(method, digest string) func(*samltest.Response) {
	return func(r *samltest.Response) { r.Method, r.Digest = method, digest }
}

func signatureVectors() []vector {
	return slices.Concat(methodVectors(), keyVectors(), shapeVectors(), canonicalVectors(), libraryVectors)
}

// libraryVectors are messages that made a library below panic or verify what was not signed.
var libraryVectors = []vector{
	{rule: 6, class: 4, name: "empty Signature and 1,100 elements", want: ReasonSignatureInvalid, check: CheckSignature, edit: sent(func(s string) string {
		return replace(signatureOf(s), `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>`+strings.Repeat("<a/>", 1100))(s)
	})},
	{rule: 6, class: 4, name: "1,100 elements in a signed assertion", edit: inAssertion(func(s string) string {
		return replace("</saml:AttributeStatement>", `<saml:Attribute Name="many">`+strings.Repeat("<saml:AttributeValue>x</saml:AttributeValue>", 1100)+"</saml:Attribute></saml:AttributeStatement>")(s)
	})},
	{rule: 6, class: 4, name: "Reference without a DigestValue", want: ReasonSignatureInvalid, check: CheckSignature, edit: sent(func(s string) string {
		return replace(between(s, "<ds:DigestValue>", "</ds:DigestValue>"), "")(s)
	})},
	{rule: 6, class: 4, name: "Signature without SignedInfo", want: ReasonSignatureInvalid, check: CheckSignature, edit: sent(func(s string) string {
		return replace(between(s, "<ds:SignedInfo", "</ds:SignedInfo>"), "")(s)
	})},
}

func methodVectors() []vector {
	accepted := func(name string, setup func(*fixture), method, digest string) vector {
		return vector{rule: 6, class: 12, name: name, setup: setup, edit: withMethod(method, digest)}
	}
	refused := func(name string, edit func(*samltest.Response)) vector {
		return vector{rule: 6, class: 12, name: name, want: ReasonAlgorithmRefused, check: CheckSignature, says: "not allowed", edit: edit}
	}
	sha1 := func(f *fixture) { f.conf.Response.AllowSHA1 = true }
	return []vector{
		accepted("RSA-SHA256", nil, xmldsig.RSASHA256, xmldsig.SHA256),
		accepted("RSA-SHA384", nil, xmldsig.RSASHA384, xmldsig.SHA384),
		accepted("RSA-SHA512", nil, xmldsig.RSASHA512, xmldsig.SHA512),
		accepted("RSA-3072", idpWith(rsa3072), xmldsig.RSASHA256, ""),
		accepted("ECDSA P-256", idpWith(p256), xmldsig.ECDSASHA256, ""),
		accepted("ECDSA P-256 with SHA-512", idpWith(p256), xmldsig.ECDSASHA512, xmldsig.SHA512),
		accepted("ECDSA P-384", idpWith(p384), xmldsig.ECDSASHA384, ""),
		accepted("ECDSA P-521", idpWith(p521), xmldsig.ECDSASHA512, ""),
		accepted("SHA-1 by opt-in", sha1, xmldsig.RSASHA1, xmldsig.SHA1),
		accepted("SHA-256 where SHA-1 is allowed", sha1, xmldsig.RSASHA256, xmldsig.SHA256),
		refused("RSA-SHA1", withMethod(xmldsig.RSASHA1, xmldsig.SHA256)),
		refused("SHA-1 digest", withMethod(xmldsig.RSASHA256, xmldsig.SHA1)),
		refused("RSA-SHA1 on the Response", both(signBoth, withMethod(xmldsig.RSASHA1, xmldsig.SHA1))),
		refused("RSA-MD5", resigned(replace(xmldsig.RSASHA256, "http://www.w3.org/2001/04/xmldsig-more#rsa-md5"))),
		refused("MD5 digest", resigned(replace(`DigestMethod Algorithm="`+xmldsig.SHA256, `DigestMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#md5`))),
		refused("HMAC with the certificate as the key", resigned(replace(xmldsig.RSASHA256, "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"))),
		refused("RSA-PSS", resigned(replace(xmldsig.RSASHA256, "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1"))),
		refused("DSA", resigned(replace(xmldsig.RSASHA256, "http://www.w3.org/2000/09/xmldsig#dsa-sha1"))),
		refused("no signature method", resigned(replace(xmldsig.RSASHA256, ""))),
		{rule: 6, class: 12, name: "RSA signature called ECDSA", want: ReasonSignatureInvalid, check: CheckSignature, edit: resigned(replace(xmldsig.RSASHA256, xmldsig.ECDSASHA256))},
		{rule: 6, class: 12, name: "SHA-256 signature called SHA-512", want: ReasonSignatureInvalid, check: CheckSignature, edit: sent(replace(xmldsig.RSASHA256, xmldsig.RSASHA512))},
		{rule: 6, class: 12, name: "ECDSA signature in ASN.1", want: ReasonSignatureInvalid, check: CheckSignature, setup: idpWith(p256), edit: sent(func(s string) string {
			old := between(s, "<ds:SignatureValue>", "</ds:SignatureValue>")
			sig, err := p256().Sign(rand.Reader, make([]byte, 32), crypto.SHA256)
			if err != nil {
				panic(err)
			}
			return replace(old, "<ds:SignatureValue>"+base64.StdEncoding.EncodeToString(sig)+"</ds:SignatureValue>")(s)
		})},
	}
}

func keyVectors() []vector {
	trust := func(certs ...func() []byte) func(*fixture) {
		return func(f *fixture) {
			f.conf.Trust.SigningCertificates = nil
			for _, c := range certs {
				f.conf.Trust.SigningCertificates = append(f.conf.Trust.SigningCertificates, c())
			}
		}
	}
	mine := func() []byte { return shared().idp.Certificate }
	others := func() []byte { return shared().other.Certificate }
	certificate := func(from, to time.Duration) func() []byte {
		return func() []byte {
			der, err := samltest.SelfSigned(shared().idp.Key, "re-issued", t0.Add(from), t0.Add(to))
			if err != nil {
				panic(err)
			}
			return der
		}
	}
	noKeyInfo := func(r *samltest.Response) { r.NoKeyInfo = true }
	year := 365 * 24 * time.Hour
	keyInfo := func(content string) func(*samltest.Response) {
		return sent(func(s string) string {
			return replace(between(s, "<ds:KeyInfo>", "</ds:KeyInfo>"), "<ds:KeyInfo>"+content+"</ds:KeyInfo>")(s)
		})
	}
	return []vector{
		{rule: 6, class: 30, name: "two trusted keys, the second signed", setup: trust(others, mine)},
		{rule: 6, class: 30, name: "two trusted keys, no KeyInfo", setup: trust(others, mine), edit: noKeyInfo},
		{rule: 6, class: 30, name: "re-issued certificate in the metadata", setup: trust(certificate(-year, year))},
		{rule: 6, class: 30, name: "expired certificate in the metadata", setup: trust(certificate(-2*year, -year))},
		{rule: 6, class: 30, name: "certificate in the metadata that is not valid yet", setup: trust(certificate(year, 2*year))},
		{rule: 6, class: 30, name: "no KeyInfo", edit: noKeyInfo},
		{rule: 6, class: 30, name: "KeyName only", edit: keyInfo("<ds:KeyName>key-1</ds:KeyName>")},
		{rule: 6, class: 30, name: "RSA key value only", edit: keyInfo("<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>AQAB</ds:Modulus><ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>")},
		{rule: 6, class: 30, name: "empty X509Certificate", edit: keyInfo("<ds:X509Data><ds:X509Certificate></ds:X509Certificate></ds:X509Data>")},
		{rule: 6, class: 30, name: "KeyInfo shows another certificate than the key that signed", edit: keyInfo("<ds:X509Data><ds:X509Certificate>" + base64.StdEncoding.EncodeToString(shared().other.Certificate) + "</ds:X509Certificate></ds:X509Data>")},
		{rule: 6, class: 11, name: "signed by an unknown key that KeyInfo shows", want: ReasonCertificateMismatch, check: CheckSignature, says: "SHA-256", after: trust(others)},
		{rule: 6, class: 11, name: "signed by an unknown key, no KeyInfo", want: ReasonSignatureInvalid, check: CheckSignature, says: "no trusted key", edit: noKeyInfo, after: trust(others)},
		{rule: 6, class: 11, name: "signed by an unknown key, KeyInfo shows the trusted certificate", want: ReasonSignatureInvalid, check: CheckSignature, says: "no trusted key",
			edit: keyInfo("<ds:X509Data><ds:X509Certificate>" + base64.StdEncoding.EncodeToString(shared().other.Certificate) + "</ds:X509Certificate></ds:X509Data>"), after: trust(others)},
		{rule: 6, class: 11, name: "signed by an unknown key with the trusted certificate's name", want: ReasonCertificateMismatch, check: CheckSignature,
			setup: func(f *fixture) { f.idp = reKeyed(rsa3072()); f.conf.Trust = f.idp.Trust() }, after: func(f *fixture) { f.conf.Trust = shared().idp.Trust() }},
		{rule: 6, class: 11, name: "KeyInfo with garbage for a certificate", want: ReasonCertificateMismatch, check: CheckSignature,
			edit: keyInfo("<ds:X509Data><ds:X509Certificate>AAAA</ds:X509Certificate></ds:X509Data>"), after: trust(others)},
		{rule: 6, class: 11, name: "KeyInfo with a retrieval method", edit: keyInfo(`<ds:RetrievalMethod URI="https://victim.example/key"/>`)},
	}
}

// shapeVectors are signatures by the right key over a SignedInfo of the wrong shape.
func shapeVectors() []vector {
	wrong := func(class int, name string, edit func(*samltest.Response)) vector {
		return vector{rule: 6, class: class, name: name, want: ReasonSignatureInvalid, check: CheckSignature, edit: edit}
	}
	reference := func(info string) string { return between(info, "<ds:Reference", "</ds:Reference>") }
	return []vector{
		{rule: 6, class: 8, name: "signed again without a change", edit: resigned(func(s string) string { return s })},
		wrong(8, "two References", resigned(func(s string) string { return replace(reference(s), reference(s)+reference(s))(s) })),
		wrong(8, "no Reference", resigned(func(s string) string { return replace(reference(s), "")(s) })),
		wrong(8, "Reference to the whole document", resigned(func(s string) string { return replace(between(s, `URI="`, `"`), `URI=""`)(s) })),
		wrong(8, "Reference without URI", resigned(func(s string) string { return replace(between(s, ` URI="`, `"`), ``)(s) })),
		wrong(8, "Reference to another ID", resigned(func(s string) string { return replace(between(s, `URI="`, `"`), `URI="#_other"`)(s) })),
		wrong(8, "Reference by XPointer", resigned(func(s string) string {
			id := strings.TrimSuffix(strings.TrimPrefix(between(s, `URI="#`, `"`), `URI="#`), `"`)
			return replace(between(s, `URI="`, `"`), `URI="#xpointer(id('`+id+`'))"`)(s)
		})),
		wrong(8, "Reference to another document", resigned(func(s string) string { return replace(`URI="#`, `URI="https://victim.example/#`)(s) })),
		wrong(8, "Reference to a lower-case id", both(resigned(func(s string) string { return replace(between(s, `URI="`, `"`), `URI="#_lower"`)(s) }), func(r *samltest.Response) {
			r.EditResponse = replace("<saml:Assertion ", `<saml:Assertion id="_lower" `)
		})),
		wrong(8, "Reference to an ID in a namespace", both(resigned(func(s string) string { return replace(between(s, `URI="`, `"`), `URI="#_spaced"`)(s) }), func(r *samltest.Response) {
			r.EditResponse = replace("<saml:Assertion ", `<saml:Assertion xmlns:x="urn:x" x:ID="_spaced" `)
		})),
		wrong(7, "comment in DigestValue", sent(func(s string) string { return s })).with(ReasonMalformed, CheckXML, sent(replace("<ds:DigestValue>", "<ds:DigestValue><!--x-->"))),
		wrong(7, "element in DigestValue", resigned(func(s string) string {
			return replace(between(s, "<ds:DigestValue>", "</ds:DigestValue>"), "<ds:DigestValue><x/></ds:DigestValue>")(s)
		})),
		wrong(7, "two SignedInfos", sent(func(s string) string {
			info := between(s, "<ds:SignedInfo", "</ds:SignedInfo>")
			return replace(info, info+info)(s)
		})),
		wrong(7, "SignedInfo after the value", sent(func(s string) string {
			info := between(s, "<ds:SignedInfo", "</ds:SignedInfo>")
			return replace("</ds:Signature>", info+"</ds:Signature>")(replace(info, "")(s))
		})),
		wrong(7, "two SignatureValues", sent(func(s string) string {
			v := between(s, "<ds:SignatureValue>", "</ds:SignatureValue>")
			return replace(v, v+v)(s)
		})),
		wrong(7, "Object in the signature", sent(replace("</ds:Signature>", "<ds:Object/></ds:Signature>"))),
		wrong(7, "DigestValue twice", resigned(func(s string) string {
			v := between(s, "<ds:DigestValue>", "</ds:DigestValue>")
			return replace(v, v+v)(s)
		})),
		wrong(9, "empty DigestValue", resigned(func(s string) string {
			return replace(between(s, "<ds:DigestValue>", "</ds:DigestValue>"), "<ds:DigestValue></ds:DigestValue>")(s)
		})),
		wrong(9, "short DigestValue", resigned(func(s string) string {
			return replace(between(s, "<ds:DigestValue>", "</ds:DigestValue>"), "<ds:DigestValue>AAAA</ds:DigestValue>")(s)
		})),
		wrong(9, "digest of nothing", resigned(func(s string) string {
			return replace(between(s, "<ds:DigestValue>", "</ds:DigestValue>"), "<ds:DigestValue>47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=</ds:DigestValue>")(s)
		})),
		wrong(9, "empty SignatureValue", sent(func(s string) string {
			return replace(between(s, "<ds:SignatureValue>", "</ds:SignatureValue>"), "<ds:SignatureValue/>")(s)
		})).
			with(ReasonSignatureInvalid, CheckSignature, nil),
		wrong(9, "SignatureValue is not base64", sent(replace("<ds:SignatureValue>", "<ds:SignatureValue>!"))),
		{rule: 6, class: 9, name: "SignatureValue with line breaks", edit: sent(func(s string) string {
			v := between(s, "<ds:SignatureValue>", "</ds:SignatureValue>")
			return replace(v, v[:80]+"\n"+v[80:160]+"\r\n"+v[160:])(s)
		})},
		wrong(9, "SignedInfo with many elements", sent(func(s string) string {
			return replace("<ds:SignedInfo ", "<ds:SignedInfo>"+strings.Repeat("<ds:x/>", 50)+"</ds:SignedInfo><ds:SignedInfo ")(s)
		})),
	}
}

// with changes what a vector expects, and its edit where there is another.
func (v vector) with(want Reason, check Check, edit func(*samltest.Response)) vector {
	v.want, v.check = want, check
	if edit != nil {
		v.edit = edit
	}
	return v
}

// canonicalVectors are about canonicalization and transforms.
func canonicalVectors() []vector {
	refused := func(name string, edit func(*samltest.Response)) vector {
		return vector{rule: 6, class: 10, name: name, want: ReasonAlgorithmRefused, check: CheckSignature, edit: edit}
	}
	wrong := func(name string, edit func(*samltest.Response)) vector {
		return vector{rule: 6, class: 10, name: name, want: ReasonSignatureInvalid, check: CheckSignature, edit: edit}
	}
	c14n := func(uri string) func(*samltest.Response) {
		return resigned(replace(`CanonicalizationMethod Algorithm="`+xmldsig.ExclusiveC14N+`"`, `CanonicalizationMethod Algorithm="`+uri+`"`))
	}
	transform := func(uri string) func(*samltest.Response) {
		return resigned(replace(`Transform Algorithm="`+xmldsig.ExclusiveC14N+`"`, `Transform Algorithm="`+uri+`"`))
	}
	exclusive := `<ds:Transform Algorithm="` + xmldsig.ExclusiveC14N + `"></ds:Transform>`
	enveloped := `<ds:Transform Algorithm="` + xmldsig.Enveloped + `"></ds:Transform>`
	var out []vector
	for _, alg := range []struct{ name, uri string }{
		{"c14n with comments", "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"},
		{"inclusive c14n", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"},
		{"inclusive c14n with comments", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments"},
		{"c14n 1.1", "http://www.w3.org/2006/12/xml-c14n11"},
		{"no c14n", ""},
	} {
		out = append(out, refused(alg.name+" of SignedInfo", c14n(alg.uri)), refused(alg.name+" as a transform", transform(alg.uri)))
	}
	return append(out,
		refused("XSLT transform", resigned(replace(exclusive, `<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"></ds:Transform>`))),
		refused("XPath transform", resigned(replace(exclusive, `<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"></ds:Transform>`))),
		refused("base64 transform", resigned(replace(exclusive, `<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#base64"></ds:Transform>`))),
		wrong("enveloped transform missing", resigned(replace(enveloped, ""))),
		wrong("canonicalization transform missing", resigned(replace(exclusive, ""))),
		wrong("transforms in the other order", resigned(replace(enveloped+exclusive, exclusive+enveloped))),
		wrong("transform twice", resigned(replace(enveloped, enveloped+enveloped))),
		wrong("no Transforms", resigned(func(s string) string { return replace(between(s, "<ds:Transforms>", "</ds:Transforms>"), "")(s) })),
		wrong("parameter of the enveloped transform", resigned(replace(enveloped, `<ds:Transform Algorithm="`+xmldsig.Enveloped+`"><ds:XPath/></ds:Transform>`))),
		wrong("unknown parameter of canonicalization", resigned(replace(exclusive, `<ds:Transform Algorithm="`+xmldsig.ExclusiveC14N+`"><ds:x/></ds:Transform>`))),
		vector{rule: 6, class: 26, name: "PrefixList of prefixes that values use", edit: prefixList("xs xsi")},
		vector{rule: 6, class: 26, name: "PrefixLists of both canonicalizations", edit: func(r *samltest.Response) {
			prefixList("xs")(r)
			inner := r.EditSent
			r.EditSent = func(s string) string {
				var other samltest.Response
				resigned(replace(`CanonicalizationMethod Algorithm="`+xmldsig.ExclusiveC14N+`"></ds:CanonicalizationMethod>`, `CanonicalizationMethod Algorithm="`+xmldsig.ExclusiveC14N+
					`"><ec:InclusiveNamespaces xmlns:ec="`+xmldsig.ExclusiveC14N+`" PrefixList="nobody"></ec:InclusiveNamespaces></ds:CanonicalizationMethod>`))(&other)
				return other.EditSent(inner(s))
			}
		}},
		vector{rule: 6, class: 26, name: "PrefixList of a prefix that nobody declares", edit: prefixList("nobody")},
		vector{rule: 6, class: 26, name: "one prefix for two namespaces", edit: inAssertion(func(s string) string {
			return replace(`<saml:AttributeValue xsi:type="xs:string">dev</saml:AttributeValue>`,
				`<saml:AttributeValue xmlns:xs="urn:first" xmlns:samlp="urn:second">dev</saml:AttributeValue>`)(s)
		})},
		vector{rule: 6, class: 26, name: "default namespace", edit: inAssertion(func(s string) string {
			s = strings.ReplaceAll(strings.ReplaceAll(s, "<saml:Attribute", "<Attribute"), "</saml:Attribute", "</Attribute")
			return replace("<AttributeStatement>", `<AttributeStatement xmlns="urn:oasis:names:tc:SAML:2.0:assertion">`)(s)
		})},
		vector{rule: 6, class: 26, name: "redundant and unused declarations outside of the signed element", edit: sent(replace("<samlp:Response ",
			`<samlp:Response xmlns:unused="urn:unused" xmlns:xs="http://www.w3.org/2001/XMLSchema" `))},
		vector{rule: 6, class: 9, name: "namespace of the signed element changed from outside", want: ReasonMalformed, check: CheckShape, edit: both(
			inAssertion(func(s string) string { return s }), sent(func(s string) string {
				a := assertionOf(s)
				return replace(a, strings.Replace(a, ` xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`, ` xmlns:saml="urn:evil"`, 1))(s)
			}))},
		vector{rule: 6, class: 9, name: "xsi prefix moved inside of the signed element", want: ReasonSignatureInvalid, check: CheckSignature,
			edit: sent(replace(`<saml:AttributeValue xsi:type="xs:string">dev`, `<saml:AttributeValue xmlns:xsi="urn:evil" xsi:type="xs:string">dev`))},
	)
}

// prefixList signs the assertion with InclusiveNamespaces.
func prefixList(prefixes string) func(*samltest.Response) {
	return sent(func(s string) string {
		signed := assertionOf(s)
		plain := strings.Replace(signed, signatureOf(signed), "", 1)
		root, err := xmldoc.Parse([]byte(plain), xmldoc.DefaultLimits())
		if err != nil {
			panic(err)
		}
		canonical, err := root.Canonical(nil, prefixes)
		if err != nil {
			panic(err)
		}
		h := crypto.SHA256.New()
		h.Write(canonical)
		var other samltest.Response
		resigned(func(info string) string {
			info = replace(between(info, "<ds:DigestValue>", "</ds:DigestValue>"), "<ds:DigestValue>"+base64.StdEncoding.EncodeToString(h.Sum(nil))+"</ds:DigestValue>")(info)
			return replace(`Transform Algorithm="`+xmldsig.ExclusiveC14N+`"></ds:Transform>`, `Transform Algorithm="`+xmldsig.ExclusiveC14N+
				`"><ec:InclusiveNamespaces xmlns:ec="`+xmldsig.ExclusiveC14N+`" PrefixList="`+prefixes+`"></ec:InclusiveNamespaces></ds:Transform>`)(info)
		})(&other)
		out := other.EditSent(s)
		if bytes.Equal([]byte(out), []byte(s)) {
			panic("test: nothing changed")
		}
		return out
	})
}
