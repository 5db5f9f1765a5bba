package saml

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
)

// checkAuthnStatement applies rule 9 (saml-core 2.7.2). With several statements the first one names the session, each one bounds it,
// and any one may satisfy the requested context.
func (a *acceptance) checkAuthnStatement() *Refusal {
	asked, how := a.askedContext()
	var classes []string
	satisfied := false
	for s := a.assertion.First; s != nil; s = s.Next {
		if !s.Is(nsAssertion, "AuthnStatement") {
			continue
		}
		if r := a.readStatement(s, len(classes) == 0); r != nil {
			return r
		}
		class := contextClass(s)
		if len(classes) == 0 {
			a.out.AuthnContextClass = class
		}
		if !satisfied && contextSatisfies(class, asked, how) {
			satisfied = true
			a.out.AuthnContextClass = class
		}
		classes = append(classes, clip(class))
	}
	if len(classes) == 0 {
		return a.refuse(ReasonMalformed, CheckAuthn, "an AuthnStatement", "", "The assertion does not say how and when the person signed in (no AuthnStatement).")
	}
	if !satisfied {
		want := how + " " + strings.Join(asked, ", ")
		return a.refuse(ReasonStatusNotSuccess, CheckAuthnContext, want, strings.Join(classes, ", "),
			fmt.Sprintf("The IdP signed the person in with %q; this connection asks for %s.", strings.Join(classes, ", "), want))
	}
	return nil
}

// askedContext is what the request asked for. A response that nobody asked for has to be as good as one to a request of now: or whoever starts at the IdP is let off.
func (a *acceptance) askedContext() (classes []string, how string) {
	if a.pending != nil {
		return a.pending.Classes, a.pending.Comparison
	}
	return a.conf.Request.AuthnContextClasses, comparison(a.conf.Request)
}

// maxUnsolicitedSignIn is how old a sign-in at the IdP may be in a response that nobody asked for, where a fresh one is wanted.
const maxUnsolicitedSignIn = 5 * time.Minute

// freshSince is the time from which on the person must have signed in at the IdP; zero where any time will do.
func (a *acceptance) freshSince() time.Time {
	switch {
	case a.pending != nil && a.pending.ForceAuthn:
		return a.pending.IssuedAt
	case a.pending == nil && a.conf.Request.ForceAuthn:
		return a.now.Add(-maxUnsolicitedSignIn)
	}
	return time.Time{}
}

// readStatement reads times and session index; the first statement's values are kept, the earliest bound wins.
func (a *acceptance) readStatement(s *xmldoc.Node, first bool) *Refusal {
	instant, err := parseTime(s.Value("AuthnInstant"))
	if err != nil {
		return a.refuse(ReasonMalformed, CheckAuthn, "a time", clip(s.Value("AuthnInstant")), "The AuthnStatement has no valid AuthnInstant.")
	}
	if instant.After(a.now.Add(a.skew())) {
		return a.refuse(ReasonNotYetValid, CheckAuthn, "at or before "+stamp(a.now), stamp(instant),
			fmt.Sprintf("The person is said to have signed in at %s, which is in the future.", stamp(instant)))
	}
	if since := a.freshSince(); !since.IsZero() && instant.Before(since.Add(-a.skew())) {
		return a.refuse(ReasonExpired, CheckForceAuthn, "at or after "+stamp(since), stamp(instant),
			fmt.Sprintf("A fresh sign-in was asked for, at %s or after; the IdP answered with one of %s.", stamp(since), stamp(instant)))
	}
	if v, ok := s.Attr("SessionNotOnOrAfter"); ok {
		t, err := parseTime(v)
		if err != nil {
			return a.refuse(ReasonMalformed, CheckSessionExpiry, "a time", clip(v), "SessionNotOnOrAfter is not a time.")
		}
		if !a.now.Before(t) {
			return a.refuse(ReasonExpired, CheckSessionExpiry, "after "+stamp(a.now), stamp(t),
				fmt.Sprintf("The session at the IdP ended at %s and it is now %s.", stamp(t), stamp(a.now)))
		}
		if a.out.SessionNotOnOrAfter.IsZero() || t.Before(a.out.SessionNotOnOrAfter) {
			a.out.SessionNotOnOrAfter = t
		}
	}
	if first {
		a.out.AuthnInstant, a.out.SessionIndex = instant, s.Value("SessionIndex")
	}
	return nil
}

func contextClass(s *xmldoc.Node) string {
	ctx, _ := s.Child(nsAssertion, "AuthnContext")
	if ctx == nil {
		return ""
	}
	if ref, _ := ctx.Child(nsAssertion, "AuthnContextClassRef"); ref != nil && ref.First == nil {
		return ref.Trimmed()
	}
	return ""
}

// strength orders the classes of saml-authn-context 3.4 and the REFEDS profiles that IdPs use. Classes of one number count as equally
// strong; a class that is not here is only ever equal to itself.
var strength = map[string]int{
	"urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified":                 1,
	"urn:oasis:names:tc:SAML:2.0:ac:classes:InternetProtocol":            2,
	"urn:oasis:names:tc:SAML:2.0:ac:classes:PreviousSession":             2,
	"urn:oasis:names:tc:SAML:2.0:ac:classes:Password":                    3,
	"urn:oasis:names:tc:SAML:2.0:ac:classes:InternetProtocolPassword":    3,
	"https://refeds.org/profile/sfa":                                     4,
	"urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport":  4,
	"urn:oasis:names:tc:SAML:2.0:ac:classes:Kerberos":                    4,
	"urn:oasis:names:tc:SAML:2.0:ac:classes:SecureRemotePassword":        4,
	"urn:federation:authentication:windows":                              4,
	"urn:oasis:names:tc:SAML:2.0:ac:classes:X509":                        5,
	"urn:oasis:names:tc:SAML:2.0:ac:classes:TLSClient":                   5,
	"urn:oasis:names:tc:SAML:2.0:ac:classes:SoftwarePKI":                 5,
	"urn:oasis:names:tc:SAML:2.0:ac:classes:MobileOneFactorContract":     5,
	"urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken":               6,
	"urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorContract":     6,
	"urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorUnregistered": 6,
	"https://refeds.org/profile/mfa":                                     6,
	"http://schemas.microsoft.com/claims/multipleauthn":                  6,
	"urn:oasis:names:tc:SAML:2.0:ac:classes:Smartcard":                   7,
	"urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI":                7,
}

// contextSatisfies verifies RequestedAuthnContext (saml-core 3.3.2.2.1). Nothing asked is satisfied by anything.
func contextSatisfies(class string, asked []string, comparison string) bool {
	if len(asked) == 0 {
		return true
	}
	got, known := strength[class]
	weakest, strongest := 0, 0
	for _, c := range asked {
		s, ok := strength[c]
		if !ok {
			known = false
			continue
		}
		if weakest == 0 || s < weakest {
			weakest = s
		}
		strongest = max(strongest, s)
	}
	named := slices.Contains(asked, class)
	switch comparison {
	case "minimum":
		return named || known && got >= weakest
	case "maximum":
		return named || known && got <= strongest
	case "better":
		return !named && known && got > strongest
	default:
		return named
	}
}
