// Package identity turns a verified assertion into a person: it maps attributes, decides whether this IdP may speak for the address,
// provisions and synchronises the user in one transaction with the session and the audit records, and undoes an IdP's traces when it goes.
// It knows neither SAML messages nor HTTP.
package identity

import (
	"errors"

	"sallyport.dev/sallyport/internal/store"
)

// NameID formats that decide how a NameID may be used (saml-core 8.3).
const (
	FormatUnspecified  = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
	FormatEmailAddress = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	FormatPersistent   = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	FormatTransient    = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
)

// IdP is the IdentityProvider that made an assertion.
type IdP struct {
	// UID keys everything that is stored; Name is for people.
	UID      string
	Name     string
	EntityID string
}

// Ref is the part that the store keeps.
func (i IdP) Ref() store.IdPRef { return store.IdPRef{UID: i.UID, Name: i.Name} }

// Input is what an assertion says about a person. Attributes are by Name, exactly as sent; repeated Attributes of one Name are joined.
type Input struct {
	IdP        IdP
	NameID     store.NameID
	Attributes map[string][]string
}

// Person is what a mapping makes of an Input.
type Person struct {
	Email Address
	// EmailFromNameID says that no mapped attribute carried an address.
	EmailFromNameID bool
	// Subject is the persistent identifier, "" when the IdP sends none.
	Subject   string
	FirstName string
	LastName  string
	// Groups are sorted and without duplicates; GroupsKept says that stored groups of the claim stay, because the claim is absent (whenAbsent: Keep) or too big for the IdP (GroupOverage).
	Groups       []string
	GroupsKept   bool
	GroupOverage bool
	// Profile has valid values by API name; Dropped names the attributes whose values were not valid.
	Profile map[string]string
	Dropped []string
	// Missing names the mapped values that the assertion did not carry, Unmapped the attributes that nothing uses. Both are sorted.
	Missing  []string
	Unmapped []string
	// Rules are the indexes of the rules that were true; RuleErrors say which could not be evaluated.
	Rules      []int
	RuleErrors []string
}

// Reason is why a sign-in was refused: a word of the debug log's closed list.
type Reason string

// The reasons that this package gives.
const (
	ReasonMissingEmail   Reason = "missing_email"
	ReasonDomainNotBound Reason = "domain_not_bound"
	ReasonUserNotFound   Reason = "user_not_found"
	ReasonUserSuspended  Reason = "user_suspended"
	ReasonReplayed       Reason = "replayed"
	ReasonIdPDisabled    Reason = "idp_disabled"
)

// Rejection is a refusal that the person and the administrator can act on. It is an error.
type Rejection struct {
	Reason Reason
	// Sentence is for the administrator: it may name the domain and the connection, and goes to the debug entry.
	Sentence string
	// Expected and Actual are the values that differ, for the debug entry.
	Expected string
	Actual   string
}

func (r *Rejection) Error() string { return string(r.Reason) + ": " + r.Sentence }

// AsRejection finds the Rejection in an error; any other error means that the store could not answer.
func AsRejection(err error) (*Rejection, bool) {
	var r *Rejection
	return r, errors.As(err, &r)
}
