package saml

import (
	"encoding/base64"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/saml/samltest"
)

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// limitVectors are rule 1: what is refused before and while parsing.
var limitVectors = []vector{
	{rule: 1, name: "plain", verify: func(t *testing.T, a *Assertion) {
		if a.NameID.Value != "alice@example.com" || a.Issuer != "https://idp.example.com/metadata" || len(a.Attributes) != 2 || a.InResponseTo != "_request1" {
			t.Errorf("read %+v", a)
		}
	}},
	{rule: 1, name: "signed by goxmldsig", edit: signedElsewhere(func(s string) string { return s })},
	{rule: 1, name: "base64 with line breaks", wire: func(_ *fixture, form string) string {
		return form[:76] + "\r\n" + form[76:152] + "\n" + form[152:]
	}},
	{rule: 1, name: "XML declaration and byte order mark", edit: sent(func(s string) string {
		return "\ufeff<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + s + "\n"
	})},
	{rule: 1, name: "empty", want: ReasonMalformed, check: CheckEncoding, wire: func(*fixture, string) string { return "" }},
	{rule: 1, name: "not base64", want: ReasonMalformed, check: CheckEncoding, wire: func(_ *fixture, form string) string { return "!" + form }},
	{rule: 1, name: "base64url", want: ReasonMalformed, check: CheckEncoding, wire: func(_ *fixture, form string) string { return "-_-_" + form }},
	{rule: 1, class: 25, name: "too many bytes", want: ReasonLimitExceeded, check: CheckLimits, says: "262144 bytes",
		edit: sent(func(s string) string { return s + strings.Repeat(" ", 256<<10) })},
	{rule: 1, class: 25, name: "too deep", want: ReasonLimitExceeded, check: CheckLimits, says: "64 levels",
		edit: inResponse(replace("<samlp:Status>", "<samlp:Extensions>"+strings.Repeat("<a>", 70)+strings.Repeat("</a>", 70)+"</samlp:Extensions><samlp:Status>"))},
	{rule: 1, class: 25, name: "too many elements", want: ReasonLimitExceeded, check: CheckLimits, says: "6000 elements",
		edit: inResponse(replace("<samlp:Status>", "<samlp:Extensions>"+strings.Repeat("<a/>", 7000)+"</samlp:Extensions><samlp:Status>"))},
	{rule: 1, class: 25, name: "too many attributes on an element", want: ReasonLimitExceeded, check: CheckLimits, says: "64 attributes",
		edit: inResponse(replace("<samlp:Status>", "<samlp:Status"+manyAttributes("a", 70)+">"))},
	{rule: 1, class: 25, name: "too many attributes", want: ReasonLimitExceeded, check: CheckLimits, says: "12000 attributes",
		edit: inResponse(replace("<samlp:Status>", "<samlp:Extensions>"+strings.Repeat("<a"+manyAttributes("", 60)+"/>", 400)+"</samlp:Extensions><samlp:Status>"))},
	{rule: 1, class: 25, name: "namespace bomb", want: ReasonLimitExceeded, check: CheckLimits, says: "20 namespace",
		edit: inResponse(replace("<samlp:Status>", "<samlp:Status"+manyAttributes("xmlns:n", 50)+">"))},
	{rule: 1, class: 25, name: "too many comments", want: ReasonLimitExceeded, check: CheckLimits, says: "200 comments",
		edit: inResponse(replace("<samlp:Status>", strings.Repeat("<!---->", 300)+"<samlp:Status>"))},
	{rule: 1, class: 24, name: "DOCTYPE", want: ReasonMalformed, check: CheckXML, says: "DOCTYPE",
		edit: sent(func(s string) string { return "<!DOCTYPE Response>" + s })},
	{rule: 1, class: 24, name: "DOCTYPE with entities", want: ReasonMalformed, check: CheckXML, says: "DOCTYPE",
		edit: sent(func(s string) string {
			return `<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>` + strings.Replace(s, "alice@", "&b;", 1)
		})},
	{rule: 1, class: 24, name: "external entity", want: ReasonMalformed, check: CheckXML, says: "DOCTYPE",
		edit: sent(func(s string) string { return `<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>` + s })},
	{rule: 1, class: 24, name: "unknown entity", want: ReasonMalformed, check: CheckXML, says: "entity", edit: sent(replace("alice@", "&alice;@"))},
	{rule: 1, class: 24, name: "DOCTYPE in lower case", want: ReasonMalformed, check: CheckXML, edit: sent(func(s string) string { return "<!doctype Response>" + s })},
	{rule: 1, class: 24, name: "DOCTYPE behind a comment", want: ReasonMalformed, check: CheckXML, says: "DOCTYPE",
		edit: sent(func(s string) string { return "<!-- x --><!DOCTYPE Response>" + s })},
	{rule: 1, class: 5, name: "processing instruction before the root", want: ReasonMalformed, check: CheckXML, says: "processing instruction",
		edit: sent(func(s string) string { return `<?xml-stylesheet href="x"?>` + s })},
	{rule: 1, class: 5, name: "processing instruction in the NameID", want: ReasonMalformed, check: CheckXML, says: "processing instruction",
		edit: sent(replace("alice@example.com", "alice@example.com<?x y?>.mallory.example"))},
	{rule: 1, class: 3, name: "two colons in a name", want: ReasonMalformed, check: CheckXML, edit: sent(replace("<samlp:Status>", "<samlp::Status>"))},
	{rule: 1, class: 3, name: "empty prefix", want: ReasonMalformed, check: CheckXML, edit: sent(replace("<samlp:Status>", "<:Status>"))},
	{rule: 1, class: 3, name: "colon at the end of an attribute name", want: ReasonMalformed, check: CheckXML, edit: sent(replace(`Version="2.0"`, `Version:="2.0"`))},
	{rule: 1, class: 3, name: "attribute given twice", want: ReasonMalformed, check: CheckXML, says: "twice",
		edit: sent(replace(`Version="2.0"`, `Version="2.0" Version="2.0"`))},
	{rule: 1, class: 9, name: "attribute given twice under two prefixes", want: ReasonMalformed, check: CheckXML, says: "twice",
		edit: sent(replace(`Version="2.0"`, `Version="2.0" xmlns:p="urn:x" xmlns:q="urn:x" p:a="1" q:a="2"`))},
	{rule: 1, class: 9, name: "undeclared prefix", want: ReasonMalformed, check: CheckXML, says: "prefix", edit: sent(replace("<samlp:Status>", "<x:y/><samlp:Status>"))},
	{rule: 1, class: 9, name: "prefix undeclared by an empty URI", want: ReasonMalformed, check: CheckXML, edit: sent(replace("<samlp:Status>", `<samlp:Status xmlns:q="">`))},
	{rule: 1, class: 9, name: "xml prefix bound elsewhere", want: ReasonMalformed, check: CheckXML, says: "reserved",
		edit: sent(replace("<samlp:Status>", `<samlp:Status xmlns:xml="urn:x">`))},
	{rule: 1, class: 9, name: "xmlns bound", want: ReasonMalformed, check: CheckXML, edit: sent(replace("<samlp:Status>", `<samlp:Status xmlns:xmlns="urn:x">`))},
	{rule: 1, class: 9, name: "another prefix for the xml namespace", want: ReasonMalformed, check: CheckXML, says: "reserved",
		edit: sent(replace("<samlp:Status>", `<samlp:Status xmlns:q="http://www.w3.org/XML/1998/namespace">`))},
	{rule: 1, class: 2, name: "UTF-16", want: ReasonMalformed, check: CheckXML, says: "UTF-8", wire: func(_ *fixture, form string) string {
		xml, _ := base64.StdEncoding.DecodeString(form)
		var b strings.Builder
		b.WriteString("\xfe\xff")
		for _, c := range xml {
			b.WriteByte(0)
			b.WriteByte(c)
		}
		return encode(b.String())
	}},
	{rule: 1, class: 2, name: "UTF-7 declared", want: ReasonMalformed, check: CheckXML, says: "UTF-8",
		edit: sent(func(s string) string { return `<?xml version="1.0" encoding="UTF-7"?>` + s })},
	{rule: 1, class: 2, name: "XML 1.1", want: ReasonMalformed, check: CheckXML, edit: sent(func(s string) string { return `<?xml version="1.1"?>` + s })},
	{rule: 1, class: 2, name: "NUL byte", want: ReasonMalformed, check: CheckXML, edit: sent(replace("alice@", "alice\x00@"))},
	{rule: 1, class: 2, name: "NUL by reference", want: ReasonMalformed, check: CheckXML, edit: sent(replace("alice@", "alice&#0;@"))},
	{rule: 1, class: 2, name: "invalid UTF-8", want: ReasonMalformed, check: CheckXML, edit: sent(replace("alice@", "alice\xc0\x80@"))},
	{rule: 1, class: 2, name: "second root element", want: ReasonMalformed, check: CheckXML, says: "after the root", edit: sent(func(s string) string { return s + s })},
	{rule: 1, class: 2, name: "text after the root", want: ReasonMalformed, check: CheckXML, edit: sent(func(s string) string { return s + "x" })},
	{rule: 1, class: 2, name: "end tag of another element", want: ReasonMalformed, check: CheckXML, edit: sent(replace("</samlp:Status>", "</samlp:status>"))},
	{rule: 1, class: 2, name: "cut off", want: ReasonMalformed, check: CheckXML, edit: sent(func(s string) string { return s[:len(s)-10] })},
	{rule: 1, class: 2, name: "unquoted attribute", want: ReasonMalformed, check: CheckXML, edit: sent(replace(`Version="2.0"`, `Version=2.0`))},
	{rule: 1, class: 2, name: "less-than in an attribute", want: ReasonMalformed, check: CheckXML, edit: sent(replace(`Version="2.0"`, `Version="2.0" a="<"`))},
	{rule: 1, class: 2, name: "CDATA end in text", want: ReasonMalformed, check: CheckXML, edit: sent(replace("alice@", "alice]]>@"))},
	{rule: 1, name: "not XML", want: ReasonMalformed, check: CheckXML, wire: func(*fixture, string) string { return encode("hello") }},
	{rule: 1, class: 5, name: "comment in the NameID", want: ReasonMalformed, check: CheckXML, says: "comment",
		edit: sent(replace("alice@example.com", "alice@example.com<!-- -->.mallory.example"))},
	{rule: 1, class: 5, name: "comment in an attribute value", want: ReasonMalformed, check: CheckXML, says: "comment", edit: sent(replace(">dev<", ">d<!---->ev<"))},
	{rule: 1, class: 5, name: "comment between elements", edit: sent(replace("<samlp:Status>", "<!-- harmless --><samlp:Status>"))},
	{rule: 1, class: 5, name: "element inside of the NameID", want: ReasonMalformed, check: CheckXML, says: "beside",
		edit: signedElsewhere(replace("alice@example.com", "alice<x>@example.com</x>.mallory.example"))},
	{rule: 1, class: 5, name: "text between elements", want: ReasonMalformed, check: CheckXML, says: "beside", edit: signedElsewhere(replace("<saml:Conditions ", "x<saml:Conditions "))},
	{rule: 1, class: 5, name: "CDATA is read whole", edit: inAssertion(replace("alice@example.com", "alice<![CDATA[@example.com]]>.au")),
		verify: func(t *testing.T, a *Assertion) {
			if a.NameID.Value != "alice@example.com.au" {
				t.Errorf("NameID %q", a.NameID.Value)
			}
		}},
	{rule: 1, class: 5, name: "unsigned CDATA does not change the signed text", edit: sent(replace("alice@example.com", "<![CDATA[alice@example.com]]>")),
		verify: func(t *testing.T, a *Assertion) {
			if a.NameID.Value != "alice@example.com" {
				t.Errorf("NameID %q", a.NameID.Value)
			}
		}},
	{rule: 1, class: 30, name: "pretty printed", edit: both(
		inAssertion(func(s string) string { return strings.ReplaceAll(s, "><", ">\n  <") }),
		inResponse(func(s string) string { return strings.Replace(s, "<samlp:Status>", "\n<samlp:Status>\r\n", 1) }))},
	{rule: 1, class: 25, name: "2,000 attribute values", edit: func(r *samltest.Response) { r.Attributes[1].Values = groups(2000) },
		verify: func(t *testing.T, a *Assertion) {
			if n := len(a.Values()["groups"]); n != 2000 {
				t.Errorf("%d groups", n)
			}
		}},
}

func manyAttributes(prefix string, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" " + prefix + string(rune('a'+i%26)) + string(rune('a'+i/26)) + `="u"`)
	}
	return b.String()
}
