// Package secondfactor is the step after SAML where an IdentityProvider requires it: time-based codes (RFC 6238), passkeys (WebAuthn) and one-time recovery codes.
// A session that waits for it becomes a full one, under a new token, in the transaction that accepts the proof; its return URL and SAML data stay as they were.
package secondfactor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/store"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrWrong means that the code or passkey was not accepted. The attempt was counted and recorded.
	ErrWrong = errors.New("the second factor was not accepted")
	// ErrNotEnrolled means that the user has no factor of the kind.
	ErrNotEnrolled = errors.New("no such second factor is enrolled")
	// ErrVerifyFirst means that somebody who has not passed the second step tried to change factors of a user who has some.
	ErrVerifyFirst = errors.New("verify a second factor before changing second factors")
	// ErrNoSession means that the session has ended.
	ErrNoSession = errors.New("the session has ended: sign in again")
)

// ThrottledError refuses an attempt because of too many failed ones.
type ThrottledError struct{ Until time.Time }

func (e *ThrottledError) Error() string {
	return "too many failed attempts: try again after " + e.Until.UTC().Format(time.RFC3339)
}

// Options of New.
type Options struct {
	// Keys are 32 bytes each, from a Secret. The first encrypts; all of them decrypt, so that a key can be rotated.
	Keys [][]byte
	// Issuer is the name that authenticator apps show.
	Issuer string
	// RPID and Origins are the host and the https origin of the service provider's URL, for passkeys.
	RPID    string
	Origins []string
}

// Service is safe for concurrent use and for any number of replicas on one store.
type Service struct {
	store store.Store
	box   *box
	o     Options
	rp    *webauthn.WebAuthn
}

// New makes a Service. An error names the option that is wrong.
func New(s store.Store, o Options) (*Service, error) {
	b, err := newBox(o.Keys)
	if err != nil {
		return nil, err
	}
	rp, err := webauthn.New(&webauthn.Config{RPID: o.RPID, RPDisplayName: o.Issuer, RPOrigins: o.Origins})
	if err != nil {
		return nil, fmt.Errorf("passkeys: %w", err)
	}
	return &Service{store: s, box: b, o: o, rp: rp}, nil
}

// By is who acts, for the audit records. Actor's ID and address are filled in from the user where they are empty.
type By struct {
	Actor   audit.Actor
	Request string
}

// Factor is what is shown of an enrolled factor.
type Factor struct {
	ID         string
	Kind       store.SecondFactorKind
	Label      string
	CreatedAt  time.Time
	LastUsedAt time.Time
}

// Factors are the confirmed factors of a user, and how many recovery codes are left.
func (s *Service) Factors(ctx context.Context, userID string) (factors []Factor, recoveryCodes int, err error) {
	all, err := s.store.SecondFactors(ctx, userID)
	for _, f := range all {
		switch {
		case f.Kind == store.FactorRecovery:
			recoveryCodes++
		case f.Confirmed:
			factors = append(factors, Factor{f.ID, f.Kind, f.Label, f.CreatedAt, f.LastUsedAt})
		}
	}
	return factors, recoveryCodes, err
}

// Result is a step that was passed.
type Result struct {
	// Token is the session's new cookie value; "" when the session was a full one already.
	Token string
	// Session is the session as it is now.
	Session store.Session
	// RecoveryCodes are shown once, when the first factor was enrolled.
	RecoveryCodes []string
}

// attempt is one transaction about the factors of the user of a session.
type attempt struct {
	tx      store.Tx
	session store.Session
	user    store.User
	factors []store.SecondFactor
	by      By
}

