package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/store"
)

// Caller is who decided something, and the correlation ID of the request.
type Caller struct {
	Actor   audit.Actor
	Request string
}

func (c Caller) record(t audit.Type, target audit.Target, details any) audit.Record {
	return audit.Record{Type: t, Outcome: audit.OutcomeSuccess, Actor: c.Actor, Request: c.Request, Target: target, Details: details}
}

func userTarget(u store.User) audit.Target {
	return audit.Target{Kind: audit.KindUser, Name: u.Email, UID: u.ID}
}

// endAll ends every session of a user inside the transaction, and says how many.
func endAll(tx store.Tx, userID string) (int, error) {
	total := 0
	for {
		ended, err := tx.EndSessions(store.SessionMatch{UserID: userID, Limit: RevokeBatch})
		total += len(ended)
		if err != nil || len(ended) < RevokeBatch {
			return total, err
		}
	}
}

// Suspend refuses a user's sign-ins from now on and ends their sessions on every replica. Suspending again changes nothing and is not recorded.
func (s *Service) Suspend(ctx context.Context, userID, reason string, by Caller) error {
	return s.store.Do(ctx, func(tx store.Tx) error {
		u, err := tx.User(userID)
		if err != nil || u.Suspended() {
			return err
		}
		u.SuspendedAt, u.SuspendReason, u.UpdatedAt = tx.Now(), reason, tx.Now()
		if err := tx.UpdateUser(u); err != nil {
			return err
		}
		ended, err := endAll(tx, userID)
		if err != nil {
			return err
		}
		return tx.AppendAudit(by.record(audit.TypeUserSuspended, userTarget(u), audit.Revocation{Cause: "suspended", IdP: u.IdP.Name, Sessions: ended}))
	})
}

// Resume lets a suspended user sign in again.
func (s *Service) Resume(ctx context.Context, userID string, by Caller) error {
	return s.store.Do(ctx, func(tx store.Tx) error {
		u, err := tx.User(userID)
		if err != nil || !u.Suspended() {
			return err
		}
		u.SuspendedAt, u.SuspendReason, u.UpdatedAt = store.User{}.SuspendedAt, "", tx.Now()
		if err := tx.UpdateUser(u); err != nil {
			return err
		}
		return tx.AppendAudit(by.record(audit.TypeUserResumed, userTarget(u), nil))
	})
}

// Delete removes a user with their sessions, links, profile, memberships and second factors. Audit records stay.
func (s *Service) Delete(ctx context.Context, userID string, by Caller) error {
	return s.store.Do(ctx, func(tx store.Tx) error {
		u, err := tx.User(userID)
		if err != nil {
			return err
		}
		ended, err := endAll(tx, userID)
		if err != nil {
			return err
		}
		if err := tx.DeleteUser(userID); err != nil {
			return err
		}
		return tx.AppendAudit(by.record(audit.TypeUserDeleted, userTarget(u), audit.Revocation{Cause: "deleted", IdP: u.IdP.Name, Sessions: ended}))
	})
}

// RevokeBatch is how many sessions one transaction ends, with their records.
const RevokeBatch = 1000

// Revoke ends sessions that match, RevokeBatch at most, and records each: call it again while that many come back, so that a try which fails loses none of those before.
// What was handed over from a session that is named alone comes on top. cause is a word of audit.Revocation. It returns what was ended; none is not an error.
func (s *Service) Revoke(ctx context.Context, m store.SessionMatch, cause string, by Caller) ([]store.EndedSession, error) {
	return s.RevokeOnce(ctx, m, cause, by, func(store.Tx) error { return nil })
}

// RevokeOnce is Revoke on behalf of a message that counts once: remember notes it in the same transaction, so that one which could not be carried out can come again.
func (s *Service) RevokeOnce(ctx context.Context, m store.SessionMatch, cause string, by Caller, remember func(store.Tx) error) ([]store.EndedSession, error) {
	var ended []store.EndedSession
	m.Limit = RevokeBatch
	err := s.store.Do(ctx, func(tx store.Tx) error {
		if err := remember(tx); err != nil {
			return err
		}
		var err error
		if ended, err = tx.EndSessions(m); err != nil {
			return err
		}
		return tx.AppendAudit(revocations(ended, audit.TypeSessionRevoked, cause, by)...)
	})
	if err != nil {
		return nil, err
	}
	return ended, nil
}

