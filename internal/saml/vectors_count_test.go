package saml

import (
	"strings"

	"sallyport.dev/sallyport/internal/saml/samltest"
)

// assertionOf cuts the Assertion out of a response.
func assertionOf(s string) string { return between(s, "<saml:Assertion ", "</saml:Assertion>") }

// twin is an unsigned copy of an assertion about somebody else.
func twin(assertion string) string {
	s := strings.ReplaceAll(assertion, "alice@example.com", "mallory@example.com")
	if sig := strings.Index(s, "<ds:Signature"); sig >= 0 {
		s = strings.Replace(s, between(s, "<ds:Signature", "</ds:Signature>"), "", 1)
	}
	id := between(s, ` ID="`, `" `)
	return strings.Replace(s, id, ` ID="_evil" `, 1)
}

// countVectors are rule 4: one assertion, a direct child.
var countVectors = []vector{
	{rule: 4, class: 1, name: "no assertion", want: ReasonMalformed, check: CheckShape, says: "0 assertions",
		edit: inResponse(func(s string) string { return replace(assertionOf(s), "")(s) })},
	{rule: 4, class: 1, name: "two signed assertions", want: ReasonMalformed, check: CheckShape, says: "2 assertions", edit: sent(func(s string) string {
		a := assertionOf(s)
		return replace(a, a+strings.ReplaceAll(strings.ReplaceAll(a, between(a, ` ID="`, `" `), ` ID="_two" `), `URI="#_`, `URI="#_x`))(s)
	})},
	{rule: 4, class: 1, name: "unsigned assertion before the signed one", want: ReasonMalformed, check: CheckShape, says: "2 assertions",
		edit: sent(func(s string) string { a := assertionOf(s); return replace(a, twin(a)+a)(s) })},
	{rule: 4, class: 1, name: "unsigned assertion after the signed one", want: ReasonMalformed, check: CheckShape, says: "2 assertions",
		edit: sent(func(s string) string { a := assertionOf(s); return replace(a, a+twin(a))(s) })},
	{rule: 4, class: 29, name: "encrypted beside plain", want: ReasonMalformed, check: CheckShape, says: "2 assertions",
		edit: sent(replace("</samlp:Response>", "<saml:EncryptedAssertion/></samlp:Response>"))},
	{rule: 4, class: 1, name: "assertion in Extensions only", want: ReasonMalformed, check: CheckShape, says: "not a direct child", edit: inResponse(func(s string) string {
		a := assertionOf(s)
		return replace(a, "<samlp:Extensions>"+a+"</samlp:Extensions>")(s)
	})},
	{rule: 4, class: 1, name: "assertion in Advice", want: ReasonMalformed, check: CheckShape, says: "not a direct child",
		edit: inAssertion(replace("<saml:AuthnStatement ", `<saml:Advice><saml:Assertion ID="_advice" Version="2.0"/></saml:Advice><saml:AuthnStatement `))},
	{rule: 4, class: 9, name: "assertion of another namespace", want: ReasonMalformed, check: CheckShape, says: "0 assertions", edit: func(r *samltest.Response) {
		r.Unsigned = true
		r.EditAssertion = replace(`xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`, `xmlns:saml="urn:oasis:names:tc:SAML:1.0:assertion"`)
	}},
	{rule: 4, class: 9, name: "two elements with one ID", want: ReasonMalformed, check: CheckShape, says: "same ID", edit: func(r *samltest.Response) {
		r.AssertionID = "_same"
		r.ResponseID = "_same"
	}},
	{rule: 4, class: 9, name: "one ID in two spellings", want: ReasonMalformed, check: CheckShape, says: "same ID", edit: func(r *samltest.Response) {
		r.AssertionID = "_same"
		r.EditResponse = replace("<samlp:Status>", `<samlp:Status xml:id="_same">`)
	}},
	{rule: 4, class: 1, name: "response inside of a response", want: ReasonMalformed, check: CheckShape, says: "inside of a response",
		edit: inResponse(replace("<samlp:Status>", `<samlp:Extensions><samlp:Response/></samlp:Extensions><samlp:Status>`))},
}
