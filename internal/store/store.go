// Package store keeps what the service provider must not forget: sign-ins in flight, the replay guard, people and their groups, sessions, second factors,
// the audit chain and the debug log. One implementation runs on SQLite (one replica) and PostgreSQL (any number); its tests run on both.
//
// Times are kept in microseconds. Identifiers of users are UUIDs in the order of time (RFC 9562 5.7), so that new rows come to lie side by side. Tokens and
// handles are kept as their SHA-256 only.
package store

import (
	"context"
	"errors"
	"time"

	"sallyport.dev/sallyport/internal/audit"
)

// Errors that callers tell apart with errors.Is. Anything else means that the store could not answer: fail closed.
var (
	// ErrNotFound means that there is no such row, or that it has expired.
	ErrNotFound = errors.New("not found")
	// ErrReplayed means that the assertion was consumed before, by any replica.
	ErrReplayed = errors.New("the assertion was already used")
	// ErrConflict means that a unique value (an e-mail address, a subject) already belongs to another row.
	ErrConflict = errors.New("already taken")
	// ErrNewerSchema means that a newer version of Sallyport has migrated the store.
	ErrNewerSchema = errors.New("the store was migrated by a newer version")
	// ErrCursor means that a cursor was not made by this store, or that retention has removed what it points at.
	ErrCursor = errors.New("the cursor is not valid (any more): start again without it")
)

// Store is what the service provider asks of its database, by use case.
type Store interface {
	// Do runs fn in one transaction: all of it is committed, with its audit records, or nothing is. fn may run again after a
	// serialisation conflict, so it must have no effect but through tx. An error from fn rolls back and comes back unchanged.
	Do(ctx context.Context, fn func(tx Tx) error) error

	// SavePending keeps a sign-in in flight, and Pending finds it until it expires (ErrNotFound after).
	SavePending(ctx context.Context, p Pending) error
	Pending(ctx context.Context, handleHash []byte) (Pending, error)
	// UsePending is Pending of a link that may be followed several times, and counts: ErrNotFound from then on.
	UsePending(ctx context.Context, handleHash []byte, most int) (Pending, error)

	// SessionByHash is one indexed read: the session, its user and the user's groups from the session's IdP. Ended and expired ones are ErrNotFound.
	SessionByHash(ctx context.Context, hash []byte) (Session, error)
	// TouchSessions moves LastSeen forward for many sessions at once; it never moves it back.
	TouchSessions(ctx context.Context, touches []Touch) error
	Sessions(ctx context.Context, q SessionQuery) ([]Session, string, error)
	// SessionDomains are the pairs of IdP and e-mail domain that have sessions now.
	SessionDomains(ctx context.Context) ([]SessionDomain, error)
	// IdPs are those that sessions, links of users or valid groups are of, each with a name that it was known by.
	IdPs(ctx context.Context) ([]IdPRef, error)
	// WatchEvictions calls fn for every change to sessions by any replica until ctx ends: before Do returns for changes of this process, within two seconds of
	// the commit for others. fn must be quick and safe for concurrent use.
	WatchEvictions(ctx context.Context, fn func(Eviction)) error

	User(ctx context.Context, id string) (User, error)
	UserByEmail(ctx context.Context, email string) (User, error)
	Users(ctx context.Context, q UserQuery) ([]User, string, error)
	// Links are the IdPs that a user has signed in through, with what each last asserted.
	Links(ctx context.Context, userID string) ([]Link, error)
	Groups(ctx context.Context, userID string) ([]Group, error)
	Profile(ctx context.Context, userID string) (Profile, error)
	SecondFactors(ctx context.Context, userID string) ([]SecondFactor, error)
	Stats(ctx context.Context) (Stats, error)
	// SignInActivity counts sign-ins and refused responses per hour and IdP since a time.
	SignInActivity(ctx context.Context, since time.Time) ([]Activity, error)

	// WriteAudit appends records that belong to no other change, in a transaction of their own.
	WriteAudit(ctx context.Context, records ...audit.Record) error
	// WriteAuditOnce appends each record unless one with its key was appended before, by any replica. It says how many were new. Keys live as long as records.
	WriteAuditOnce(ctx context.Context, records ...KeyedRecord) (int, error)
	AuditLog

	DebugLog

	// Sweep removes what has expired, in batches, and says how many rows it removed. Any replica may call it, about once a minute. steady says that the caller's clock has
	// run evenly for a while: without, what somebody would miss stays, sessions above all.
	Sweep(ctx context.Context, steady bool) (int, error)
	// Ping answers nil when a trivial read works now and, after a write that the database refused, when a trivial write does.
	Ping(ctx context.Context) error
	Close() error
}