// SignOut ends one session because its user asked to. It returns ErrNotFound when it had ended already.
func (s *Service) SignOut(ctx context.Context, key session.Key, by Caller) (store.EndedSession, error) {
	var one store.EndedSession
	err := s.store.Do(ctx, func(tx store.Tx) error {
		ended, err := tx.EndSessions(store.SessionMatch{TokenHash: key[:]})
		if err != nil {
			return err
		}
		if len(ended) == 0 {
			return store.ErrNotFound
		}
		one = ended[0]
		return tx.AppendAudit(revocations(ended, audit.TypeUserSignedOut, "user", by)...)
	})
	return one, err
}

func revocations(ended []store.EndedSession, t audit.Type, cause string, by Caller) []audit.Record {
	records := make([]audit.Record, 0, len(ended))
	for _, e := range ended {
		r := by.record(t, audit.Target{Kind: audit.KindUser, Name: e.Email, UID: e.UserID}, audit.Revocation{Cause: cause, IdP: e.IdP.Name, Sessions: 1})
		r.Session = session.Key(e.TokenHash).Hex()
		records = append(records, r)
	}
	return records
}

// SetProfile changes values of a user's profile for an administrator; an empty value clears. A value that does not fit is an error that names the attribute.
func (s *Service) SetProfile(ctx context.Context, userID string, values map[string]string, by Caller) error {
	return s.store.Do(ctx, func(tx store.Tx) error {
		u, err := tx.User(userID)
		if err != nil {
			return err
		}
		profile, err := tx.Profile(userID)
		if err != nil {
			return err
		}
		update := audit.ProfileUpdate{Cause: audit.CauseAdmin}
		for name, value := range values {
			old, had := profile[name]
			if strings.TrimSpace(value) == "" {
				if had {
					delete(profile, name)
					update.Cleared = append(update.Cleared, name)
				}
				continue
			}
			if value, err = identity.NormaliseProfileValue(name, value); err != nil {
				return err
			}
			if had && old.Value == value {
				continue
			}
			profile[name] = store.ProfileValue{Value: value, Source: store.SourceAdmin, UpdatedAt: tx.Now()}
			if had {
				update.Updated = append(update.Updated, name)
			} else {
				update.Added = append(update.Added, name)
			}
		}
		if len(update.Added)+len(update.Updated)+len(update.Cleared) == 0 {
			return nil
		}
		slices.Sort(update.Added)
		slices.Sort(update.Updated)
		slices.Sort(update.Cleared)
		if err := errors.Join(tx.SaveProfile(userID, profile), tx.EvictUser(userID)); err != nil {
			return err
		}
		return tx.AppendAudit(by.record(audit.TypeUserProfileUpdated, userTarget(u), update))
	})
}

// ConnectionState is what Enforce needs of each connection in the snapshot.
type ConnectionState struct {
	IdP     store.IdPRef
	Enabled bool
}

// Enforce ends the sessions that the snapshot does not allow any more: of IdPs that are disabled, and of people whose domain their IdP does not speak for now:
// because another one does (rebind), or nobody, or the catch-all (unbind). Sessions of IdPs that the snapshot does not have stay: only RemoveIdP and
// RemoveRemains, after a deletion, end those. Every replica may call it; call it for each new snapshot.
func (s *Service) Enforce(ctx context.Context, connections []ConnectionState, domains *identity.DomainTable) (int, error) {
	pairs, err := s.store.SessionDomains(ctx)
	if err != nil {
		return 0, err
	}
	byUID := map[string]ConnectionState{}
	for _, c := range connections {
		byUID[c.IdP.UID] = c
	}
	by := Caller{Actor: audit.Actor{Kind: audit.ActorSystem}}
	total := 0
	for _, p := range pairs {
		c, known := byUID[p.IdPUID]
		if !known {
			continue
		}
		cause := ""
		switch {
		case !c.Enabled:
			cause = "idp_disabled"
		case !domains.MayAssert(c.IdP.Name, identity.Address{Domain: p.Domain}):
			cause = "unbind"
			if binding, bound := domains.Binding(p.Domain); bound && binding.Connection != "" {
				cause = "rebind"
			}
		default:
			continue
		}
		ended, err := s.revokeAll(ctx, store.SessionMatch{IdPUID: p.IdPUID, Domain: p.Domain}, cause, by)
		total += ended
		if err != nil {
			return total, fmt.Errorf("ending the sessions of %s: %w", c.IdP.Name, err)
		}
	}
	return total, nil
}

// revokeAll ends any number of sessions.
func (s *Service) revokeAll(ctx context.Context, m store.SessionMatch, cause string, by Caller) (int, error) {
	total := 0
	for {
		ended, err := s.Revoke(ctx, m, cause, by)
		total += len(ended)
		if err != nil || len(ended) < RevokeBatch {
			return total, err
		}
	}
}