// do runs an attempt: the session and the user are locked, so that two guesses at the same time count as two. An fn that returns ErrWrong is counted and recorded.
func (s *Service) do(ctx context.Context, key session.Key, by By, method store.SecondFactorKind, fn func(a *attempt) error) (*Result, error) {
	var result *Result
	var refusal error
	err := s.store.Do(ctx, func(tx store.Tx) error {
		result, refusal = nil, nil
		a := &attempt{tx: tx, by: by}
		var err error
		if a.session, err = tx.Session(key[:]); errors.Is(err, store.ErrNotFound) {
			return ErrNoSession
		} else if err != nil {
			return err
		}
		if a.user, err = tx.User(a.session.UserID); err != nil {
			return err
		}
		if a.factors, err = tx.SecondFactors(a.user.ID); err != nil {
			return err
		}
		throttle, err := tx.FactorThrottle(a.user.ID)
		if err != nil {
			return err
		}
		if left := throttle.Until.Sub(tx.Now()); left > maxWait {
			// The clock was set back meanwhile: nobody waits for as long as it was wrong by.
			throttle.Until = tx.Now().Add(maxWait)
			refusal = &ThrottledError{throttle.Until}
			return tx.SaveFactorThrottle(a.user.ID, throttle)
		} else if left > 0 {
			return &ThrottledError{throttle.Until}
		}
		err = fn(a)
		if errors.Is(err, ErrWrong) {
			refusal = err
			return a.failed(throttle, method)
		}
		if err != nil {
			return err
		}
		result = &Result{Session: a.session}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return result, refusal
}

// Failed attempts: freeAttempts cost nothing, then each doubles the wait, up to maxWait.
const (
	freeAttempts = 5
	firstWait    = 30 * time.Second
	maxWait      = 15 * time.Minute
)

func (a *attempt) failed(t store.Throttle, method store.SecondFactorKind) error {
	t.Failures++
	if over := t.Failures - freeAttempts; over >= 0 {
		wait := maxWait
		if over < 5 {
			wait = min(firstWait<<over, maxWait)
		}
		t.Until = a.tx.Now().Add(wait)
	}
	if err := a.tx.SaveFactorThrottle(a.user.ID, t); err != nil {
		return err
	}
	return a.record(audit.TypeSecondFactorFailed, audit.OutcomeDenied, method)
}

func (a *attempt) record(t audit.Type, outcome audit.Outcome, method store.SecondFactorKind) error {
	actor := a.by.Actor
	if actor.Kind == "" {
		actor.Kind = audit.ActorUser
	}
	if actor.Kind == audit.ActorUser && actor.ID == "" {
		actor.ID, actor.Email = a.user.ID, a.user.Email
	}
	r := audit.Record{
		Type: t, Outcome: outcome, Actor: actor, Request: a.by.Request, Target: audit.Target{Kind: audit.KindUser, Name: a.user.Email, UID: a.user.ID},
		Details: audit.SecondFactor{Method: string(method)},
	}
	if outcome == audit.OutcomeDenied {
		r.Reason = "second_factor_failed"
	}
	if a.session.TokenHash != nil {
		r.Session = session.Key(a.session.TokenHash).Hex()
	}
	return a.tx.AppendAudit(r)
}

// enrolled says whether the user has a confirmed factor that is no recovery code.
func (a *attempt) enrolled() bool {
	for _, f := range a.factors {
		if f.Confirmed && f.Kind != store.FactorRecovery {
			return true
		}
	}
	return false
}

// mayEnrol refuses somebody who is only half signed in when there is a factor to prove: otherwise a stolen password would enrol its own.
func (a *attempt) mayEnrol() error {
	if a.session.SecondFactorPending && a.enrolled() {
		return ErrVerifyFirst
	}
	return nil
}

// forgive forgets failed attempts: only a proof does, or begun ceremonies would wash guesses away.
func (a *attempt) forgive() error { return a.tx.SaveFactorThrottle(a.user.ID, store.Throttle{}) }

// pass makes a waiting session count, under a new token.
func (a *attempt) pass(method store.SecondFactorKind, result *passed) error {
	if err := a.forgive(); err != nil {
		return err
	}
	if a.session.SecondFactorPending {
		token, key := session.NewToken()
		if err := a.tx.UpdateSession(a.session.TokenHash, store.SessionUpdate{SecondFactorDone: true, NewTokenHash: key[:]}); err != nil {
			return err
		}
		a.session.TokenHash, a.session.SecondFactorPending = key[:], false
		result.token = token
	}
	return a.record(audit.TypeSecondFactorVerified, audit.OutcomeSuccess, method)
}

// passed is what a transaction hands out: made anew each time it runs.
type passed struct {
	token string
	codes []string
}

func (p passed) into(r *Result, err error) (*Result, error) {
	if r != nil {
		r.Token, r.RecoveryCodes = p.token, p.codes
	}
	return r, err
}

// Remove takes away one factor; recovery codes stay. The session must have passed the second step.
func (s *Service) Remove(ctx context.Context, key session.Key, factorID string, by By) error {
	_, err := s.do(ctx, key, by, "", func(a *attempt) error {
		if err := a.mayEnrol(); err != nil {
			return err
		}
		for _, f := range a.factors {
			if f.ID != factorID || f.Kind == store.FactorRecovery {
				continue
			}
			if _, err := a.tx.DeleteSecondFactors(a.user.ID, f.ID); err != nil {
				return err
			}
			return a.record(audit.TypeSecondFactorReset, audit.OutcomeSuccess, f.Kind)
		}
		return ErrNotEnrolled
	})
	return err
}

// Reset takes away all factors of a user, as an administrator does for somebody who lost them, and ends their sessions. The next sign-in enrols anew.
func (s *Service) Reset(ctx context.Context, userID string, by By) error {
	return s.store.Do(ctx, func(tx store.Tx) error {
		u, err := tx.User(userID)
		if err != nil {
			return err
		}
		if _, err := tx.DeleteSecondFactors(userID); err != nil {
			return err
		}
		if err := tx.SaveFactorThrottle(userID, store.Throttle{}); err != nil {
			return err
		}
		for {
			ended, err := tx.EndSessions(store.SessionMatch{UserID: userID})
			if err != nil {
				return err
			}
			if len(ended) == 0 {
				break
			}
		}
		a := &attempt{tx: tx, user: u, by: by}
		return a.record(audit.TypeSecondFactorReset, audit.OutcomeSuccess, "")
	})
}
