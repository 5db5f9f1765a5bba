package saml

import (
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/saml/samltest"
)

// at moves our clock once the message is made.
func at(d time.Duration) func(*fixture) { return func(f *fixture) { f.now = f.now.Add(d) } }

// responseVectors are rule 3: the Response as the profile wants it.
var responseVectors = []vector{
	{rule: 3, name: "version 1.1", want: ReasonMalformed, check: CheckVersion, says: "1.1", edit: inResponse(replace(`Version="2.0"`, `Version="1.1"`))},
	{rule: 3, name: "no version", want: ReasonMalformed, check: CheckVersion, edit: inResponse(replace(`Version="2.0"`, ``))},
	{rule: 3, name: "another root element", want: ReasonMalformed, check: CheckShape, says: "LogoutResponse",
		edit: sent(func(s string) string {
			return replace("</samlp:Response>", "</samlp:LogoutResponse>")(replace("<samlp:Response", "<samlp:LogoutResponse")(s))
		})},
	{rule: 3, class: 9, name: "Response of another namespace", want: ReasonMalformed, check: CheckShape,
		edit: sent(replace(`xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"`, `xmlns:samlp="urn:oasis:names:tc:SAML:2.0:Protocol"`))},
	{rule: 3, name: "no status", want: ReasonMalformed, check: CheckStatus, edit: inResponse(func(s string) string { return replace(between(s, "<samlp:Status>", "</samlp:Status>"), "")(s) })},
	{rule: 3, name: "two status codes", want: ReasonMalformed, check: CheckStatus, edit: inResponse(replace("<samlp:Status>", `<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Responder"/>`))},
	{rule: 3, name: "two statuses", want: ReasonMalformed, check: CheckStatus,
		edit: inResponse(func(s string) string {
			st := between(s, "<samlp:Status>", "</samlp:Status>")
			return replace(st, st+st)(s)
		})},
	{rule: 3, name: "failure with the IdP's message", want: ReasonStatusNotSuccess, check: CheckStatus, says: `Responder / AuthnFailed instead of Success and says: "User is not assigned"`,
		edit: func(r *samltest.Response) {
			r.Status, r.SubStatus, r.StatusMessage = statusResponder, "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed", "User is not assigned"
		}},
	{rule: 3, class: 37, name: "NoAuthnContext", want: ReasonStatusNotSuccess, check: CheckStatus, says: "NoAuthnContext",
		edit: func(r *samltest.Response) {
			r.Status, r.SubStatus = statusRequester, "urn:oasis:names:tc:SAML:2.0:status:NoAuthnContext"
		}},
	{rule: 3, name: "failure status with a valid assertion", want: ReasonStatusNotSuccess, check: CheckStatus,
		edit: inResponse(replace("status:Success", "status:Responder"))},
	{rule: 3, class: 14, name: "Destination of another service", want: ReasonRecipientMismatch, check: CheckDestination, says: "https://victim.example/acs",
		edit: inResponse(replace(`Destination="https://sso.example.com/saml/okta/acs"`, `Destination="https://victim.example/acs"`))},
	{rule: 3, class: 14, name: "Destination that only starts like ours", want: ReasonRecipientMismatch, check: CheckDestination,
		edit: inResponse(replace(`Destination="https://sso.example.com/saml/okta/acs"`, `Destination="https://sso.example.com/saml/okta/acs2"`))},
	{rule: 3, class: 14, name: "signed Response without Destination", want: ReasonRecipientMismatch, check: CheckDestination, says: "no Destination",
		edit: both(signResponse, inResponse(replace(`Destination="https://sso.example.com/saml/okta/acs"`, ``)))},
	{rule: 3, class: 14, name: "unsigned Response without Destination", edit: inResponse(replace(`Destination="https://sso.example.com/saml/okta/acs"`, ``))},
	{rule: 3, class: 14, name: "Destination changed after the Response was signed", want: ReasonRecipientMismatch, check: CheckDestination,
		edit: both(signResponse, sent(replace(`Destination="https://sso.example.com/saml/okta/acs"`, `Destination="https://victim.example/acs"`)))},
	{rule: 3, class: 17, name: "Response of another issuer", want: ReasonIssuerMismatch, check: CheckIssuer, says: "https://evil.example",
		edit: inResponse(replace(`<saml:Issuer>https://idp.example.com/metadata`, `<saml:Issuer>https://evil.example`))},
	{rule: 3, class: 17, name: "Response without Issuer", edit: inResponse(replace(`<saml:Issuer>https://idp.example.com/metadata</saml:Issuer><samlp:Status>`, `<samlp:Status>`))},
	{rule: 3, class: 17, name: "Response with two Issuers", want: ReasonIssuerMismatch, check: CheckIssuer,
		edit: inResponse(replace(`<samlp:Status>`, `<saml:Issuer>https://idp.example.com/metadata</saml:Issuer><samlp:Status>`))},
	{rule: 3, class: 17, name: "Issuer with white space around it", edit: inResponse(replace(`<saml:Issuer>https://idp.example.com/metadata`, "<saml:Issuer>\n  https://idp.example.com/metadata\n"))},
	{rule: 3, class: 31, name: "Response from the future, at the skew", after: at(-60 * time.Second), setup: longAgo},
	{rule: 3, class: 31, name: "Response from the future, a second past the skew", want: ReasonNotYetValid, check: CheckIssueInstant, says: "1m1s in the future",
		after: at(-61 * time.Second), setup: longAgo},
	{rule: 3, class: 31, name: "Response made before the request, at the skew", setup: func(f *fixture) { f.pending.IssuedAt = t0.Add(60 * time.Second) }},
	{rule: 3, class: 31, name: "Response made before the request, a second past the skew", want: ReasonExpired, check: CheckIssueInstant, says: "before the request was sent",
		after: func(f *fixture) { f.pending.IssuedAt = t0.Add(61 * time.Second) }},
	{rule: 3, class: 31, name: "Response that is minutes old but still valid", after: at(4 * time.Minute)},
	{rule: 3, class: 31, name: "no IssueInstant", want: ReasonMalformed, check: CheckIssueInstant, edit: inResponse(replace(`IssueInstant=`, `Issued=`))},
	{rule: 3, class: 31, name: "IssueInstant that is no time", want: ReasonMalformed, check: CheckIssueInstant, edit: inResponse(replace(`IssueInstant="2026`, `IssueInstant="x2026`))},
	{rule: 3, class: 31, name: "IssueInstant of 60 characters", want: ReasonMalformed, check: CheckIssueInstant,
		edit: inResponse(replace(`IssueInstant="2026-11-24T09:00:00Z"`, `IssueInstant="2026-11-24T09:00:00.`+strings.Repeat("0", 39)+`Z"`))},
	{rule: 3, class: 31, name: "IssueInstant with fractions and an offset", edit: inResponse(replace(`IssueInstant="2026-11-24T09:00:00Z"`, `IssueInstant="2026-11-24T10:00:00.123456789+01:00"`))},
	{rule: 3, class: 31, name: "IssueInstant without a zone", edit: inResponse(replace(`IssueInstant="2026-11-24T09:00:00Z"`, `IssueInstant="2026-11-24T09:00:00"`))},
	{rule: 3, class: 31, name: "wider skew of the connection", setup: func(f *fixture) { f.conf.Response.ClockSkew = 3 * time.Minute; longAgo(f) }, after: at(-3 * time.Minute)},
	{rule: 3, class: 31, name: "as much skew as may be asked for", setup: func(f *fixture) { f.conf.Response.ClockSkew = 10 * time.Minute; longAgo(f) }, after: at(-9 * time.Minute)},
	{rule: 3, class: 31, name: "skew is capped at ten minutes", want: ReasonNotYetValid, check: CheckIssueInstant,
		setup: func(f *fixture) { f.conf.Response.ClockSkew = time.Hour; longAgo(f) }, after: at(-11 * time.Minute)},
	{rule: 3, class: 31, name: "no skew at all", want: ReasonNotYetValid, check: CheckIssueInstant,
		setup: func(f *fixture) { f.conf.Response.ClockSkew = 0; longAgo(f) }, after: at(-time.Second)},
	{rule: 3, class: 31, name: "no skew at all, and none needed", setup: func(f *fixture) { f.conf.Response.ClockSkew = 0 }},
	{rule: 3, name: "clock difference is measured", setup: longAgo, after: at(-42 * time.Second), verify: func(t *testing.T, a *Assertion) {
		if a.ClockDifference != 42*time.Second {
			t.Errorf("clock difference %s", a.ClockDifference)
		}
	}},
}

// longAgo sends the request long before the response, so that our clock can be moved back.
func longAgo(f *fixture) { f.pending.IssuedAt = f.now.Add(-14 * time.Minute) }
