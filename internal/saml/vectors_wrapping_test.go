package saml

import (
	"crypto/rsa"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/saml/xmlenc"
)

// signatureOf cuts the first signature out of s.
func signatureOf(s string) string { return between(s, "<ds:Signature", "</ds:Signature>") }

// wrapping is one way to hide a signed element and to put an unsigned one where it was. edit gets the whole response, its signed
// assertion and an unsigned twin about mallory.
type wrapping struct {
	name  string
	want  Reason
	check Check
	edit  func(response, signed, evil string) string
}

// onAssertion are the families XSW3 to XSW8 and their relatives: the assertion is signed.
var onAssertion = []wrapping{
	{"XSW3 evil assertion before the signed one", ReasonMalformed, CheckShape, func(s, a, e string) string { return replace(a, e+a)(s) }},
	{"XSW4 evil assertion around the signed one", ReasonMalformed, CheckShape, func(s, a, e string) string {
		return replace(a, replace("</saml:Assertion>", a+"</saml:Assertion>")(e))(s)
	}},
	{"XSW5 evil assertion with the signature, the original at the end", ReasonMalformed, CheckShape, func(s, a, e string) string {
		return replace(a, withSignature(e, signatureOf(a))+strings.Replace(a, signatureOf(a), "", 1))(s)
	}},
	{"XSW6 evil assertion with the signature, the original inside of it", ReasonMalformed, CheckShape, func(s, a, e string) string {
		original := strings.Replace(a, signatureOf(a), "", 1)
		return replace(a, withSignature(e, replace("</ds:Signature>", original+"</ds:Signature>")(signatureOf(a))))(s)
	}},
	{"XSW7 the signed assertion in Extensions, an evil one outside", ReasonMalformed, CheckShape, func(s, a, e string) string {
		return replace("<samlp:Status>", "<samlp:Extensions>"+a+"</samlp:Extensions><samlp:Status>")(replace(a, e)(s))
	}},
	{"XSW7 the evil assertion in Extensions, the signed one outside", ReasonMalformed, CheckShape, func(s, a, e string) string {
		return replace("<samlp:Status>", "<samlp:Extensions>"+e+"</samlp:Extensions><samlp:Status>")(s)
	}},
	{"XSW8 evil assertion with the signature, the original in its Object", ReasonMalformed, CheckShape, func(s, a, e string) string {
		original := strings.Replace(a, signatureOf(a), "", 1)
		return replace(a, withSignature(e, replace("</ds:Signature>", "<ds:Object>"+original+"</ds:Object></ds:Signature>")(signatureOf(a))))(s)
	}},
	{"the signed assertion in the status detail", ReasonMalformed, CheckShape, func(s, a, e string) string {
		return replace("</samlp:Status>", "<samlp:StatusDetail>"+a+"</samlp:StatusDetail></samlp:Status>")(replace(a, e)(s))
	}},
	{"evil assertion with the ID of the signed one", ReasonMalformed, CheckShape, func(s, a, e string) string {
		id := between(a, ` ID="`, `" `)
		return replace(a, replace(` ID="_evil" `, id)(e)+a)(s)
	}},
	{"evil assertion that borrows the signature", ReasonSignatureInvalid, CheckSignature, func(s, a, e string) string {
		return replace(a, withSignature(e, signatureOf(a)))(s)
	}},
	{"evil assertion that borrows signature and ID", ReasonSignatureInvalid, CheckSignature, func(s, a, e string) string {
		return replace(a, withSignature(replace(` ID="_evil" `, between(a, ` ID="`, `" `))(e), signatureOf(a)))(s)
	}},
	{"the signature as a sibling of the evil assertion", ReasonMalformed, CheckShape, func(s, a, e string) string {
		return replace(a, replace(` ID="_evil" `, between(a, ` ID="`, `" `))(e)+"<samlp:Extensions>"+signatureOf(a)+"</samlp:Extensions>")(s)
	}},
	{"the assertion's signature on the Response", ReasonSignatureInvalid, CheckSignature, func(s, a, e string) string {
		return replace("<samlp:Status>", signatureOf(a)+"<samlp:Status>")(replace(a, e)(s))
	}},
	{"signature stripped", ReasonSignatureInvalid, CheckSignature, func(s, a, _ string) string { return replace(signatureOf(a), "")(s) }},
	{"signature emptied", ReasonSignatureInvalid, CheckSignature, func(s, a, _ string) string {
		return replace(signatureOf(a), `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>`)(s)
	}},
	{"signature in another namespace", ReasonSignatureInvalid, CheckSignature, func(s, a, _ string) string {
		return replace(`<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">`, `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig">`)(s)
	}},
	{"two signatures on the assertion", ReasonSignatureInvalid, CheckSignature, func(s, a, _ string) string {
		return replace(signatureOf(a), signatureOf(a)+signatureOf(a))(s)
	}},
	{"name changed", ReasonSignatureInvalid, CheckSignature, func(s, _, _ string) string { return strings.ReplaceAll(s, "alice", "mallory") }},
	{"attribute added", ReasonSignatureInvalid, CheckSignature, func(s, _, _ string) string {
		return replace("</saml:AttributeStatement>", `<saml:Attribute Name="groups"><saml:AttributeValue>admins</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>`)(s)
	}},
	{"white space added to the NameID", ReasonSignatureInvalid, CheckSignature, func(s, _, _ string) string {
		return replace("alice@example.com</saml:NameID>", "alice@example.com </saml:NameID>")(s)
	}},
}

