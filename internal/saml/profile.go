package saml

import (
	"fmt"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
)

// checkProfile applies rule 3 to a.response: once to what was received, so that the diagnosis is right even when nothing is signed,
// and again to the verified bytes when the Response is signed.
func (a *acceptance) checkProfile() *Refusal {
	r := a.response
	if v := r.Value("Version"); v != "2.0" {
		return a.refuse(ReasonMalformed, CheckVersion, "2.0", clip(v), fmt.Sprintf("The response has SAML version %q; only 2.0 is supported.", clip(v)))
	}
	if refusal := a.checkStatus(r); refusal != nil {
		return refusal
	}
	if refusal := a.checkDestination(r, a.conf.ACSURL, a.responseSigned); refusal != nil {
		return refusal
	}
	if refusal := a.checkIssuer(r, false); refusal != nil {
		return refusal
	}
	if refusal := a.checkInResponseTo(r.Attr("InResponseTo")); refusal != nil {
		return refusal
	}
	return a.checkResponseInstant(r)
}

// checkStatus turns a failure into the IdP's own words (saml-core 3.2.2.1).
func (c *Connection) checkStatus(r *xmldoc.Node) *Refusal {
	code, sub, message, ok := readStatus(r)
	if !ok {
		return c.refuse(ReasonMalformed, CheckStatus, StatusSuccess, "", "The response has no status.")
	}
	if code == StatusSuccess {
		return nil
	}
	actual := strings.TrimSuffix(shortStatus(code)+" / "+shortStatus(sub), " / ")
	sentence := "The IdP answered " + actual + " instead of Success."
	if message != "" {
		sentence = fmt.Sprintf("The IdP answered %s instead of Success and says: %q.", actual, clip(message))
	}
	return c.refuse(ReasonStatusNotSuccess, CheckStatus, "Success", actual, sentence)
}

// readStatus returns the top-level code, the second-level code and the message.
func readStatus(r *xmldoc.Node) (code, sub, message string, ok bool) {
	status, n := r.Child(nsProtocol, "Status")
	if n != 1 {
		return "", "", "", false
	}
	top, n := status.Child(nsProtocol, "StatusCode")
	if n != 1 {
		return "", "", "", false
	}
	code = top.Value("Value")
	if second, _ := top.Child(nsProtocol, "StatusCode"); second != nil {
		sub = second.Value("Value")
	}
	if m, _ := status.Child(nsProtocol, "StatusMessage"); m != nil {
		message = m.Trimmed()
	}
	return code, sub, message, code != ""
}

func shortStatus(uri string) string {
	return clip(strings.TrimPrefix(uri, "urn:oasis:names:tc:SAML:2.0:status:"))
}

// checkDestination compares the URL that the message was meant for; it must be there when the message is signed (saml-bindings 3.5.5.2).
func (c *Connection) checkDestination(n *xmldoc.Node, want string, required bool) *Refusal {
	got, ok := n.Attr("Destination")
	if !ok || got == "" {
		if !required {
			return nil
		}
		return c.refuse(ReasonRecipientMismatch, CheckDestination, want, "", "The message is signed and has no Destination.")
	}
	if got != want {
		return c.refuse(ReasonRecipientMismatch, CheckDestination, want, clip(got),
			fmt.Sprintf("The message is for %q; this connection's URL is %q.", clip(got), want))
	}
	return nil
}

// checkIssuer compares the direct child Issuer with the IdP's entity ID.
func (c *Connection) checkIssuer(n *xmldoc.Node, required bool) *Refusal {
	issuer, count := n.Child(nsAssertion, "Issuer")
	if count == 0 && !required {
		return nil
	}
	got := ""
	if issuer != nil && issuer.First == nil {
		got = issuer.Trimmed()
	}
	if got != c.conf.Trust.EntityID {
		return c.refuse(ReasonIssuerMismatch, CheckIssuer, c.conf.Trust.EntityID, clip(got),
			fmt.Sprintf("The %s was issued by %q; the IdP of this connection is %q.", n.Local, clip(got), c.conf.Trust.EntityID))
	}
	return nil
}

// checkInResponseTo wants the ID of the pending request, and nothing at all when the response is unsolicited (saml-profiles 4.1.5).
func (a *acceptance) checkInResponseTo(got string, present bool) *Refusal {
	switch {
	case a.pending == nil && present:
		return a.refuse(ReasonInResponseToMismatch, CheckInResponseTo, "", clip(got),
			"The response answers a request, but no such request of this browser is open.")
	case a.pending != nil && got != a.pending.RequestID:
		return a.refuse(ReasonInResponseToMismatch, CheckInResponseTo, a.pending.RequestID, clip(got),
			fmt.Sprintf("The response answers request %q; the request that was sent is %q.", clip(got), a.pending.RequestID))
	}
	return nil
}

// checkResponseInstant wants a Response made after the request and not in the future, within the clock skew.
func (a *acceptance) checkResponseInstant(r *xmldoc.Node) *Refusal {
	issued, refusal := a.checkInstant(r, a.now)
	if refusal != nil {
		return refusal
	}
	a.out.ClockDifference = issued.Sub(a.now)
	if a.pending != nil && issued.Before(a.pending.IssuedAt.Truncate(time.Second).Add(-a.skew())) {
		return a.refuse(ReasonExpired, CheckIssueInstant, "at or after "+stamp(a.pending.IssuedAt), stamp(issued),
			fmt.Sprintf("The response was issued at %s, before the request was sent at %s: the clocks differ by more than %s.",
				stamp(issued), stamp(a.pending.IssuedAt), span(a.skew())))
	}
	return nil
}

// checkInstant reads IssueInstant, which must not lie in the future beyond the clock skew.
func (c *Connection) checkInstant(n *xmldoc.Node, now time.Time) (time.Time, *Refusal) {
	issued, err := parseTime(n.Value("IssueInstant"))
	if err != nil {
		return issued, c.refuse(ReasonMalformed, CheckIssueInstant, "a time in UTC", clip(n.Value("IssueInstant")), "The "+n.Local+" has no valid IssueInstant.")
	}
	if issued.After(now.Add(c.skew())) {
		return issued, c.refuse(ReasonNotYetValid, CheckIssueInstant, "at or before "+stamp(now), stamp(issued),
			fmt.Sprintf("The %s was issued at %s, which is %s in the future; a clock skew of %s is allowed.", n.Local, stamp(issued), issued.Sub(now).Round(time.Second), span(c.skew())))
	}
	return issued, nil
}

// span writes a duration without the zeros of time.Duration: 1m and not 1m0s.
func span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	return s
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// parseTime reads an xs:dateTime (saml-core 1.3.3: in UTC). Without a zone it is taken as UTC.
func parseTime(s string) (time.Time, error) {
	s = strings.Trim(s, " \t\r\n")
	if len(s) > 40 {
		return time.Time{}, fmt.Errorf("a time of %d bytes", len(s))
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05.999999999", s)
	}
	return t.UTC(), err
}
