package saml

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
)

// refuse makes a refusal with the advice that fits the IdP's type.
func (c *Connection) refuse(reason Reason, check Check, expected, actual, sentence string) *Refusal {
	r := &Refusal{Reason: reason, Check: check, Expected: expected, Actual: actual, Sentence: sentence}
	if r.Sentence == "" {
		r.Sentence = policySentence(reason, expected, actual)
	}
	r.Advice = c.advice(r)
	return r
}

// Refuse makes the refusal for a reason that another layer found (replay, domain, user, second factor), so that its sentence and
// advice come from here too.
func (c *Connection) Refuse(reason Reason, expected, actual string) *Refusal {
	return c.refuse(reason, CheckPolicy, expected, actual, "")
}

// signatureRefusal explains why a signature was not accepted.
func (c *Connection) signatureRefusal(element string, err error) *Refusal {
	var e *xmldsig.Error
	if !errors.As(err, &e) {
		return c.refuse(ReasonSignatureInvalid, CheckSignature, "", "", "The signature of the "+element+" could not be checked.")
	}
	switch e.Kind {
	case xmldsig.Algorithm:
		return c.refuse(ReasonAlgorithmRefused, CheckSignature, "RSA or ECDSA with SHA-256 or better", e.Algorithm,
			fmt.Sprintf("The signature of the %s uses what is not accepted: %s.", element, e.What))
	case xmldsig.Missing:
		return c.refuse(ReasonSignatureInvalid, CheckSignature, "a signature", "none", "The "+element+" is not signed.")
	case xmldsig.Untrusted:
		if e.Certificate != nil && !c.shows(e.Certificate) {
			trusted := make([]string, 0, len(c.trustedCertificates))
			for _, der := range c.trustedCertificates {
				trusted = append(trusted, Fingerprint(der))
			}
			expected, actual := strings.Join(trusted, ", "), Fingerprint(e.Certificate)
			return c.refuse(ReasonCertificateMismatch, CheckSignature, expected, actual,
				fmt.Sprintf("The %s was signed with certificate SHA-256 %s; the IdP's metadata has %s.", element, actual, expected))
		}
	}
	return c.refuse(ReasonSignatureInvalid, CheckSignature, "", "", fmt.Sprintf("The signature of the %s is not valid: %s.", element, e.What))
}

// shows tells whether a certificate is trusted, or is another certificate for a trusted key.
func (c *Connection) shows(der []byte) bool {
	if slices.ContainsFunc(c.trustedCertificates, func(t []byte) bool { return slices.Equal(t, der) }) {
		return true
	}
	cert, err := x509.ParseCertificate(der)
	return err == nil && containsKey(c.trusted, cert.PublicKey)
}

// Fingerprint is the SHA-256 of a DER certificate in upper-case hexadecimal with colons.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return strings.ReplaceAll(strings.ToUpper(fmt.Sprintf("% x", sum[:])), " ", ":")
}

// describe adds what could be read of a refused message. It must not turn a refusal into a panic.
func (a *acceptance) describe(r *Refusal) {
	defer func() { _ = recover() }()
	a.claims(r)
}

func (a *acceptance) claims(r *Refusal) {
	r.XML = a.xml
	r.ClockDifference = a.out.ClockDifference
	if a.original == nil {
		return
	}
	if r.ClockDifference == 0 {
		if t, err := parseTime(a.original.Value("IssueInstant")); err == nil {
			r.ClockDifference = t.Sub(a.now)
		}
	}
	u := &Unverified{ID: clip(a.original.Value("ID")), InResponseTo: clip(a.original.Value("InResponseTo"))}
	if issuer, _ := a.original.Child(nsAssertion, "Issuer"); issuer != nil {
		u.Issuer = clip(issuer.Trimmed())
	}
	as := a.received
	if as == nil {
		as, _ = a.original.Child(nsAssertion, "Assertion")
	}
	if as != nil {
		u.fill(as)
	}
	r.Unverified = u
}

func (u *Unverified) fill(as *xmldoc.Node) {
	u.AssertionID = clip(as.Value("ID"))
	if issuer, _ := as.Child(nsAssertion, "Issuer"); issuer != nil {
		u.Issuer = clip(issuer.Trimmed())
	}
	if subject, _ := as.Child(nsAssertion, "Subject"); subject != nil {
		if id, _ := subject.Child(nsAssertion, "NameID"); id != nil {
			u.NameID = toNameID(id)
		}
	}
	for s := as.First; s != nil; s = s.Next {
		if !s.Is(nsAssertion, "AttributeStatement") {
			continue
		}
		for at := s.First; at != nil; at = at.Next {
			if at.Is(nsAssertion, "Attribute") {
				u.Attributes = append(u.Attributes, toAttribute(at))
			}
		}
	}
}
