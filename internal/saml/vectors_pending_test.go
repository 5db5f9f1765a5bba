package saml

import (
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
)

// unsolicitedAs is unsolicited where requests are made by a policy.
func unsolicitedAs(policy snapshot.RequestPolicy) func(*fixture) {
	return func(f *fixture) {
		unsolicited(f)
		f.conf.Request = policy
	}
}

func unsolicited(f *fixture) { f.pending, f.conf.Response.AllowUnsolicited = nil, true }

// pendingVectors are rules 2 and 11: the request that the response must answer.
var pendingVectors = []vector{
	{rule: 2, class: 16, name: "no pending request", want: ReasonInResponseToMismatch, check: CheckPending, says: "This response is unsolicited", after: func(f *fixture) { f.pending = nil }},
	{rule: 2, class: 17, name: "request of another connection", want: ReasonInResponseToMismatch, check: CheckPending, says: `"entra"`,
		after: func(f *fixture) { f.pending.Connection = "entra" }},
	{rule: 2, class: 17, name: "assertion of another IdP with its own key", want: ReasonIssuerMismatch, check: CheckIssuer, says: "victim.example",
		setup: func(f *fixture) { f.idp = shared().other; f.conf.Trust = f.idp.Trust() },
		after: func(f *fixture) { f.conf.Trust = shared().idp.Trust() }},
	{rule: 2, class: 17, name: "another IdP names this one as issuer", want: ReasonCertificateMismatch, check: CheckSignature,
		setup: func(f *fixture) {
			o := *shared().other
			o.EntityID = shared().idp.EntityID
			f.idp = &o
			f.conf.Trust = o.Trust()
		},
		after: func(f *fixture) { f.conf.Trust = shared().idp.Trust() }},
	{rule: 2, class: 19, name: "IdP disabled", want: ReasonIdPDisabled, check: CheckPolicy, after: func(f *fixture) { f.conf.Enabled = false }},
	{rule: 2, class: 19, name: "trust not established", want: ReasonSignatureInvalid, check: CheckSignature, says: "not established", after: func(f *fixture) { f.conf.Trust = nil }},
	{rule: 3, class: 16, name: "answers another request", want: ReasonInResponseToMismatch, check: CheckInResponseTo, says: `"_request1"`,
		edit: func(r *samltest.Response) { r.InResponseTo = "_request2" }},
	{rule: 3, class: 16, name: "second tab's request stays separate", want: ReasonInResponseToMismatch, check: CheckInResponseTo,
		after: func(f *fixture) {
			f.pending = &Pending{RequestID: "_tab2", Connection: "okta", IssuedAt: t0.Add(-time.Minute)}
		}},
	{rule: 3, class: 16, name: "Response without InResponseTo", want: ReasonInResponseToMismatch, check: CheckInResponseTo,
		edit: inResponse(replace(` InResponseTo="_request1"><saml:Issuer>`, `><saml:Issuer>`))},
	{rule: 7, class: 16, name: "unsigned Response names the request, signed assertion names none", want: ReasonInResponseToMismatch, check: CheckInResponseTo,
		edit: inAssertion(replace(` InResponseTo="_request1"`, ``))},
	{rule: 7, class: 16, name: "unsigned Response names the request, signed assertion another", want: ReasonInResponseToMismatch, check: CheckInResponseTo,
		edit: inAssertion(replace(`InResponseTo="_request1"`, `InResponseTo="_request2"`))},
	{rule: 11, name: "unsolicited, allowed", setup: unsolicited, verify: func(t *testing.T, a *Assertion) {
		if a.InResponseTo != "" || a.ReplayUntil.IsZero() {
			t.Errorf("InResponseTo %q, replay guarded until %s", a.InResponseTo, a.ReplayUntil)
		}
	}},
	{rule: 11, class: 37, name: "unsolicited, with the class that requests ask for", setup: unsolicitedAs(snapshot.RequestPolicy{AuthnContextClasses: []string{classPPT}})},
	{rule: 11, class: 37, name: "unsolicited, without the class that requests ask for", want: ReasonStatusNotSuccess, check: CheckAuthnContext, says: "asks for exact",
		setup: unsolicitedAs(snapshot.RequestPolicy{AuthnContextClasses: []string{classPPT}}), edit: class(classPassword)},
	{rule: 11, class: 37, name: "unsolicited, below the minimum that requests ask for", want: ReasonStatusNotSuccess, check: CheckAuthnContext, says: "asks for minimum",
		setup: unsolicitedAs(snapshot.RequestPolicy{AuthnContextClasses: []string{classPPT}, AuthnContextComparison: "Minimum"}), edit: class(classPassword)},
	{rule: 11, class: 37, name: "unsolicited and a fresh sign-in, where requests force one", setup: unsolicitedAs(snapshot.RequestPolicy{ForceAuthn: true})},
	{rule: 11, class: 37, name: "unsolicited and an old sign-in, where requests force a fresh one", want: ReasonExpired, check: CheckForceAuthn, says: "fresh sign-in",
		setup: unsolicitedAs(snapshot.RequestPolicy{ForceAuthn: true}), edit: func(r *samltest.Response) { r.AuthnInstant = r.Now.Add(-7 * time.Minute) }},
	{rule: 11, class: 16, name: "unsolicited Response that answers something", want: ReasonInResponseToMismatch, check: CheckInResponseTo, setup: unsolicited,
		edit: inResponse(replace(`><saml:Issuer>`, ` InResponseTo="_stolen"><saml:Issuer>`))},
	{rule: 11, class: 16, name: "unsolicited assertion that answers something", want: ReasonInResponseToMismatch, check: CheckInResponseTo, setup: unsolicited,
		edit: inAssertion(replace(`<saml:SubjectConfirmationData `, `<saml:SubjectConfirmationData InResponseTo="_stolen" `))},
	{rule: 11, class: 16, name: "unsolicited with an empty InResponseTo", want: ReasonInResponseToMismatch, check: CheckInResponseTo, setup: unsolicited,
		edit: inResponse(replace(`><saml:Issuer>`, ` InResponseTo=""><saml:Issuer>`))},
	{rule: 11, class: 16, name: "solicited response where unsolicited ones are allowed", want: ReasonInResponseToMismatch, check: CheckInResponseTo,
		setup: func(f *fixture) { f.conf.Response.AllowUnsolicited = true }, after: func(f *fixture) { f.pending = nil }},
}
