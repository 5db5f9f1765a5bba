package manageapi

import "time"

// Revision is what a pod serves, empty before the first snapshot, and whether its store answers.
type Revision struct {
	Revision string `json:"revision"`
	Ready    bool   `json:"ready"`
	// StoreProblem is why a store does not answer, where that is known: one of those below. Empty: it answers, or nobody knows why it does not.
	StoreProblem string `json:"storeProblem,omitempty"`
}

// Why the server of a store is not verified.
const (
	StoreUnknownAuthority = "UnknownAuthority"
	StoreOtherHost        = "OtherHost"
	StoreNoTLS            = "NoTLS"
)

// Stats count people and sessions, and by the UIDs of IdentityProviders.
type Stats struct {
	Users          int                 `json:"users"`
	ActiveSessions int                 `json:"activeSessions"`
	IdPs           map[string]IdPStats `json:"identityProviders"`
}

// IdPStats are those of one IdentityProvider.
type IdPStats struct {
	Users      int       `json:"users"`
	Sessions   int       `json:"sessions"`
	LastSignIn time.Time `json:"lastSignIn,omitzero"`
	// GroupOverage counts the people whose groups the IdP did not send because there are too many.
	GroupOverage int `json:"groupOverage,omitempty"`
}

// Activity is sign-ins and refused responses of one IdP, one number for each hour.
type Activity struct {
	IdP      string `json:"idp"`
	SignIns  []int  `json:"signIns"`
	Failures []int  `json:"failures"`
}

// ActivityReport has the IdPs by name; First is the hour of the first number.
type ActivityReport struct {
	First time.Time  `json:"first"`
	Hours int        `json:"hours"`
	Items []Activity `json:"items"`
}

// Refusal is how often an IdP's responses were refused for one reason, and when first and last.
type Refusal struct {
	IdPUID string    `json:"idpUID"`
	Reason string    `json:"reason"`
	Count  int       `json:"count"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// Removal is what a service provider has to know of an IdentityProvider that is gone; Generation is 0 where nobody knows it any more.
type Removal struct {
	Name       string `json:"name"`
	Namespace  string `json:"namespace"`
	Generation int64  `json:"generation,omitempty"`
	// Scrub clears the profile values that it has filled in.
	Scrub bool `json:"scrub"`
}

// AuditKeys verify checkpoints of the audit log.
type AuditKeys struct {
	Keys []AuditKey `json:"keys"`
}

// AuditKey is an Ed25519 key (RFC 8032) of 32 bytes.
type AuditKey struct {
	ID        string `json:"id"`
	PublicKey []byte `json:"publicKey"`
}

// Ended is how many sessions have ended.
type Ended struct {
	Ended int `json:"ended"`
}

// Failure is the body of every answer that is none of 2xx.
type Failure struct {
	Error string `json:"error"`
}