// onResponse are XSW1 and XSW2: only the Response is signed.
var onResponse = []wrapping{
	{"XSW1 evil response with the signature, the original inside of it", ReasonMalformed, CheckShape, func(s, a, e string) string {
		original := strings.Replace(s, signatureOf(s), "", 1)
		evil := replace(a, e)(s)
		return replace("</ds:Signature>", original+"</ds:Signature>")(evil)
	}},
	{"XSW2 evil response before the detached signature", ReasonMalformed, CheckShape, func(s, a, e string) string {
		original := strings.Replace(s, signatureOf(s), "", 1)
		return replace("<samlp:Status>", "<samlp:Extensions>"+original+"</samlp:Extensions><samlp:Status>")(replace(a, e)(s))
	}},
	{"evil response around the signed one", ReasonMalformed, CheckShape, func(s, a, e string) string {
		evil := replace(a, e)(strings.Replace(s, signatureOf(s), "", 1))
		return replace("</samlp:Response>", "<samlp:Extensions>"+s+"</samlp:Extensions></samlp:Response>")(evil)
	}},
	{"evil assertion in the signed response", ReasonSignatureInvalid, CheckSignature, func(s, a, e string) string { return replace(a, e)(s) }},
	{"evil assertion beside the signed response's", ReasonSignatureInvalid, CheckSignature, func(s, a, e string) string { return replace(a, e+a)(s) }},
	{"the Response's signature moved to the assertion", ReasonSignatureInvalid, CheckSignature, func(s, a, e string) string {
		return replace(a, withSignature(e, signatureOf(s)))(strings.Replace(s, signatureOf(s), "", 1))
	}},
	{"the Response's signature stripped", ReasonSignatureInvalid, CheckSignature, func(s, _, _ string) string { return replace(signatureOf(s), "")(s) }},
	{"two signatures on the Response", ReasonSignatureInvalid, CheckSignature, func(s, _, _ string) string { return replace(signatureOf(s), signatureOf(s)+signatureOf(s))(s) }},
	{"status changed", ReasonSignatureInvalid, CheckSignature, func(s, _, _ string) string {
		return replace("</samlp:Status>", "<samlp:StatusMessage>x</samlp:StatusMessage></samlp:Status>")(s)
	}},
}

// withSignature puts a signature after the assertion's Issuer.
func withSignature(assertion, signature string) string {
	return strings.Replace(assertion, "</saml:Issuer>", "</saml:Issuer>"+signature, 1)
}

func wrappingVectors() []vector {
	var out []vector
	add := func(list []wrapping, prefix string, sign func(*samltest.Response)) {
		for _, w := range list {
			out = append(out, vector{rule: 6, class: 1, name: prefix + ": " + w.name, want: w.want, check: w.check, edit: both(sign, sent(func(s string) string {
				a := assertionOf(s)
				return w.edit(s, a, twin(a))
			}))})
		}
	}
	add(onAssertion, "assertion signed", func(*samltest.Response) {})
	add(onResponse, "response signed", signResponse)
	return slices.Concat(out, encryptedWrappings(), bothSignedVectors())
}

