package saml

import (
	"crypto/rsa"
	"strings"

	"github.com/beevik/etree"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/saml/xmlenc"
)

// sealed is an EncryptedAssertion for us: whoever has our metadata can make one.
func sealed(assertion string) string {
	data, err := xmlenc.Encrypt([]byte(assertion), []*rsa.PublicKey{public(shared().current)}, xmlenc.Options{})
	if err != nil {
		panic(err)
	}
	return "<saml:EncryptedAssertion>" + string(data) + "</saml:EncryptedAssertion>"
}

// sealAll encrypts every assertion that is a child of the Response.
func sealAll(response string) string {
	doc := etree.NewDocument()
	if err := doc.ReadFromString(response); err != nil {
		panic(err)
	}
	for _, el := range doc.Root().ChildElements() {
		if el.Tag != "Assertion" {
			continue
		}
		text, err := etree.NewDocumentWithRoot(el.Copy()).WriteToString()
		if err != nil {
			panic(err)
		}
		encrypted := etree.NewDocument()
		wrapped := strings.Replace(sealed(text), "<saml:EncryptedAssertion>", `<saml:EncryptedAssertion xmlns:saml="`+nsAssertion+`">`, 1)
		if err := encrypted.ReadFromString(wrapped); err != nil {
			panic(err)
		}
		at := el.Index()
		doc.Root().RemoveChildAt(at)
		doc.Root().InsertChildAt(at, encrypted.Root())
	}
	out, err := doc.WriteToString()
	if err != nil {
		panic(err)
	}
	return out
}

const evilAssertion = `<saml:Assertion xmlns:saml="` + nsAssertion + `" ID="_evil" Version="2.0" IssueInstant="2026-11-24T09:00:00Z"><saml:Issuer>https://idp.example.com/metadata</saml:Issuer>` +
	`<saml:Subject><saml:NameID>mallory@example.com</saml:NameID></saml:Subject></saml:Assertion>`

// encryptedWrappings are the families of wrapping once more, with the assertions encrypted to us after the attack, or before it where
// the Response's signature covers the ciphertext.
func encryptedWrappings() []vector {
	out := []vector{{rule: 6, class: 1, name: "assertion signed, then encrypted: nothing else changed", edit: sent(sealAll)}}
	for _, w := range onAssertion {
		out = append(out, vector{rule: 6, class: 1, name: "assertion signed, then encrypted: " + w.name, want: w.want, check: w.check, edit: sent(func(s string) string {
			a := assertionOf(s)
			return sealAll(w.edit(s, a, twin(a)))
		})})
	}
	for _, w := range onResponse {
		if strings.Contains(w.name, "moved to the assertion") {
			continue // ciphertext carries no signature
		}
		out = append(out, vector{rule: 6, class: 1, name: "response signed over ciphertext: " + w.name, want: w.want, check: w.check,
			edit: both(func(r *samltest.Response) { r.EncryptTo = []*rsa.PublicKey{public(shared().current)} }, signResponse, sent(func(s string) string {
				return w.edit(s, between(s, "<saml:EncryptedAssertion", "</saml:EncryptedAssertion>"), sealed(evilAssertion))
			}))})
	}
	return out
}
