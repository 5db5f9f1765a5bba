package saml

import (
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/saml/samltest"
)

const (
	classPassword = "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"
	classPPT      = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
	classMFA      = "https://refeds.org/profile/mfa"
	classOdd      = "urn:example:ac:palm-reading"
)

func asked(comparison string, classes ...string) func(*fixture) {
	return func(f *fixture) { f.pending.Comparison, f.pending.Classes = comparison, classes }
}

func class(c string) func(*samltest.Response) {
	return func(r *samltest.Response) { r.AuthnContextClass = c }
}

func statementOf(s string) string {
	return between(s, "<saml:AuthnStatement ", "</saml:AuthnStatement>")
}

// authnVectors are rule 9.
var authnVectors = []vector{
	{rule: 9, name: "no AuthnStatement", want: ReasonMalformed, check: CheckAuthn, edit: inAssertion(func(s string) string { return replace(statementOf(s), "")(s) })},
	{rule: 9, name: "no AuthnInstant", want: ReasonMalformed, check: CheckAuthn, edit: inAssertion(replace(`AuthnInstant=`, `Instant=`))},
	{rule: 9, class: 31, name: "AuthnInstant in the future", want: ReasonNotYetValid, check: CheckAuthn, edit: func(r *samltest.Response) { r.AuthnInstant = r.Now.Add(61 * time.Second) }},
	{rule: 9, name: "sign-in at the IdP hours ago", edit: func(r *samltest.Response) { r.AuthnInstant = r.Now.Add(-8 * time.Hour) }},
	{rule: 9, class: 37, name: "ForceAuthn and a fresh sign-in", setup: func(f *fixture) { f.pending.ForceAuthn = true }},
	{rule: 9, class: 37, name: "ForceAuthn and an old sign-in", want: ReasonExpired, check: CheckForceAuthn, says: "fresh sign-in",
		setup: func(f *fixture) { f.pending.ForceAuthn = true }, edit: func(r *samltest.Response) { r.AuthnInstant = r.Now.Add(-8 * time.Hour) }},
	{rule: 9, class: 33, name: "session that lasts", edit: func(r *samltest.Response) { r.SessionNotOnOrAfter = r.Now.Add(time.Second) }, verify: func(t *testing.T, a *Assertion) {
		if !a.SessionNotOnOrAfter.Equal(t0.Add(time.Second)) {
			t.Errorf("session until %s", a.SessionNotOnOrAfter)
		}
	}},
	{rule: 9, class: 33, name: "session that ends now", want: ReasonExpired, check: CheckSessionExpiry, says: "session at the IdP ended", edit: func(r *samltest.Response) { r.SessionNotOnOrAfter = r.Now }},
	{rule: 9, class: 33, name: "session end that is no time", want: ReasonMalformed, check: CheckSessionExpiry, edit: inAssertion(replace(` SessionIndex=`, ` SessionNotOnOrAfter="never" SessionIndex=`))},
	{rule: 9, class: 33, name: "the earliest of two session ends", edit: inAssertion(func(s string) string {
		st := statementOf(s)
		return replace(st, strings.Replace(st, " SessionIndex", ` SessionNotOnOrAfter="2026-11-24T12:00:00Z" SessionIndex`, 1)+
			strings.Replace(st, " SessionIndex", ` SessionNotOnOrAfter="2026-11-24T11:00:00Z" SessionIndex`, 1))(s)
	}), verify: func(t *testing.T, a *Assertion) {
		if !a.SessionNotOnOrAfter.Equal(t0.Add(2 * time.Hour)) {
			t.Errorf("session until %s", a.SessionNotOnOrAfter)
		}
	}},
	{rule: 9, class: 37, name: "exact class", setup: asked("exact", classPPT)},
	{rule: 9, class: 37, name: "exact class, one of two", setup: asked("exact", classMFA, classPPT)},
	{rule: 9, class: 37, name: "exact class missed", want: ReasonStatusNotSuccess, check: CheckAuthnContext, says: "asks for exact", setup: asked("exact", classPPT), edit: class(classPassword)},
	{rule: 9, class: 37, name: "exact is the default", want: ReasonStatusNotSuccess, check: CheckAuthnContext, setup: asked("", classPPT), edit: class(classMFA)},
	{rule: 9, class: 37, name: "minimum exceeded", setup: asked("minimum", classPPT), edit: class(classMFA)},
	{rule: 9, class: 37, name: "minimum missed", want: ReasonStatusNotSuccess, check: CheckAuthnContext, setup: asked("minimum", classPPT), edit: class(classPassword)},
	{rule: 9, class: 37, name: "minimum of an unknown class", want: ReasonStatusNotSuccess, check: CheckAuthnContext, setup: asked("minimum", classPPT), edit: class(classOdd)},
	{rule: 9, class: 37, name: "minimum met by name", setup: asked("minimum", classOdd, classPPT), edit: class(classOdd)},
	{rule: 9, class: 37, name: "maximum kept", setup: asked("maximum", classPPT), edit: class(classPassword)},
	{rule: 9, class: 37, name: "maximum exceeded", want: ReasonStatusNotSuccess, check: CheckAuthnContext, setup: asked("maximum", classPPT), edit: class(classMFA)},
	{rule: 9, class: 37, name: "better", needsEdit: true, setup: asked("better", classPPT), edit: class(classMFA)},
	{rule: 9, class: 37, name: "better is not the same", want: ReasonStatusNotSuccess, check: CheckAuthnContext, needsEdit: true, setup: asked("better", classPPT), edit: class(classPPT)},
	{rule: 9, class: 37, name: "no class although one was asked for", want: ReasonStatusNotSuccess, check: CheckAuthnContext, setup: asked("exact", classPPT),
		edit: inAssertion(func(s string) string {
			return replace(between(s, "<saml:AuthnContextClassRef>", "</saml:AuthnContextClassRef>"), "")(s)
		})},
	{rule: 9, class: 37, name: "no class and none asked for", edit: inAssertion(func(s string) string {
		return replace(between(s, "<saml:AuthnContextClassRef>", "</saml:AuthnContextClassRef>"), "")(s)
	})},
	{rule: 9, class: 37, name: "any class and none asked for", edit: class(classOdd), verify: func(t *testing.T, a *Assertion) {
		if a.AuthnContextClass != classOdd {
			t.Errorf("class %q", a.AuthnContextClass)
		}
	}},
}

