// Package provision keeps people: it signs a person in, in one transaction with the replay guard, the user, groups, profile, session and audit records,
// and carries out what administrators decide about users, sessions and identity providers. Either all of it happens and is recorded, or nothing does.
package provision

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/audit/ration"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/tracing"
)

// Service provisions. It is safe for concurrent use and for any number of replicas on one store.
type Service struct {
	store     store.Store
	strangers *ration.Log
}

// NewService makes a Service over a store; times come from the store's clock. What strangers can cause again and again is recorded by strangers.
func NewService(s store.Store, strangers *ration.Log) *Service { return &Service{s, strangers} }

// Connection is what the service needs to know of the IdP that made an assertion.
type Connection struct {
	IdP          store.IdPRef
	Enabled      bool
	Provisioning snapshot.Provisioning
	Mapping      *identity.CompiledMapping
	// Verbose adds a saml_assertion_received record that names unmapped attributes.
	Verbose bool
}

// Assertion is a verified assertion as far as people are concerned.
type Assertion struct {
	identity.Input
	ID string
	// ReplayUntil is NotOnOrAfter plus the clock skew: until then the ID is remembered.
	ReplayUntil         time.Time
	SessionIndex        string
	SessionNotOnOrAfter time.Time
	AuthnContext        string
}

// Client is the browser that brought it.
type Client struct {
	IP        string
	UserAgent string
	// Request is the correlation ID that the user is shown.
	Request string
}

// SignIn is one sign-in.
type SignIn struct {
	Connection Connection
	Domains    *identity.DomainTable
	// Profile are the attributes that the ServiceProvider has switched on.
	Profile   []snapshot.ProfileAttribute
	Session   snapshot.Session
	Assertion Assertion
	Client    Client
	// PendingHandle is the hash of the sign-in in flight, which is consumed; nil for an unsolicited response.
	PendingHandle []byte
	ReturnURL     string
	// Previous is the session that the same browser had: it ends.
	Previous *session.Key
	// DebugEntry is the ID of the debug entry that a refusal's record points to.
	DebugEntry string
}

// Result is a sign-in that succeeded, or in a preview would have.
type Result struct {
	User   store.User
	Person identity.Person
	// Token is the cookie's value. It is nowhere else.
	Token   string
	Session store.Session
	Created bool
	// MatchedBy is subject, email or created.
	MatchedBy string
	// SecondFactorRequired means that the session opens nothing yet but the second step.
	SecondFactorRequired bool
	// Records are what was written to the audit log.
	Records []audit.Record
}

// How a user was found.
const (
	MatchedSubject = "subject"
	MatchedEmail   = "email"
	MatchedCreated = "created"
)

// errRollback ends a preview.
var errRollback = errors.New("preview")

// SignIn signs a person in. A *identity.Rejection says why not, and is recorded before it is returned; any other error means that the store did not take
// it, and nothing has happened.
func (s *Service) SignIn(ctx context.Context, in SignIn) (*Result, error) {
	result, err := s.signIn(ctx, in, false)
	if rejection, ok := identity.AsRejection(err); ok {
		if err := s.refused(ctx, in, rejection); err != nil {
			return nil, fmt.Errorf("the refusal (%s) could not be recorded: %w", rejection.Reason, err)
		}
	}
	return result, err
}

// refused records a refusal. An assertion that comes for the first time is recorded whatever there has been before, because its IdP alone can make another. When it comes
// again anybody may have sent it.
func (s *Service) refused(ctx context.Context, in SignIn, r *identity.Rejection) error {
	ctx, cancel := ration.Lasting(ctx)
	defer cancel()
	record := denial(in, r)
	if r.Reason != identity.ReasonReplayed {
		err := s.store.Do(ctx, func(tx store.Tx) error {
			// It is not used up: once the cause is gone, the same response signs in.
			if err := tx.RememberAssertion(in.Connection.IdP.UID, "refused:"+in.Assertion.ID, in.Assertion.ReplayUntil); err != nil {
				return err
			}
			return tx.AppendAudit(record)
		})
		if !errors.Is(err, store.ErrReplayed) {
			return err
		}
	}
	return s.strangers.Record(ctx, record)
}

