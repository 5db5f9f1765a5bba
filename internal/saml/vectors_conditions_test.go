package saml

import (
	"strings"
	"time"
)

const ours = `<saml:AudienceRestriction><saml:Audience>https://sso.example.com/saml/okta</saml:Audience></saml:AudienceRestriction>`
const theirs = `<saml:AudienceRestriction><saml:Audience>https://victim.example</saml:Audience></saml:AudienceRestriction>`

// longConfirmation makes the bearer confirmation outlive the conditions, so that the conditions' own times are what refuses.
func longConfirmation(s string) string {
	return replace(`SubjectConfirmationData NotOnOrAfter="2026-11-24T09:05:00Z"`, `SubjectConfirmationData NotOnOrAfter="2026-11-24T19:05:00Z"`)(s)
}

// conditionVectors are rule 8.
var conditionVectors = []vector{
	{rule: 8, class: 13, name: "no Conditions", want: ReasonMalformed, check: CheckConditions, edit: inAssertion(func(s string) string { return replace(between(s, "<saml:Conditions", "</saml:Conditions>"), "")(s) })},
	{rule: 8, class: 13, name: "two Conditions", want: ReasonMalformed, check: CheckConditions, edit: inAssertion(func(s string) string {
		c := between(s, "<saml:Conditions", "</saml:Conditions>")
		return replace(c, c+c)(s)
	})},
	{rule: 8, class: 13, name: "no AudienceRestriction", want: ReasonAudienceMismatch, check: CheckAudience, says: "no audience at all", edit: inAssertion(replace(ours, ""))},
	{rule: 8, class: 13, name: "audience of another service", want: ReasonAudienceMismatch, check: CheckAudience,
		says: `for audience "https://victim.example"; this connection's entity ID is "https://sso.example.com/saml/okta"`, edit: inAssertion(replace(ours, theirs))},
	{rule: 8, class: 13, name: "five audiences of others", want: ReasonAudienceMismatch, check: CheckAudience, says: "and 2 more",
		edit: inAssertion(replace("<saml:Audience>https://sso.example.com/saml/okta</saml:Audience>", strings.Repeat("<saml:Audience>https://victim.example</saml:Audience>", 5)))},
	{rule: 8, class: 13, name: "audience that only starts like ours", want: ReasonAudienceMismatch, check: CheckAudience, edit: inAssertion(replace("saml/okta</saml:Audience>", "saml/okta/</saml:Audience>"))},
	{rule: 8, class: 13, name: "audience in another case", want: ReasonAudienceMismatch, check: CheckAudience, edit: inAssertion(replace("saml/okta</saml:Audience>", "saml/Okta</saml:Audience>"))},
	{rule: 8, class: 13, name: "empty AudienceRestriction", want: ReasonAudienceMismatch, check: CheckAudience, edit: inAssertion(replace(ours, "<saml:AudienceRestriction/>"))},
	{rule: 8, class: 13, name: "ours then another in one restriction", edit: inAssertion(replace("</saml:Audience>", "</saml:Audience><saml:Audience>https://victim.example</saml:Audience>"))},
	{rule: 8, class: 13, name: "another then ours in one restriction", edit: inAssertion(replace("<saml:Audience>", "<saml:Audience>https://victim.example</saml:Audience><saml:Audience>"))},
	{rule: 8, class: 13, name: "ours and another in two restrictions", want: ReasonAudienceMismatch, check: CheckAudience, edit: inAssertion(replace(ours, ours+theirs))},
	{rule: 8, class: 13, name: "another and ours in two restrictions", want: ReasonAudienceMismatch, check: CheckAudience, edit: inAssertion(replace(ours, theirs+ours))},
	{rule: 8, class: 13, name: "ours in two restrictions", edit: inAssertion(replace(ours, ours+ours))},
	{rule: 8, class: 13, name: "audience with white space around it", edit: inAssertion(replace("<saml:Audience>", "<saml:Audience>\n   "))},
	{rule: 8, class: 13, name: "audience of another namespace", want: ReasonAudienceMismatch, check: CheckAudience,
		edit: inAssertion(replace(ours, `<saml:AudienceRestriction xmlns:x="urn:x"><x:Audience>https://sso.example.com/saml/okta</x:Audience></saml:AudienceRestriction>`))},
	{rule: 8, name: "unknown condition", want: ReasonMalformed, check: CheckConditions, says: `"Condition"`, edit: inAssertion(replace(ours, ours+`<saml:Condition xsi:type="x:Odd" xmlns:x="urn:x"/>`))},
	{rule: 8, name: "condition of another namespace", want: ReasonMalformed, check: CheckConditions, edit: inAssertion(replace(ours, ours+`<x:OneTimeUse xmlns:x="urn:x"/>`))},
	{rule: 8, class: 21, name: "OneTimeUse", edit: inAssertion(replace(ours, ours+"<saml:OneTimeUse/>"))},
	{rule: 8, class: 21, name: "OneTimeUse twice", want: ReasonMalformed, check: CheckConditions, edit: inAssertion(replace(ours, ours+"<saml:OneTimeUse/><saml:OneTimeUse/>"))},
	{rule: 8, name: "ProxyRestriction", edit: inAssertion(replace(ours, ours+`<saml:ProxyRestriction Count="0"/>`))},
	{rule: 8, class: 31, name: "NotBefore at the skew", edit: inAssertion(replace(`NotBefore="2026-11-24T08:59:00Z"`, `NotBefore="2026-11-24T09:01:00Z"`))},
	{rule: 8, class: 31, name: "NotBefore a second past the skew", want: ReasonNotYetValid, check: CheckConditions, says: "valid from 2026-11-24T09:01:01Z",
		edit: inAssertion(replace(`NotBefore="2026-11-24T08:59:00Z"`, `NotBefore="2026-11-24T09:01:01Z"`))},
	{rule: 8, class: 31, name: "no times in Conditions", edit: inAssertion(replace(`<saml:Conditions NotBefore="2026-11-24T08:59:00Z" NotOnOrAfter="2026-11-24T09:05:00Z">`, `<saml:Conditions>`))},
	{rule: 8, class: 31, name: "Conditions a second before their end and skew", edit: inAssertion(longConfirmation), after: at(6*time.Minute - time.Second)},
	{rule: 8, class: 31, name: "Conditions at their end and skew", want: ReasonExpired, check: CheckConditions, edit: inAssertion(longConfirmation), after: at(6 * time.Minute)},
	{rule: 8, class: 31, name: "NotBefore that is no time", want: ReasonMalformed, check: CheckConditions, edit: inAssertion(replace(`NotBefore="2026`, `NotBefore="soon`))},
	{rule: 8, class: 31, name: "NotOnOrAfter that is no time", want: ReasonMalformed, check: CheckConditions,
		edit: inAssertion(replace(`NotOnOrAfter="2026-11-24T09:05:00Z"><saml:Aud`, `NotOnOrAfter=""><saml:Aud`))},
	{rule: 8, class: 13, name: "audience hidden in a comment", want: ReasonAudienceMismatch, check: CheckAudience,
		edit: inAssertion(func(s string) string { return strings.Replace(s, ours, "<!--"+ours+"-->"+theirs, 1) })},
}
