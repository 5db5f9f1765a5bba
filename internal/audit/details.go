package audit

import "encoding/json"

// The details of records, one struct per kind of event. They carry names, counts and identifiers, and never the values of personal attributes.

// Changes is the details of user_attributes_synced: the names of the fields that changed.
type Changes struct {
	Updated []string `json:"updated,omitempty"`
}

// ProfileUpdate is the details of user_profile_updated.
type ProfileUpdate struct {
	// Cause is idp_mirror, idp_scrub or admin.
	Cause   string   `json:"cause"`
	IdP     string   `json:"idp,omitempty"`
	Added   []string `json:"added,omitempty"`
	Updated []string `json:"updated,omitempty"`
	Cleared []string `json:"cleared,omitempty"`
}

// Causes of a profile update.
const (
	CauseIdPMirror = "idp_mirror"
	CauseIdPScrub  = "idp_scrub"
	CauseAdmin     = "admin"
)

// SignIn is the details of user_signed_in_saml and user_created_jit.
type SignIn struct {
	IdP    string `json:"idp"`
	IdPUID string `json:"idpUID,omitempty"`
	// MatchedBy says how the user was found: subject, email or created.
	MatchedBy string `json:"matchedBy,omitempty"`
	// SubjectChanged says that the IdP sends another persistent identifier for the address than before; EmailConflict that the new address belongs to
	// another user, so that the old one was kept.
	SubjectChanged bool `json:"subjectChanged,omitempty"`
	EmailConflict  bool `json:"emailConflict,omitempty"`
	// SecondFactor is set when a second step is still asked for.
	SecondFactor bool `json:"secondFactor,omitempty"`
	// EmailFromNameID says that no mapped attribute carried an address.
	EmailFromNameID bool `json:"emailFromNameID,omitempty"`
	// GroupOverage says that the IdP sent a link instead of the groups; stored groups were kept.
	GroupOverage bool `json:"groupOverage,omitempty"`
	// Missing names the mapped values that the assertion did not carry, Unmapped the attributes that nothing uses; both in verbose records only.
	Missing  []string `json:"missing,omitempty"`
	Unmapped []string `json:"unmapped,omitempty"`
	// Test marks a test run: nothing was stored.
	Test bool `json:"test,omitempty"`
}

// AssertionFailure is the details of saml_assertion_failed, saml_assertion_replayed and email_domain_not_bound.
type AssertionFailure struct {
	IdP        string `json:"idp"`
	IdPUID     string `json:"idpUID,omitempty"`
	DebugEntry string `json:"debugEntry,omitempty"`
	Check      string `json:"check,omitempty"`
	// Domain is the domain that was asserted; the address itself stays in the debug entry.
	Domain string `json:"domain,omitempty"`
	// BoundTo is the connection that may assert the domain, empty when none may.
	BoundTo string `json:"boundTo,omitempty"`
}

// RefusalCount is the details of refusals_counted: how many refusals were not recorded one by one, because strangers had caused too many like them.
type RefusalCount struct {
	// Type is that of the records that were not written; their reason is the record's.
	Type   string `json:"type"`
	IdP    string `json:"idp,omitempty"`
	IdPUID string `json:"idpUID,omitempty"`
	Count  int    `json:"count"`
	// First and Last are when the first and the last of them came: RFC 3339.
	First string `json:"first"`
	Last  string `json:"last"`
}

// Counted reads the details of a record of the type refusals_counted. It is empty for any other.
func Counted(t Type, details json.RawMessage) (c RefusalCount) {
	if t != TypeRefusalsCounted || json.Unmarshal(details, &c) != nil {
		return RefusalCount{}
	}
	return c
}

// GroupsPerRecord is how many groups one record names at most; more changes make more records.
const GroupsPerRecord = 200

// GroupChange is the details of the idp_group records: one per sign-in and kind of change, with all its groups.
type GroupChange struct {
	IdP    string   `json:"idp"`
	IdPUID string   `json:"idpUID,omitempty"`
	Groups []string `json:"groups"`
	// Cause is sign_in or idp_deleted.
	Cause string `json:"cause,omitempty"`
}

// Revocation is the details of session_revoked, user_signed_out and user_suspended.
type Revocation struct {
	// Cause is user, admin, suspended, idp_disabled, idp_deleted, rebind (the domain is bound to another IdP now), unbind (it is bound to none that is served), or slo.
	Cause    string `json:"cause"`
	IdP      string `json:"idp,omitempty"`
	Sessions int    `json:"sessions"`
}

// Deletion is the details of saml_idp_deleted.
type Deletion struct {
	Scrubbed bool `json:"scrubbed"`
	// Users and Values count the people touched and the profile values cleared by the scrub.
	Users    int `json:"users"`
	Values   int `json:"values"`
	Groups   int `json:"groups"`
	Sessions int `json:"sessions"`
}

// MirrorFailure is the details of user_idp_attribute_mirror_failed.
type MirrorFailure struct {
	IdP string `json:"idp"`
	// Dropped names the attributes whose values were not valid.
	Dropped []string `json:"dropped,omitempty"`
}

// RuleFailure is the details of user_idp_group_rule_failed: rules of a mapping that could not be evaluated for what was sent, and so added no group. The reason is the record's.
type RuleFailure struct {
	IdP string `json:"idp"`
	// Mapping is the AttributeMapping, Rules are their places in its spec, such as rules[3].
	Mapping string   `json:"mapping"`
	Rules   []string `json:"rules"`
}

// DeadLetter is the details of audit_dead_lettered: a record that a sink refused again and again, so that it was passed over. The record itself stays in the
// store.
type DeadLetter struct {
	Sink     string `json:"sink"`
	Writer   string `json:"writer"`
	Sequence uint64 `json:"sequence"`
	Record   string `json:"record"`
	Error    string `json:"error"`
}

// Query is the details of audit_queried: what was asked for.
type Query struct {
	// Kind is page, export, follow or chain.
	Kind     string   `json:"kind"`
	Since    string   `json:"since,omitempty"`
	Until    string   `json:"until,omitempty"`
	Types    []string `json:"types,omitempty"`
	Outcomes []string `json:"outcomes,omitempty"`
	Actor    string   `json:"actor,omitempty"`
	IdP      string   `json:"idp,omitempty"`
	Request  string   `json:"request,omitempty"`
}

// DebugView is the details of debug_entry_viewed.
type DebugView struct {
	Entries   int    `json:"entries"`
	ErrorType string `json:"errorType,omitempty"`
	// XML says that the raw response was shown.
	XML bool `json:"xml,omitempty"`
}

// Explained is the details of sign_in_explained: an administrator asked what the sign-in of the target would do.
type Explained struct {
	IdP string `json:"idp,omitempty"`
}

// SecondFactor is the details of the second_factor records.
type SecondFactor struct {
	// Method is totp, passkey or recovery_code.
	Method string `json:"method,omitempty"`
}

// BreakGlass is the details of sso_break_glass.
type BreakGlass struct {
	// Step is issued when the link was made, used when it signed the person in, refused when it did not.
	Step string `json:"step"`
	// Reason is what the administrator gave, when it was issued.
	Reason string `json:"reason,omitempty"`
	// IssuedBy is who made the link, when it is used or refused.
	IssuedBy string `json:"issuedBy,omitempty"`
	Expires  string `json:"expires,omitempty"`
}
