// Package identity turns a verified assertion into a person: it normalises addresses, says which connection signs in and may assert which address,
// and maps attributes to a name, groups and a profile. It is pure: no SAML messages, no HTTP, no store. Package provision below it keeps people.
package identity

import (
	"errors"
	"slices"
)

// NameID formats that decide how a NameID may be used (saml-core 8.3).
const (
	FormatUnspecified  = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
	FormatEmailAddress = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	FormatPersistent   = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	FormatTransient    = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
)

// NameID is a saml:NameID (saml-core 2.2.3).
type NameID struct {
	Value           string
	Format          string
	NameQualifier   string
	SPNameQualifier string
}

// Input is what an assertion says about a person. Attributes are by Name, exactly as sent; repeated Attributes of one Name are joined.
type Input struct {
	NameID     NameID
	Attributes map[string][]string
}

// Person is what a mapping makes of an Input.
type Person struct {
	// Email is the first address; OtherEmails are further different ones of the same attribute: the IdP must be allowed to assert every one of them.
	Email       Address
	OtherEmails []Address
	// EmailFromNameID says that no mapped attribute carried an address.
	EmailFromNameID bool
	// Subject is the persistent identifier, "" when the IdP sends none.
	Subject   string
	FirstName string
	LastName  string
	// Groups are the claimed ones and RuleGroups those that rules add; both are sorted and without duplicates.
	Groups     []string
	RuleGroups []string
	// KeepGroups says that the groups claimed at an earlier sign-in stay: the claim is absent (whenAbsent: Keep) or was too big for the IdP (GroupOverage).
	KeepGroups   bool
	GroupOverage bool
	// Profile has valid values by API name; Dropped names the attributes whose values were not valid.
	Profile map[string]string
	Dropped []string
	// Missing names the mapped values that the assertion did not carry, Unmapped the attributes that nothing uses. Both are sorted.
	Missing  []string
	Unmapped []string
	// Rules are the indexes of the rules that were true, and FailedRules those that could not be evaluated: they add nothing.
	Rules       []int
	FailedRules []RuleFailure
}

// AllGroups are Groups and RuleGroups together, sorted and without duplicates.
func (p Person) AllGroups() []string {
	all := slices.Concat(p.Groups, p.RuleGroups)
	slices.Sort(all)
	return slices.Compact(all)
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

// The reasons that break-glass links are refused for beside those.
const (
	ReasonLinkNotValid       Reason = "link_not_valid"
	ReasonSecondFactorFailed Reason = "second_factor_failed"
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