// AuditLog reads the audit records back.
type AuditLog interface {
	// Audit returns a page of lines in the order of time and the cursor of the next page, "" at the end.
	Audit(ctx context.Context, q AuditQuery) ([]AuditLine, string, error)
	// AuditPart are the chains as far as they are between two times.
	AuditPart(ctx context.Context, since, until time.Time) ([]AuditChainEnds, error)
	// ExportAudit gives what is committed now and is beyond a position, page by page, in the order of time.
	ExportAudit(ctx context.Context, q AuditQuery, after AuditPosition, page func([]AuditLine) error) error
	// AuditFrom and AuditAfter follow the log: the position of a time, and what has come after a position.
	AuditFrom(ctx context.Context, since time.Time, cursor string) (AuditPosition, error)
	AuditAfter(ctx context.Context, q AuditQuery, p AuditPosition) ([]AuditLine, error)
	// AuditChain returns up to limit lines of one writer after a sequence number, for export, verification and sinks.
	AuditChain(ctx context.Context, writer string, after uint64, limit int) ([]AuditLine, error)
	// SealAudit adds signed checkpoints to this process's chains that have waited long enough; closing seals them all, on shutdown.
	SealAudit(ctx context.Context, closing bool) error
	// ApplyAuditRetention removes whole checkpointed ranges that are older than before, and records that it did. It removes at most limit records per call.
	ApplyAuditRetention(ctx context.Context, before time.Time, limit int) (int, error)
	// RegisterSink makes a sink known: it gets every record that is written from then on. Call it before the first record is written; again is harmless.
	RegisterSink(ctx context.Context, sink string) error
	// RemoveSink forgets a sink, so that retention waits for it no longer.
	RemoveSink(ctx context.Context, sink string) error
	// Deliver hands unsent records to a sink in the order of each writer and moves the sink's cursor on when send returns nil. It returns how many were sent.
	// One replica at a time delivers to a sink; the others get 0.
	Deliver(ctx context.Context, sink string, limit int, send func(ctx context.Context, lines []AuditLine) error) (int, error)
	// Sinks are the names of the sinks that are registered.
	Sinks(ctx context.Context) ([]string, error)
	// DeadLetter passes over the next record of a writer for a sink, and records that in the same transaction.
	DeadLetter(ctx context.Context, sink string, l AuditLine, reason string) error
	// Outbox is what waits for a sink.
	Outbox(ctx context.Context, sink string) (Backlog, error)
}

// DebugLog keeps responses for diagnosis.
type DebugLog interface {
	// AddDebugEntry keeps an entry within the bounds of Options; the last entry of each (IdP, error type) survives any flood,
	// unless these alone are twice as many.
	AddDebugEntry(ctx context.Context, e DebugEntry) error
	// DebugEntries are newest first, without XML.
	DebugEntries(ctx context.Context, q DebugQuery) ([]DebugEntry, error)
	// SetDebugBounds changes the bounds, because the settings changed.
	SetDebugBounds(maxEntries int, retention time.Duration)
	// DebugEntry finds one by ID or by the reference that the user was shown, with XML.
	DebugEntry(ctx context.Context, idOrReference string) (DebugEntry, error)
}

// Tx is what one transaction can do. Everything that changes people or sessions is here, so that its audit record commits with it.
type Tx interface {
	// Now is the time of the transaction, the same for every row it writes.
	Now() time.Time
	// AppendAudit chains records; the transaction fails when it cannot.
	AppendAudit(records ...audit.Record) error

	// RememberAssertion is the replay guard: ErrReplayed when this IdP's assertion ID was remembered before.
	RememberAssertion(idpUID, assertionID string, until time.Time) error
	// ConsumePending removes a sign-in in flight; ErrNotFound when another response already did.
	ConsumePending(handleHash []byte) (Pending, error)

	// UserBySubject finds the user that an IdP knows by a persistent identifier, UserByEmail by normalised address, User by ID.
	// All of them lock the row against other transactions.
	UserBySubject(idpUID, subject string) (User, error)
	UserByEmail(email string) (User, error)
	User(id string) (User, error)
	// CreateUser fails with ErrConflict when the address is taken; the transaction goes on.
	CreateUser(u User) error
	UpdateUser(u User) error
	DeleteUser(id string) error

	// Link is what ties a user to an IdP; ErrNotFound before the first sign-in through it.
	Link(userID, idpUID string) (Link, error)
	Links(userID string) ([]Link, error)
	// SaveLink fails with ErrConflict when the subject belongs to another user; the transaction goes on.
	SaveLink(l Link) error
	// SyncGroups makes the user's groups of one IdP exactly what was asserted, and says what changed.
	SyncGroups(userID string, idp IdPRef, s GroupSync) (GroupChanges, error)
	Profile(userID string) (Profile, error)
	SaveProfile(userID string, p Profile) error

	CreateSession(s Session) error
	// Session reads one session as SessionByHash does.
	Session(hash []byte) (Session, error)
	// EndSessions ends the sessions that match, with those that were handed over from them, and tells every replica. It returns what it ended.
	EndSessions(m SessionMatch) ([]EndedSession, error)
	// UpdateSession changes one session's second-factor state or token; the old token stops working.
	UpdateSession(hash []byte, u SessionUpdate) error
	// EvictUser makes every replica read the user's sessions again, because names, groups or the profile changed.
	EvictUser(userID string) error

	// LinksOfIdP pages through the users of an IdP by user ID, for scrubbing; RemoveLink forgets one.
	LinksOfIdP(idpUID, afterUserID string, limit int) ([]Link, error)
	RemoveLink(userID, idpUID string) error
	// InvalidateGroups marks the groups of an IdP invalid and keeps them; it returns the names newly marked, at most limit.
	InvalidateGroups(idpUID string, limit int) ([]string, error)
	// Job keeps the progress of work that must survive a crash; nil when there is none. SaveJob with nil removes it.
	Job(name string) ([]byte, error)
	SaveJob(name string, state []byte) error

	SecondFactors(userID string) ([]SecondFactor, error)
	SaveSecondFactor(f SecondFactor) error
	// DeleteSecondFactors removes the named factors, or all of the user when none is named.
	DeleteSecondFactors(userID string, ids ...string) (int, error)
	// FactorThrottle is the count of failed second steps of a user and the time before which no other is tried.
	FactorThrottle(userID string) (Throttle, error)
	SaveFactorThrottle(userID string, t Throttle) error
}
