package store

import (
	"time"

	"sallyport.dev/sallyport/internal/audit"
)

// Pending is a sign-in in flight: from the redirect to the IdP until its response.
type Pending struct {
	// HandleHash is the SHA-256 of the opaque handle that travels in RelayState and in the browser's cookie.
	HandleHash []byte
	// BrowserHash is the SHA-256 of a secret that only this browser has.
	BrowserHash []byte
	// Connection is the IdP's name, IdPUID its UID: a new IdP of the same name takes over nothing.
	Connection string
	IdPUID     string
	// RequestID is the ID of the AuthnRequest.
	RequestID string
	// ReturnURL was checked against the allow-list before it was kept.
	ReturnURL string
	// Classes and Comparison are the RequestedAuthnContext that was sent (saml-core 3.3.2.2.1).
	Classes    []string
	Comparison string
	ForceAuthn bool
	// Previous is the token hash of the session that the browser had when it began, which ends when the new one opens; nil for none.
	Previous []byte `json:",omitempty"`
	// Session is the token hash, in hex, of the session that is handed over to the host of ReturnURL; "" for a sign-in.
	Session string
	// Test marks a test run: no user, no session. RequestedBy is who asked for it, Run what its result is found by, Result that result as JSON.
	Test        bool
	RequestedBy string
	Run         string
	Result      []byte
	// Uses is how often a link was followed that leads somewhere several times.
	Uses int
	// UserID and Reason are of a break-glass link: whom it signs in, and why it was made.
	UserID string
	Reason string

	IssuedAt  time.Time
	ExpiresAt time.Time
}

// IdPRef names an IdentityProvider. Everything is keyed by UID; Name is for people and may change.
type IdPRef struct {
	UID  string
	Name string
}

// User is a person.
type User struct {
	// ID is a UUID.
	ID string
	// Email is normalised (identity.NormaliseAddress) and unique.
	Email     string
	FirstName string
	LastName  string
	// IdP is the IdentityProvider that the user belongs to: the one that created them or that their domain was rebound to.
	IdP           IdPRef
	CreatedAt     time.Time
	UpdatedAt     time.Time
	LastSignInAt  time.Time
	LastSignInIP  string
	SuspendedAt   time.Time
	SuspendReason string
}

// Suspended says whether the user may not sign in.
func (u User) Suspended() bool { return !u.SuspendedAt.IsZero() }

// Name is the full name, or "" when neither part is known.
func (u User) Name() string {
	switch {
	case u.FirstName == "":
		return u.LastName
	case u.LastName == "":
		return u.FirstName
	}
	return u.FirstName + " " + u.LastName
}

// Link ties a user to an IdP and is the snapshot of what that IdP last asserted.
type Link struct {
	UserID string
	IdP    IdPRef
	// Subject is the persistent identifier, "" when the IdP sends none. It is unique per IdP.
	Subject string
	// Attributes are the mapped profile attributes of the last assertion, by API name.
	Attributes map[string]string
	// Raw are all attributes of the last assertion, by their wire names, for the "connected IdP attributes" view.
	Raw map[string][]string
	// GroupOverage says that the IdP left the groups out of the last assertion because there are too many.
	GroupOverage bool
	CreatedAt    time.Time
	// RecordedAt is the last sign-in through this IdP.
	RecordedAt time.Time
}

// Group is a group of one IdP. Two IdPs may have groups of the same name; they are different groups.
type Group struct {
	IdP           IdPRef
	Name          string
	DiscoveredAt  time.Time
	InvalidatedAt time.Time
}

// GroupSync is what one sign-in says about a user's groups of one IdP.
type GroupSync struct {
	// Claimed came in the assertion, Ruled from the mapping's rules.
	Claimed []string
	Ruled   []string
	// KeepClaimed leaves the groups claimed earlier as they are; Claimed is added to them.
	KeepClaimed bool
}

