package provision

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"sallyport.dev/sallyport/internal/audit"
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

// ErrNotAdmitted means that the person is suspended, or that their IdP is switched off.
var ErrNotAdmitted = errors.New("the person may not sign in")

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

// BreakGlassUse is the browser that uses a link. Admits says whether a session of an IdP and an e-mail domain counts, RequireSecondFactor whether a session of
// an IdP needs a second factor, for somebody who has enrolled one and for somebody who has not.
type BreakGlassUse struct {
	Client              Client
	Admits              func(idpUID, emailDomain string) bool
	RequireSecondFactor func(idp store.IdPRef, enrolled bool) bool
	ReturnURL           string
}

// UseBreakGlass opens the session, once: link, session and record in one transaction. It is short, and keeps the second step that the connection asks for.
func (s *Service) UseBreakGlass(ctx context.Context, secret string, in BreakGlassUse) (*Result, error) {
	var result *Result
	err := s.store.Do(ctx, func(tx store.Tx) error {
		link, err := tx.ConsumePending(BreakGlassKey(secret))
		if err != nil {
			return err
		}
		u, err := tx.User(link.UserID)
		if err != nil {
			return err
		}
		domain := emailDomain(u.Email)
		if u.Suspended() || !in.Admits(u.IdP.UID, domain) {
			return ErrNotAdmitted
		}
		factors, err := tx.SecondFactors(u.ID)
		if err != nil {
			return err
		}
		token, key := session.NewToken()
		opened := store.Session{
			TokenHash: key[:], UserID: u.ID, IdP: u.IdP, AuthnContext: "break-glass", CreatedAt: tx.Now(), LastSeenAt: tx.Now(), ExpiresAt: tx.Now().Add(breakGlassSession),
			SecondFactorPending: in.RequireSecondFactor(u.IdP, len(factors) > 0), ReturnURL: in.ReturnURL, IP: in.Client.IP, UserAgent: in.Client.UserAgent, EmailDomain: domain, User: u,
		}
		if err := tx.CreateSession(opened); err != nil {
			return err
		}
		result = &Result{User: u, Token: token, Session: opened, SecondFactorRequired: opened.SecondFactorPending}
		return tx.AppendAudit(audit.Record{
			Type: audit.TypeSSOBreakGlass, Outcome: audit.OutcomeSuccess, Request: in.Client.Request, Target: userTarget(u), Session: key.Hex(),
			Actor:   audit.Actor{Kind: audit.ActorUser, ID: u.ID, Email: u.Email, IP: in.Client.IP, UserAgent: in.Client.UserAgent},
			Details: audit.BreakGlass{Step: "used", Reason: link.Reason, IssuedBy: link.RequestedBy},
		})
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}