// Preview is what SignIn would do now: the same code in a transaction that is rolled back. Neither replay guard nor pending request is touched, nothing is recorded.
func (s *Service) Preview(ctx context.Context, in SignIn) (*Result, error) {
	return s.signIn(ctx, in, true)
}

func (s *Service) signIn(ctx context.Context, in SignIn, preview bool) (*Result, error) {
	if !in.Connection.Enabled && !preview {
		return nil, &identity.Rejection{
			Reason: identity.ReasonIdPDisabled, Sentence: fmt.Sprintf("The identity provider %s is disabled.", in.Connection.IdP.Name),
			Expected: "spec.state: Enabled", Actual: "Disabled",
		}
	}
	_, span := tracing.Start(ctx, "identity.map")
	person, rejection := in.Connection.Mapping.Map(in.Assertion.Input)
	span.End()
	if rejection != nil {
		return nil, rejection
	}
	if rejection := mayAssert(in, person); rejection != nil {
		return nil, rejection
	}
	ctx, span = tracing.Start(ctx, "identity.provision")
	defer span.End()
	var result *Result
	err := s.store.Do(ctx, func(tx store.Tx) error {
		w := &work{tx: tx, in: in, person: person, now: tx.Now()}
		if !preview {
			if err := w.guard(); err != nil {
				return err
			}
		}
		if err := w.run(); err != nil {
			return err
		}
		result = w.result()
		if preview {
			return errRollback
		}
		return nil
	})
	if errors.Is(err, errRollback) {
		result.Token = ""
		return result, nil
	}
	if err != nil {
		return nil, err
	}
	return result, nil
}

// mayAssert holds every address of the assertion against the bindings: one that belongs elsewhere spoils it all.
func mayAssert(in SignIn, p identity.Person) *identity.Rejection {
	name := in.Connection.IdP.Name
	for _, a := range append([]identity.Address{p.Email}, p.OtherEmails...) {
		if in.Domains.MayAssert(name, a) {
			continue
		}
		owner, binding, ok := in.Domains.Route(a)
		r := &identity.Rejection{Reason: identity.ReasonDomainNotBound, Actual: a.Domain}
		switch {
		case !ok:
			r.Sentence = fmt.Sprintf("The domain %s is not bound to any identity provider, and %s is not the catch-all.", a.Domain, name)
			r.Expected = "a DomainBinding for " + a.Domain
		case binding == "":
			r.Sentence = fmt.Sprintf("The domain %s is not bound: only the catch-all %s may assert it, not %s.", a.Domain, owner, name)
			r.Expected = "the catch-all " + owner
		default:
			r.Sentence = fmt.Sprintf("The domain %s is bound to %s by the DomainBinding %s: %s may not assert it.", a.Domain, owner, binding, name)
			r.Expected = owner
		}
		return r
	}
	return nil
}

// denial is the record of a refusal.
func denial(in SignIn, r *identity.Rejection) audit.Record {
	idp := in.Connection.IdP
	record := audit.Record{
		Type: audit.TypeSAMLAssertionFailed, Outcome: audit.OutcomeDenied, Reason: string(r.Reason), Request: in.Client.Request,
		Actor:   audit.Actor{Kind: audit.ActorIdP, ID: idp.Name, IP: in.Client.IP, UserAgent: in.Client.UserAgent},
		Target:  audit.Target{Kind: KindIdentityProvider, Name: idp.Name, UID: idp.UID},
		Details: audit.AssertionFailure{IdP: idp.Name, IdPUID: idp.UID, DebugEntry: in.DebugEntry},
	}
	switch r.Reason {
	case identity.ReasonDomainNotBound:
		record.Type = audit.TypeEmailDomainNotBound
		details := audit.AssertionFailure{IdP: idp.Name, IdPUID: idp.UID, DebugEntry: in.DebugEntry, Domain: r.Actual}
		if d, ok := in.Domains.Binding(r.Actual); ok {
			details.BoundTo = d.Connection
		}
		record.Details = details
	case identity.ReasonReplayed:
		record.Type = audit.TypeSAMLAssertionReplayed
	case identity.ReasonUserNotFound, identity.ReasonUserSuspended:
		record.Type = audit.TypeUserAccessDenied
	}
	return record
}

// KindIdentityProvider is the kind of the custom resource.
const KindIdentityProvider = "IdentityProvider"
