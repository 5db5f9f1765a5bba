package saml

import (
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/saml/samltest"
)

const confirmation = `<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">`

// confirmationOf cuts out the bearer confirmation.
func confirmationOf(s string) string {
	return between(s, "<saml:SubjectConfirmation ", "</saml:SubjectConfirmation>")
}

// subjectVectors are rule 7.
var subjectVectors = []vector{
	{rule: 7, name: "assertion of version 1.1", want: ReasonMalformed, check: CheckVersion, says: "assertion has SAML version", edit: inAssertion(replace(`Version="2.0"`, `Version="1.1"`))},
	{rule: 7, name: "assertion without an ID", want: ReasonMalformed, check: CheckShape, says: "no usable ID",
		edit: both(signResponse, inAssertion(func(s string) string { return replace(between(s, ` ID="`, `" `), " ")(s) }))},
	{rule: 7, name: "assertion with an ID of 2,000 characters", want: ReasonMalformed, check: CheckShape, says: "no usable ID",
		edit: func(r *samltest.Response) { r.AssertionID = "_" + strings.Repeat("a", 2000) }},
	{rule: 7, class: 17, name: "assertion without Issuer", want: ReasonIssuerMismatch, check: CheckIssuer,
		edit: both(signResponse, inAssertion(replace(`<saml:Issuer>https://idp.example.com/metadata</saml:Issuer>`, ``)))},
	{rule: 7, class: 17, name: "assertion of another issuer, signed by this IdP's key", want: ReasonIssuerMismatch, check: CheckIssuer, says: "https://evil.example",
		edit: inAssertion(replace(`https://idp.example.com/metadata`, `https://evil.example`))},
	{rule: 7, class: 31, name: "assertion from the future", want: ReasonNotYetValid, check: CheckIssueInstant,
		edit: inAssertion(replace(`IssueInstant="2026-11-24T09:00:00Z"`, `IssueInstant="2026-11-24T09:01:01Z"`))},
	{rule: 7, name: "no Subject", want: ReasonMalformed, check: CheckSubject, edit: inAssertion(func(s string) string { return replace(between(s, "<saml:Subject>", "</saml:Subject>"), "")(s) })},
	{rule: 7, name: "two Subjects", want: ReasonMalformed, check: CheckSubject, edit: inAssertion(func(s string) string {
		sub := between(s, "<saml:Subject>", "</saml:Subject>")
		return replace(sub, sub+strings.ReplaceAll(sub, "alice", "mallory"))(s)
	})},
	{rule: 7, name: "two NameIDs", want: ReasonMalformed, check: CheckSubject, edit: inAssertion(replace("<saml:SubjectConfirmation ", "<saml:NameID>mallory@example.com</saml:NameID><saml:SubjectConfirmation "))},
	{rule: 7, name: "empty NameID", want: ReasonMalformed, check: CheckSubject, edit: inAssertion(replace("alice@example.com</saml:NameID>", "</saml:NameID>"))},
	{rule: 7, name: "BaseID", want: ReasonMalformed, check: CheckSubject, edit: inAssertion(replace("<saml:SubjectConfirmation ", "<saml:BaseID/><saml:SubjectConfirmation "))},
	{rule: 7, name: "no NameID at all", edit: inAssertion(func(s string) string { return replace(between(s, "<saml:NameID", "</saml:NameID>"), "")(s) }),
		verify: func(t *testing.T, a *Assertion) {
			if a.NameID != (NameID{}) {
				t.Errorf("NameID %+v", a.NameID)
			}
		}},
	{rule: 7, name: "NameID of another namespace is not the NameID", edit: inAssertion(replace("<saml:SubjectConfirmation ", `<x:NameID xmlns:x="urn:x">mallory@example.com</x:NameID><saml:SubjectConfirmation `)),
		verify: func(t *testing.T, a *Assertion) {
			if a.NameID.Value != "alice@example.com" {
				t.Errorf("NameID %+v", a.NameID)
			}
		}},
	{rule: 7, name: "qualifiers are kept", edit: inAssertion(replace("<saml:NameID ", `<saml:NameID NameQualifier="https://idp.example.com" SPNameQualifier="sp" `)),
		verify: func(t *testing.T, a *Assertion) {
			if a.NameID.NameQualifier != "https://idp.example.com" || a.NameID.SPNameQualifier != "sp" {
				t.Errorf("NameID %+v", a.NameID)
			}
		}},
	{rule: 7, class: 15, name: "no confirmation", want: ReasonMalformed, check: CheckConfirmation, says: "no bearer", edit: inAssertion(func(s string) string { return replace(confirmationOf(s), "")(s) })},
	{rule: 7, class: 15, name: "holder of key", want: ReasonMalformed, check: CheckConfirmation, edit: inAssertion(replace("cm:bearer", "cm:holder-of-key"))},
	{rule: 7, class: 15, name: "sender vouches", want: ReasonMalformed, check: CheckConfirmation, edit: inAssertion(replace("cm:bearer", "cm:sender-vouches"))},
	{rule: 7, class: 15, name: "no method", want: ReasonMalformed, check: CheckConfirmation, edit: inAssertion(replace(`Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"`, ``))},
	{rule: 7, class: 15, name: "no confirmation data", want: ReasonMalformed, check: CheckConfirmation, says: "no data",
		edit: inAssertion(func(s string) string { return replace(between(s, "<saml:SubjectConfirmationData", "/>"), "")(s) })},
	{rule: 7, class: 15, name: "Recipient of another service", want: ReasonRecipientMismatch, check: CheckConfirmation, says: "https://victim.example/acs",
		edit: inAssertion(replace(`Recipient="https://sso.example.com/saml/okta/acs"`, `Recipient="https://victim.example/acs"`))},
	{rule: 7, class: 15, name: "no Recipient", want: ReasonRecipientMismatch, check: CheckConfirmation, edit: inAssertion(replace(`Recipient="https://sso.example.com/saml/okta/acs"`, ``))},
	{rule: 7, class: 15, name: "no NotOnOrAfter", want: ReasonMalformed, check: CheckConfirmation, edit: inAssertion(replace(`<saml:SubjectConfirmationData NotOnOrAfter="2026-11-24T09:05:00Z"`, `<saml:SubjectConfirmationData`))},
	{rule: 7, class: 15, name: "NotBefore", want: ReasonMalformed, check: CheckConfirmation, says: "forbids",
		edit: inAssertion(replace(`<saml:SubjectConfirmationData `, `<saml:SubjectConfirmationData NotBefore="2026-11-24T08:00:00Z" `))},
	{rule: 7, class: 31, name: "the last second of NotOnOrAfter and skew", after: at(6*time.Minute - time.Second)},
	{rule: 7, class: 31, name: "NotOnOrAfter and skew reached", want: ReasonExpired, check: CheckConfirmation, says: "valid until 2026-11-24T09:05:00Z", after: at(6 * time.Minute)},
	{rule: 7, class: 15, name: "one of two confirmations holds", edit: inAssertion(func(s string) string {
		c := confirmationOf(s)
		return replace(c, strings.Replace(c, "saml/okta/acs", "saml/other/acs", 1)+c)(s)
	})},
	{rule: 7, class: 15, name: "holder of key beside bearer", edit: inAssertion(replace(confirmation, `<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"/>`+confirmation))},
	{rule: 7, class: 15, name: "two confirmations, each wrong in its own way", want: ReasonRecipientMismatch, check: CheckConfirmation, edit: inAssertion(func(s string) string {
		c := confirmationOf(s)
		return replace(c, strings.Replace(c, "saml/okta/acs", "saml/other/acs", 1)+strings.Replace(c, "_request1", "_request2", 1))(s)
	})},
	{rule: 10, class: 21, name: "replay is guarded as long as any confirmation holds", edit: inAssertion(func(s string) string {
		c := confirmationOf(s)
		s = strings.Replace(s, `NotOnOrAfter="2026-11-24T09:05:00Z"><saml:Aud`, `NotOnOrAfter="2026-11-24T10:00:00Z"><saml:Aud`, 1)
		return replace(c, c+strings.Replace(c, "09:05:00Z", "09:30:00Z", 1))(s)
	}), verify: func(t *testing.T, a *Assertion) {
		if want := t0.Add(31 * time.Minute); !a.ReplayUntil.Equal(want) {
			t.Errorf("guarded until %s, want %s", a.ReplayUntil, want)
		}
	}},
	{rule: 10, class: 21, name: "replay is guarded until NotOnOrAfter and skew", verify: func(t *testing.T, a *Assertion) {
		if want := t0.Add(6 * time.Minute); !a.ReplayUntil.Equal(want) || a.ID == "" {
			t.Errorf("%q guarded until %s, want %s", a.ID, a.ReplayUntil, want)
		}
	}},
}