// GroupChanges says what a full synchronisation changed. All lists are sorted.
type GroupChanges struct {
	// Discovered groups were never seen from this IdP before.
	Discovered []string
	Added      []string
	Removed    []string
}

// Source says where a canonical profile value comes from.
type Source string

// The sources.
const (
	SourceIdP   Source = "idp"
	SourceAdmin Source = "admin"
)

// ProfileValue is one canonical value with its provenance.
type ProfileValue struct {
	Value  string `json:"value"`
	Source Source `json:"source"`
	// IdPUID is set when Source is SourceIdP.
	IdPUID    string    `json:"idpUID,omitempty"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// Profile is a user's canonical profile by API name of the attribute.
type Profile map[string]ProfileValue

// NameID is a saml:NameID (saml-core 2.2.3), kept for single logout.
type NameID struct {
	Value           string `json:"value"`
	Format          string `json:"format,omitempty"`
	NameQualifier   string `json:"nameQualifier,omitempty"`
	SPNameQualifier string `json:"spNameQualifier,omitempty"`
}

// Session is a signed-in browser, with what the gateway needs to know about its user.
type Session struct {
	// TokenHash is the SHA-256 of the cookie's value.
	TokenHash []byte
	UserID    string
	IdP       IdPRef
	NameID    NameID
	// SessionIndex is the IdP's name for its session (saml-core 2.7.2).
	SessionIndex string
	AuthnContext string
	CreatedAt    time.Time
	LastSeenAt   time.Time
	// ExpiresAt is the absolute end: the configured lifetime or SessionNotOnOrAfter, whichever is earlier.
	ExpiresAt time.Time
	// IdleTimeout ends the session when it is not used for so long; zero means never.
	IdleTimeout time.Duration
	// SecondFactorPending means that the session does not count yet. ReturnURL is where to go on after the second step.
	SecondFactorPending bool
	ReturnURL           string
	IP                  string
	UserAgent           string
	EmailDomain         string
	// Audience is the host that a session outside of the cookie's domain is for, and Parent the token hash, in hex, of the session that it came from.
	Audience, Parent string

	// User and Groups are filled by reads. Groups are the valid groups of the session's IdP, sorted.
	User   User
	Groups []string
}

// SessionDomain is an IdP and the e-mail domain of somebody who has a session through it.
type SessionDomain struct {
	IdPUID string
	Domain string
}

// Touch moves a session's LastSeen.
type Touch struct {
	Hash []byte
	At   time.Time
}

// SessionQuery lists sessions, newest first. Zero fields do not filter.
type SessionQuery struct {
	UserID string
	IdPUID string
	Limit  int
	Cursor string
}

// SessionMatch selects sessions to end. Every set field must match; at least one must be set.
type SessionMatch struct {
	TokenHash []byte
	// SessionPrefix is the first hex digits of the hash, as lists show it; at least 8. Only together with UserID or alone by an admin.
	SessionPrefix string
	UserID        string
	IdPUID        string
	// Domain selects addresses of one e-mail domain.
	Domain string
	// NameID and SessionIndexes select as a LogoutRequest does (saml-core 3.7.1): no index means all of that NameID.
	NameID         *NameID
	SessionIndexes []string
	// Except keeps one session: "end all my other sessions".
	Except []byte
	// Limit bounds one call; zero means 1,000. Call again while that many come back.
	Limit int
}

// EndedSession is what was ended, for audit records and for logging out at the IdP.
type EndedSession struct {
	TokenHash    []byte
	UserID       string
	Email        string
	IdP          IdPRef
	NameID       NameID
	SessionIndex string
}

// SessionUpdate changes a session. Zero fields keep.
type SessionUpdate struct {
	// NewTokenHash rotates the token, on a change of privilege.
	NewTokenHash []byte
	// SecondFactorDone makes the session count.
	SecondFactorDone bool
}

// EvictionScope says what a cache must forget.
type EvictionScope string

// The scopes.
const (
	// EvictSession names one session by its hash.
	EvictSession EvictionScope = "session"
	// EvictAll comes after a gap in the stream that is too long to catch up with: anything may have changed.
	EvictAll EvictionScope = "all"
	// StreamLost means that changes by others go unseen from now on; StreamBack, that all of them have been told.
	StreamLost EvictionScope = "lost"
	StreamBack EvictionScope = "back"
)

// Eviction tells a cache to read again.
type Eviction struct {
	Scope EvictionScope
	Hash  []byte
}

// UserQuery lists users by e-mail address. Zero fields do not filter.
type UserQuery struct {
	// Prefix of the address.
	Prefix    string
	IdPUID    string
	Suspended bool
	Limit     int
	Cursor    string
}

// Stats are the figures that the operator shows in status. They cost a scan: ask about once a minute.
type Stats struct {
	Users          int
	ActiveSessions int
	IdPs           map[string]IdPStats
}

// IdPStats are by UID of the IdP.
type IdPStats struct {
	Users      int
	Sessions   int
	LastSignIn time.Time
	// GroupOverage counts the users whose groups the IdP left out of their last assertion.
	GroupOverage int
}

// SecondFactorKind is what kind of proof a factor is.
type SecondFactorKind string

// The kinds.
const (
	FactorTOTP     SecondFactorKind = "totp"
	FactorPasskey  SecondFactorKind = "passkey"
	FactorRecovery SecondFactorKind = "recovery_code"
)

// SecondFactor is one enrolled factor. Secret is already encrypted, or a hash; the store never sees it in the clear.
type SecondFactor struct {
	ID     string
	UserID string
	Kind   SecondFactorKind
	// Label is the user's own name for it.
	Label  string
	Secret []byte
	// Confirmed is false until the user proved once that the factor works.
	Confirmed bool
	// Counter is the last TOTP step or passkey signature counter that was used.
	Counter    int64
	CreatedAt  time.Time
	LastUsedAt time.Time
}

// Throttle limits guessing.
type Throttle struct {
	Failures int
	Until    time.Time
}

// AuditQuery selects audit records. Zero fields do not filter; lists are any-of.
type AuditQuery struct {
	Since    time.Time
	Until    time.Time
	Types    []audit.Type
	Outcomes []audit.Outcome
	// Actor is the e-mail address or ID of the actor, IdP the name of the IdentityProvider, Request the correlation ID.
	Actor   string
	IdP     string
	Request string
	// NewestFirst turns the order round.
	NewestFirst bool
	// Limit is at most 1,000, which is also the default.
	Limit  int
	Cursor string
}

// AuditLine is a record as it was sealed.
type AuditLine = audit.Line

// KeyedRecord is a record with the key that tells a repetition.
type KeyedRecord struct {
	Key    string
	Record audit.Record
}

// AuditChainEnds is where a chain begins and ends.
type AuditChainEnds struct {
	audit.Head
	// First is the first sequence number that is still there.
	First uint64 `json:"first"`
}

// DebugEntry is one response as it came in, for diagnosis. It holds personal data and is kept for hours.
type DebugEntry struct {
	ID string
	// Reference is the correlation ID that the user was shown.
	Reference string
	At        time.Time
	IdP       IdPRef
	Success   bool
	// ErrorType is a word of the closed list in saml.Reason; empty on success.
	ErrorType string
	// Sentence says what was wrong with expected and actual values.
	Sentence string
	Check    string
	Expected string
	Actual   string
	// Verified is false when Attributes, Issuer and NameID come from a message that was refused.
	Verified        bool
	Issuer          string
	NameID          NameID
	Email           string
	Attributes      map[string][]string
	RequestID       string
	IP              string
	UserAgent       string
	ClockDifference time.Duration
	// XML is the raw response, or decrypted where that was possible; at most 256 KiB are kept.
	XML []byte
}

// DebugQuery lists debug entries, newest first.
type DebugQuery struct {
	IdPUID    string
	IdP       string
	ErrorType string
	After     time.Time
	Limit     int
}