// bothSignedVectors mix the two signatures, and encryption with them.
func bothSignedVectors() []vector {
	toUs := func(r *samltest.Response) { r.EncryptTo = []*rsa.PublicKey{public(shared().current)} }
	return []vector{
		{rule: 6, class: 6, name: "both signed", edit: signBoth},
		{rule: 6, class: 6, name: "response signed only", edit: signResponse},
		{rule: 6, class: 6, name: "nothing signed", want: ReasonSignatureInvalid, check: CheckSignature, says: "Neither", edit: func(r *samltest.Response) { r.Unsigned = true }},
		{rule: 6, class: 6, name: "tampered Response around a genuine assertion", want: ReasonSignatureInvalid, check: CheckSignature, says: "Response",
			edit: both(signBoth, sent(replace("</samlp:Status>", "<samlp:StatusMessage>x</samlp:StatusMessage></samlp:Status>")))},
		{rule: 6, class: 6, name: "broken assertion signature inside of a genuine Response", want: ReasonSignatureInvalid, check: CheckSignature, says: "Assertion",
			edit: both(signBoth, inResponse(replace("alice@example.com</saml:NameID>", "mallory@example.com</saml:NameID>")))},
		{rule: 6, class: 6, name: "response signature required", setup: func(f *fixture) { f.conf.Response.RequireResponseSignature = true }, needsEdit: true, edit: signBoth},
		{rule: 6, class: 6, name: "response signature required and missing", want: ReasonSignatureInvalid, check: CheckSignature, says: "requires it",
			after: func(f *fixture) { f.conf.Response.RequireResponseSignature = true }},
		{rule: 6, class: 29, name: "encrypted: unsigned assertion in an unsigned Response", want: ReasonSignatureInvalid, check: CheckSignature, says: "Neither",
			edit: both(toUs, func(r *samltest.Response) { r.Unsigned = true })},
		{rule: 6, class: 29, name: "encrypted: injected into a signed Response", want: ReasonSignatureInvalid, check: CheckSignature,
			edit: both(toUs, signResponse, sent(func(s string) string {
				evil, err := xmlenc.Encrypt([]byte(`<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_evil" Version="2.0"/>`), []*rsa.PublicKey{public(shared().current)}, xmlenc.Options{})
				if err != nil {
					panic(err)
				}
				return replace(between(s, "<xenc:EncryptedData", "</xenc:EncryptedData>"), string(evil))(s)
			}))},
		{rule: 6, class: 29, name: "encrypted: evil around the signed assertion", want: ReasonMalformed, check: CheckShape, says: "decrypted",
			edit: encryptedTwin(func(a, e string) string { return replace("</saml:Assertion>", a+"</saml:Assertion>")(e) })},
		{rule: 6, class: 29, name: "encrypted: evil that borrows the signature", want: ReasonSignatureInvalid, check: CheckSignature,
			edit: encryptedTwin(func(a, e string) string { return withSignature(e, signatureOf(a)) })},
		{rule: 6, class: 29, name: "encrypted: the original in an Object of the signature", want: ReasonMalformed, check: CheckShape,
			edit: encryptedTwin(func(a, e string) string {
				return withSignature(e, replace("</ds:Signature>", "<ds:Object>"+strings.Replace(a, signatureOf(a), "", 1)+"</ds:Object></ds:Signature>")(signatureOf(a)))
			})},
		{rule: 6, class: 29, name: "encrypted: two assertions in one plaintext", want: ReasonDecryptionFailed, check: CheckEncryption,
			edit: encryptedTwin(func(a, e string) string { return a + e })},
		{rule: 6, class: 29, name: "encrypted: the ID of the Response", want: ReasonMalformed, check: CheckShape, edit: both(toUs, func(r *samltest.Response) {
			r.AssertionID, r.ResponseID = "_same", "_same"
		})},
	}
}

// encryptedTwin encrypts what edit makes of the signed assertion and its evil twin.
func encryptedTwin(edit func(signed, evil string) string) func(*samltest.Response) {
	return sent(func(s string) string {
		a := assertionOf(s)
		data, err := xmlenc.Encrypt([]byte(edit(a, twin(a))), []*rsa.PublicKey{public(shared().current)}, xmlenc.Options{})
		if err != nil {
			panic(err)
		}
		return replace(a, "<saml:EncryptedAssertion>"+string(data)+"</saml:EncryptedAssertion>")(s)
	})
}
