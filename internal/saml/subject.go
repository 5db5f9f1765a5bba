package saml

import (
	"fmt"
	"time"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
)

// readAssertion reads what identifies the verified assertion.
func (a *acceptance) readAssertion() *Refusal {
	as := a.assertion
	if v := as.Value("Version"); v != "2.0" {
		return a.refuse(ReasonMalformed, CheckVersion, "2.0", clip(v), fmt.Sprintf("The assertion has SAML version %q; only 2.0 is supported.", clip(v)))
	}
	if a.out.ID = as.Value("ID"); a.out.ID == "" || len(a.out.ID) > 1024 {
		return a.refuse(ReasonMalformed, CheckShape, "an ID", clip(a.out.ID), "The assertion has no usable ID.")
	}
	if r := a.checkIssuer(as, true); r != nil {
		return r
	}
	a.out.Issuer = a.conf.Trust.EntityID
	var r *Refusal
	a.out.IssueInstant, r = a.checkInstant(as, a.now)
	return r
}

// checkSubject reads the NameID and wants one bearer confirmation that holds (rule 7, saml-profiles 4.1.4.2).
func (a *acceptance) checkSubject() *Refusal {
	subject, n := a.assertion.Child(nsAssertion, "Subject")
	if n != 1 {
		return a.refuse(ReasonMalformed, CheckSubject, "one Subject", fmt.Sprint(n), "The assertion does not have exactly one Subject.")
	}
	var r *Refusal
	if a.out.NameID, r = a.readIdentifier(subject, a.responseSigned); r != nil {
		return r
	}
	return a.checkConfirmations(subject)
}

// readIdentifier reads the NameID or EncryptedID child; none is the zero NameID. cbc tells whether AES-CBC may be decrypted.
func (c *Connection) readIdentifier(parent *xmldoc.Node, cbc bool) (NameID, *Refusal) {
	nameID, plain := parent.Child(nsAssertion, "NameID")
	encrypted, hidden := parent.Child(nsAssertion, "EncryptedID")
	if _, base := parent.Child(nsAssertion, "BaseID"); base > 0 || plain+hidden > 1 {
		return NameID{}, c.refuse(ReasonMalformed, CheckSubject, "one NameID", "", "The "+parent.Local+" has more than one identifier, or a BaseID.")
	}
	if encrypted != nil {
		plaintext, r := c.decryptElement(encrypted, cbc)
		if r != nil {
			return NameID{}, r
		}
		if nameID, r = c.parseDecrypted(plaintext, encrypted.Scope(), "NameID"); r != nil {
			return NameID{}, r
		}
	}
	if nameID == nil {
		return NameID{}, nil
	}
	if nameID.First != nil || nameID.Text == "" {
		return NameID{}, c.refuse(ReasonMalformed, CheckSubject, "a NameID of text", "", "The NameID is empty or is not plain text.")
	}
	return toNameID(nameID), nil
}

func toNameID(n *xmldoc.Node) NameID {
	return NameID{
		Value: n.Text, Format: n.Value("Format"),
		NameQualifier: n.Value("NameQualifier"), SPNameQualifier: n.Value("SPNameQualifier"),
	}
}

// checkConfirmations accepts the assertion when any bearer confirmation holds, and otherwise explains the first bearer one.
func (a *acceptance) checkConfirmations(subject *xmldoc.Node) *Refusal {
	var first *Refusal
	holds := false
	var until time.Time
	methods := ""
	for sc := subject.First; sc != nil; sc = sc.Next {
		if !sc.Is(nsAssertion, "SubjectConfirmation") {
			continue
		}
		if m := sc.Value("Method"); m != bearer {
			methods = clip(m)
			continue
		}
		notOnOrAfter, r := a.checkBearer(sc)
		if r != nil {
			if first == nil {
				first = r
			}
			continue
		}
		holds = true
		if notOnOrAfter.After(until) {
			until = notOnOrAfter
		}
	}
	switch {
	case holds:
		// Replay must be guarded for as long as any of the confirmations holds.
		a.out.NotOnOrAfter = until
		return nil
	case first != nil:
		return first
	}
	return a.refuse(ReasonMalformed, CheckConfirmation, bearer, methods, "The assertion has no bearer confirmation, which sign-in through a browser needs.")
}

// checkBearer checks one bearer confirmation and returns its NotOnOrAfter.
func (a *acceptance) checkBearer(sc *xmldoc.Node) (time.Time, *Refusal) {
	data, n := sc.Child(nsAssertion, "SubjectConfirmationData")
	if n != 1 {
		return time.Time{}, a.refuse(ReasonMalformed, CheckConfirmation, "SubjectConfirmationData", "", "The bearer confirmation has no data.")
	}
	if _, ok := data.Attr("NotBefore"); ok {
		return time.Time{}, a.refuse(ReasonMalformed, CheckConfirmation, "no NotBefore", "", "The bearer confirmation has a NotBefore, which SAML forbids.")
	}
	if got := data.Value("Recipient"); got != a.conf.ACSURL {
		return time.Time{}, a.refuse(ReasonRecipientMismatch, CheckConfirmation, a.conf.ACSURL, clip(got),
			fmt.Sprintf("The assertion may be used at %q; this connection's assertion consumer service is %q.", clip(got), a.conf.ACSURL))
	}
	if r := a.checkInResponseTo(data.Attr("InResponseTo")); r != nil {
		return time.Time{}, r
	}
	until, err := parseTime(data.Value("NotOnOrAfter"))
	if err != nil {
		return time.Time{}, a.refuse(ReasonMalformed, CheckConfirmation, "NotOnOrAfter", clip(data.Value("NotOnOrAfter")), "The bearer confirmation has no valid NotOnOrAfter.")
	}
	if a.over(until) {
		return time.Time{}, a.expired(CheckConfirmation, until)
	}
	a.out.InResponseTo = data.Value("InResponseTo")
	return until, nil
}

// over tells whether a NotOnOrAfter has passed, the clock skew allowed for.
func (a *acceptance) over(notOnOrAfter time.Time) bool {
	return !a.now.Add(-a.skew()).Before(notOnOrAfter)
}

func (a *acceptance) expired(check Check, notOnOrAfter time.Time) *Refusal {
	return a.refuse(ReasonExpired, check, "before "+stamp(notOnOrAfter), stamp(a.now),
		fmt.Sprintf("The assertion was valid until %s and it is now %s; a clock skew of %s is allowed.", stamp(notOnOrAfter), stamp(a.now), span(a.skew())))
}
