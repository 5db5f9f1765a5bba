package saml

import "time"

// NameID is the subject's identifier (saml-core 2.2.3), exactly as the IdP sent it.
type NameID struct {
	Value           string
	Format          string
	NameQualifier   string
	SPNameQualifier string
}

// Attribute is one saml:Attribute (saml-core 2.7.3.1). Values keep their order; a nil value (xsi:nil) and a value that is itself
// XML other than a NameID have no text and are left out.
type Attribute struct {
	Name         string
	FriendlyName string
	NameFormat   string
	Values       []string
}

// Assertion is what an accepted response says. Every field comes from bytes that a trusted key of the IdP signed.
type Assertion struct {
	ID     string
	Issuer string
	// NameID is the zero value when the subject carries none; mapping then needs an attribute.
	NameID       NameID
	SessionIndex string
	// SessionNotOnOrAfter bounds the session that may be opened; zero when the IdP sets no bound (saml-core 2.7.2).
	SessionNotOnOrAfter time.Time
	// NotOnOrAfter is when the assertion itself stops being usable, without clock skew.
	NotOnOrAfter      time.Time
	AuthnInstant      time.Time
	IssueInstant      time.Time
	AuthnContextClass string
	Attributes        []Attribute
	// ReplayUntil is until when the ID must be remembered: past it, the assertion is refused as expired anyway.
	ReplayUntil time.Time
	// InResponseTo is empty for an unsolicited response.
	InResponseTo string
	Encrypted    bool
	// ClockDifference is the response's IssueInstant minus our clock.
	ClockDifference time.Duration
	// XML is the response as it was received, for the debug log.
	XML []byte
}

// Values returns the attributes as a map from Name to values; equal names are joined in document order.
func (a *Assertion) Values() map[string][]string {
	m := make(map[string][]string, len(a.Attributes))
	for _, at := range a.Attributes {
		m[at.Name] = append(m[at.Name], at.Values...)
	}
	return m
}

// Pending is a request that was sent and not yet answered. It is a plain value that callers keep in their store, so that any
// replica can accept the answer.
type Pending struct {
	RequestID string
	// Connection is the name of the connection that the request was sent for.
	Connection string
	IssuedAt   time.Time
	// Classes and Comparison are the RequestedAuthnContext that was sent (saml-core 3.3.2.2.1); Classes empty asked for nothing.
	Classes    []string
	Comparison string
	ForceAuthn bool
}
