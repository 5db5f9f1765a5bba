package provision

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/store"
)

const (
	// BreakGlassLifetime is how long a link can be used.
	BreakGlassLifetime = 10 * time.Minute
	// breakGlassSession bounds a session that no IdP vouched for.
	breakGlassSession = time.Hour
	// maxReason bounds the reason that is given, in bytes.
	maxReason = 500
)

// BreakGlassReasons are why a link signs nobody in: all that there are.
func BreakGlassReasons() []identity.Reason {
	return []identity.Reason{identity.ReasonLinkNotValid, identity.ReasonUserNotFound, identity.ReasonUserSuspended, identity.ReasonIdPDisabled, identity.ReasonDomainNotBound,
		identity.ReasonSecondFactorFailed}
}

// BreakGlassRefusal is why a link that was there signed nobody in. It has been recorded, and the link is spent.
type BreakGlassRefusal struct {
	Reason identity.Reason
	// User has no more than the ID where the user is gone.
	User store.User
}

func (r *BreakGlassRefusal) Error() string { return "break-glass: " + string(r.Reason) }

// BreakGlassKey is where a link is kept: its secret itself is nowhere.
func BreakGlassKey(secret string) []byte {
	sum := sha256.Sum256([]byte("break-glass\x00" + secret))
	return sum[:]
}

// BreakGlass makes a link's secret that signs a user in once without their IdP. It is recorded before there is anything to use.
func (s *Service) BreakGlass(ctx context.Context, u store.User, reason string, by Caller, now time.Time) (secret string, expires time.Time, err error) {
	expires = now.Add(BreakGlassLifetime)
	reason = reason[:min(len(reason), maxReason)]
	err = s.store.WriteAudit(ctx, by.record(audit.TypeSSOBreakGlass, userTarget(u), audit.BreakGlass{Step: "issued", Reason: reason, Expires: expires.UTC().Format(time.RFC3339)}))
	if err != nil {
		return "", expires, err
	}
	var random [32]byte
	rand.Read(random[:]) //nolint:errcheck // crypto/rand does not fail
	secret = base64.RawURLEncoding.EncodeToString(random[:])
	return secret, expires, s.store.SavePending(ctx, store.Pending{
		HandleHash: BreakGlassKey(secret), UserID: u.ID, Reason: reason, RequestedBy: by.Actor.ID, IssuedAt: now, ExpiresAt: expires,
	})
}

// BreakGlassUse is the browser that uses a link. Refuses says why a session of an IdP and an e-mail domain does not count, "" where it does; RequireSecondFactor whether a
// session of an IdP needs a second factor, for somebody who has enrolled one and for somebody who has not; SecondFactors whether one can be proved here at all.
type BreakGlassUse struct {
	Client              Client
	Refuses             func(idpUID, emailDomain string) identity.Reason
	RequireSecondFactor func(idp store.IdPRef, enrolled bool) bool
	SecondFactors       bool
	ReturnURL           string
}

// UseBreakGlass opens the session, once: link, session and record in one transaction. It is short, and keeps the second step that the connection asks for.
// The error is store.ErrNotFound where there is no such link any more, and a *BreakGlassRefusal where its user may not come in: that spends the link too, so that there are
// no more records of it than links.
func (s *Service) UseBreakGlass(ctx context.Context, secret string, in BreakGlassUse) (*Result, error) {
	var result *Result
	var refusal *BreakGlassRefusal
	err := s.store.Do(ctx, func(tx store.Tx) (err error) {
		link, err := tx.ConsumePending(BreakGlassKey(secret))
		if err != nil {
			return err
		}
		if result, refusal, err = openByLink(tx, link, in); err != nil {
			return err
		}
		return tx.AppendAudit(breakGlassRecord(link, in.Client, result, refusal))
	})
	switch {
	case err != nil:
		return nil, err
	case refusal != nil:
		return nil, refusal
	}
	return result, nil
}

// openByLink opens the session that a link is for, or says why there is none.
func openByLink(tx store.Tx, link store.Pending, in BreakGlassUse) (*Result, *BreakGlassRefusal, error) {
	u, err := tx.User(link.UserID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, &BreakGlassRefusal{identity.ReasonUserNotFound, store.User{ID: link.UserID}}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	domain := emailDomain(u.Email)
	if u.Suspended() {
		return nil, &BreakGlassRefusal{identity.ReasonUserSuspended, u}, nil
	}
	if reason := in.Refuses(u.IdP.UID, domain); reason != "" {
		return nil, &BreakGlassRefusal{reason, u}, nil
	}
	factors, err := tx.SecondFactors(u.ID)
	if err != nil {
		return nil, nil, err
	}
	required := in.RequireSecondFactor(u.IdP, len(factors) > 0)
	if required && !in.SecondFactors {
		return nil, &BreakGlassRefusal{identity.ReasonSecondFactorFailed, u}, nil
	}
	token, key := session.NewToken()
	opened := store.Session{
		TokenHash: key[:], UserID: u.ID, IdP: u.IdP, AuthnContext: "break-glass", CreatedAt: tx.Now(), LastSeenAt: tx.Now(), ExpiresAt: tx.Now().Add(breakGlassSession),
		SecondFactorPending: required, ReturnURL: in.ReturnURL, IP: in.Client.IP, UserAgent: in.Client.UserAgent, EmailDomain: domain, User: u,
	}
	if err := tx.CreateSession(opened); err != nil {
		return nil, nil, err
	}
	return &Result{User: u, Token: token, Session: opened, SecondFactorRequired: required}, nil, nil
}

// breakGlassRecord is of a link that signed somebody in, or was refused.
func breakGlassRecord(link store.Pending, by Client, result *Result, refusal *BreakGlassRefusal) audit.Record {
	record := audit.Record{Type: audit.TypeSSOBreakGlass, Request: by.Request}
	details := audit.BreakGlass{Step: "used", Reason: link.Reason, IssuedBy: link.RequestedBy}
	var u store.User
	if refusal != nil {
		u, details.Step = refusal.User, "refused"
		record.Outcome, record.Reason = audit.OutcomeDenied, string(refusal.Reason)
	} else {
		u = result.User
		record.Outcome, record.Session = audit.OutcomeSuccess, session.Key(result.Session.TokenHash).Hex()
	}
	record.Actor = audit.Actor{Kind: audit.ActorUser, ID: u.ID, Email: u.Email, IP: by.IP, UserAgent: by.UserAgent}
	record.Target, record.Details = userTarget(u), details
	return record
}
