package saml

import (
	"fmt"
	"strings"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
)

// checkConditions applies rule 8 (saml-core 2.5.1).
func (a *acceptance) checkConditions() *Refusal {
	cond, n := a.assertion.Child(nsAssertion, "Conditions")
	if n != 1 {
		return a.refuse(ReasonMalformed, CheckConditions, "one Conditions", fmt.Sprint(n), "The assertion does not have exactly one Conditions element.")
	}
	if r := a.checkValidity(cond); r != nil {
		return r
	}
	restrictions, once, proxy := 0, 0, 0
	for c := cond.First; c != nil; c = c.Next {
		switch {
		case c.Is(nsAssertion, "AudienceRestriction"):
			restrictions++
			if r := a.checkAudience(c); r != nil {
				return r
			}
		case c.Is(nsAssertion, "OneTimeUse"):
			// Every assertion is used once: the replay guard sees to that.
			once++
		case c.Is(nsAssertion, "ProxyRestriction"):
			// It limits assertions that we would issue; we issue none.
			proxy++
		default:
			return a.refuse(ReasonMalformed, CheckConditions, "", clip(c.Local), fmt.Sprintf("The assertion has a condition %q that is not understood.", clip(c.Local)))
		}
	}
	if once > 1 || proxy > 1 {
		return a.refuse(ReasonMalformed, CheckConditions, "", "", "The assertion repeats a condition that may be given once.")
	}
	if restrictions == 0 {
		return a.refuse(ReasonAudienceMismatch, CheckAudience, a.conf.EntityID, "",
			fmt.Sprintf("The assertion is for no audience at all; this connection's entity ID is %q.", a.conf.EntityID))
	}
	return nil
}

func (a *acceptance) checkValidity(cond *xmldoc.Node) *Refusal {
	if v, ok := cond.Attr("NotBefore"); ok {
		t, err := parseTime(v)
		if err != nil {
			return a.refuse(ReasonMalformed, CheckConditions, "a time", clip(v), "The assertion's NotBefore is not a time.")
		}
		if a.now.Add(a.skew()).Before(t) {
			return a.refuse(ReasonNotYetValid, CheckConditions, "at or after "+stamp(t), stamp(a.now),
				fmt.Sprintf("The assertion is valid from %s and it is now %s; a clock skew of %s is allowed.", stamp(t), stamp(a.now), span(a.skew())))
		}
	}
	if v, ok := cond.Attr("NotOnOrAfter"); ok {
		t, err := parseTime(v)
		if err != nil {
			return a.refuse(ReasonMalformed, CheckConditions, "a time", clip(v), "The assertion's NotOnOrAfter is not a time.")
		}
		if a.over(t) {
			return a.expired(CheckConditions, t)
		}
		if t.Before(a.out.NotOnOrAfter) {
			a.out.NotOnOrAfter = t
		}
	}
	a.out.ReplayUntil = a.out.NotOnOrAfter.Add(a.skew())
	return nil
}

// checkAudience wants our entity ID among the audiences of one restriction; every restriction must hold (saml-core 2.5.1.4).
func (a *acceptance) checkAudience(restriction *xmldoc.Node) *Refusal {
	var got []string
	for au := restriction.First; au != nil; au = au.Next {
		if !au.Is(nsAssertion, "Audience") || au.First != nil {
			continue
		}
		if au.Trimmed() == a.conf.EntityID {
			return nil
		}
		got = append(got, clip(au.Trimmed()))
	}
	if len(got) > 3 {
		got = append(got[:3], fmt.Sprintf("and %d more", len(got)-3))
	}
	actual := strings.Join(got, ", ")
	return a.refuse(ReasonAudienceMismatch, CheckAudience, a.conf.EntityID, actual,
		fmt.Sprintf("The assertion is for audience %q; this connection's entity ID is %q.", actual, a.conf.EntityID))
}