// attributeVectors are what is read at the end.
var attributeVectors = []vector{
	{rule: 9, name: "values, names and order", verify: func(t *testing.T, a *Assertion) {
		if len(a.Attributes) != 2 || a.Attributes[0].Name != "email" || a.Attributes[0].FriendlyName != "mail" || strings.Join(a.Attributes[1].Values, ",") != "dev,ml-team" {
			t.Errorf("attributes %+v", a.Attributes)
		}
	}},
	{rule: 9, name: "no attributes", edit: func(r *samltest.Response) { r.Attributes = nil }},
	{rule: 9, name: "nil value", edit: inAssertion(replace(`<saml:AttributeValue xsi:type="xs:string">dev</saml:AttributeValue>`, `<saml:AttributeValue xsi:nil="true"/>`)), verify: func(t *testing.T, a *Assertion) {
		if got := a.Values()["groups"]; len(got) != 1 || got[0] != "ml-team" {
			t.Errorf("groups %q", got)
		}
	}},
	{rule: 9, name: "persistent identifier as a value", edit: inAssertion(replace(`>dev<`, `><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">p-1</saml:NameID><`)), verify: func(t *testing.T, a *Assertion) {
		if got := a.Values()["groups"]; len(got) != 2 || got[0] != "p-1" {
			t.Errorf("groups %q", got)
		}
	}},
	{rule: 9, name: "value that is XML", edit: inAssertion(replace(`>dev<`, `><x:group xmlns:x="urn:x">admins</x:group><`)), verify: func(t *testing.T, a *Assertion) {
		if got := a.Values()["groups"]; len(got) != 1 {
			t.Errorf("groups %q", got)
		}
	}},
	{rule: 9, name: "one name in two statements", edit: inAssertion(replace(`</saml:AttributeStatement>`,
		`</saml:AttributeStatement><saml:AttributeStatement><saml:Attribute Name="groups"><saml:AttributeValue>ops</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>`)), verify: func(t *testing.T, a *Assertion) {
		if got := a.Values()["groups"]; len(got) != 3 || got[2] != "ops" {
			t.Errorf("groups %q", got)
		}
	}},
	{rule: 9, name: "unknown element among attributes", want: ReasonMalformed, check: CheckShape, edit: inAssertion(replace(`</saml:AttributeStatement>`, `<saml:Odd/></saml:AttributeStatement>`))},
	{rule: 9, name: "escaped characters", edit: func(r *samltest.Response) { r.Attributes[1].Values = []string{`<a & "b">`, "línea\n2", "👩‍💻"} }, verify: func(t *testing.T, a *Assertion) {
		if got := a.Values()["groups"]; got[0] != `<a & "b">` || got[1] != "línea\n2" || got[2] != "👩‍💻" {
			t.Errorf("groups %q", got)
		}
	}},
}
