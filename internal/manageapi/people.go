package manageapi

import "time"

// User is a person.
type User struct {
	ID            string    `json:"id"`
	Email         string    `json:"email"`
	FirstName     string    `json:"firstName,omitempty"`
	LastName      string    `json:"lastName,omitempty"`
	IdP           string    `json:"idp,omitempty"`
	IdPUID        string    `json:"idpUID,omitempty"`
	CreatedAt     time.Time `json:"createdAt"`
	LastSignInAt  time.Time `json:"lastSignInAt,omitzero"`
	LastSignInIP  string    `json:"lastSignInIP,omitempty"`
	SuspendedAt   time.Time `json:"suspendedAt,omitzero"`
	SuspendReason string    `json:"suspendReason,omitempty"`

	// Only when one user is asked for.
	Groups        []Group                 `json:"groups,omitempty"`
	Profile       map[string]ProfileValue `json:"profile,omitempty"`
	Connections   []Link                  `json:"connections,omitempty"`
	Sessions      []Session               `json:"sessions,omitempty"`
	SecondFactors []Factor                `json:"secondFactors,omitempty"`
}

// Group is a group of one IdP.
type Group struct {
	Name    string `json:"name"`
	IdP     string `json:"idp"`
	Invalid bool   `json:"invalid,omitempty"`
}

// ProfileValue is a value of the profile and who says so. IdPUID is set when that is an IdP.
type ProfileValue struct {
	Value     string    `json:"value"`
	Source    string    `json:"source"`
	IdPUID    string    `json:"idpUID,omitempty"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// Link is what one IdP last sent about a user.
type Link struct {
	IdP        string              `json:"idp"`
	IdPUID     string              `json:"idpUID"`
	Subject    string              `json:"subject,omitempty"`
	RecordedAt time.Time           `json:"recordedAt"`
	Attributes map[string][]string `json:"attributes,omitempty"`
}

// Factor is an enrolled second factor, without its secret.
type Factor struct {
	Kind       string    `json:"kind"`
	Label      string    `json:"label,omitempty"`
	Confirmed  bool      `json:"confirmed"`
	CreatedAt  time.Time `json:"createdAt"`
	LastUsedAt time.Time `json:"lastUsedAt,omitzero"`
}

// Session is a session; ID is the first half of the token's hash, which is enough to revoke it.
type Session struct {
	ID         string    `json:"id"`
	UserID     string    `json:"userID"`
	Email      string    `json:"email,omitempty"`
	IdP        string    `json:"idp"`
	IP         string    `json:"ip,omitempty"`
	UserAgent  string    `json:"userAgent,omitempty"`
	CreatedAt  time.Time `json:"createdAt"`
	LastSeenAt time.Time `json:"lastSeenAt"`
	ExpiresAt  time.Time `json:"expiresAt"`
	Pending    bool      `json:"secondFactorPending,omitempty"`
}

// BreakGlassLink is a link that signs one person in once without their IdP.
type BreakGlassLink struct {
	URL     string    `json:"url"`
	Expires time.Time `json:"expires"`
}
