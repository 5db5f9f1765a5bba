// Package audit is the record of who did what and when, and the proof that nobody changed it afterwards.
//
// Each record is one line of JSON and belongs to the hash chain of one writer (one process, or one lane of it).
// Checkpoints signed with Ed25519 seal the chain at least every 1,000 records. Verify finds and locates any change.
// The package keeps nothing and knows no store: it makes records, chains them and checks them.
package audit

import (
	"context"
	"time"
)

// Record is one entry. The caller fills Time (optional), Type, Outcome, Reason, Actor, Target, Session, Request and Details;
// Chain.Append fills the rest. Values of personal attributes never go into Reason or Details, only the names of what changed.
type Record struct {
	// Time is when it happened; zero means now. It is kept in UTC with microseconds.
	Time time.Time
	// ID is a UUIDv7 (RFC 9562 5.7) and sorts by time.
	ID      string
	Type    Type
	Tier    Tier
	Outcome Outcome
	// Reason is a word of a closed list (see the debug log's error types) or a short cause; empty for plain success.
	Reason string
	Actor  Actor
	Target Target
	// Session is the SHA-256 of the session token in hex; never the token.
	Session string
	// Request is the correlation ID that the user was shown.
	Request string
	// Details is a struct of this package (details.go) or any value that marshals to a JSON object with integers, strings, booleans, lists and objects.
	Details any

	Writer       string
	Sequence     uint64
	PreviousHash string
	Hash         string
}

// ActorKind says what acted.
type ActorKind string

// The kinds of actors.
const (
	ActorUser       ActorKind = "user"
	ActorIdP        ActorKind = "idp"
	ActorKubernetes ActorKind = "kubernetes"
	ActorSystem     ActorKind = "system"
)

// Actor is who did it.
type Actor struct {
	Kind      ActorKind `json:"kind"`
	ID        string    `json:"id,omitempty"`
	Email     string    `json:"email,omitempty"`
	IP        string    `json:"ip,omitempty"`
	UserAgent string    `json:"userAgent,omitempty"`
	// Manager is the field manager of a change through the Kubernetes API.
	Manager string `json:"manager,omitempty"`
}

// Target is what it was done to: a custom resource, or a user, a debug entry or the audit log of the service provider.
type Target struct {
	Kind       string `json:"kind,omitempty"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name,omitempty"`
	UID        string `json:"uid,omitempty"`
	Generation int64  `json:"generation,omitempty"`
}

// Kinds of targets that are not custom resources.
const (
	KindUser       = "User"
	KindDebugEntry = "DebugEntry"
	KindAudit      = "AuditLog"
)

// Writer takes records. Write returns nil only when the record is safely handed over; a caller whose action must not go unrecorded fails closed on an error.
type Writer interface {
	Write(ctx context.Context, r Record) error
}
