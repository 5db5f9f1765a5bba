package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"k8s.io/utils/clock"
	_ "modernc.org/sqlite" // the store's own driver

	"sallyport.dev/sallyport/internal/audit/ration"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/store"
)

// people are the tokens of sessions in a store.
type people struct {
	// small has 2 groups, large has 200, many have 2 each. Of the others in the store nobody knows the token.
	small, large string
	many         []string
}

// fill makes a store with known sessions, and others until there are total.
func fill(ctx context.Context, file string, known, total int) (*people, error) {
	database, err := store.Open(ctx, "sqlite://"+file, store.Options{})
	if err != nil {
		return nil, err
	}
	p := &people{}
	if p.small, err = signIn(ctx, database, "alice@acme.example", "dev", "ml-team"); err == nil {
		groups := make([]string, 200)
		for i := range groups {
			groups[i] = fmt.Sprintf("group-%03d", i)
		}
		p.large, err = signIn(ctx, database, "bob@acme.example", groups...)
	}
	if err == nil {
		p.many, err = more(ctx, database, "alice@acme.example", known)
	}
	if err = errors.Join(err, database.Close()); err != nil {
		return nil, err
	}
	return p, strangers(ctx, file, total-known-2)
}

// signIn signs one person in, as the service provider does after an assertion was verified.
func signIn(ctx context.Context, database *store.DB, email string, groups ...string) (token string, err error) {
	s := benchSnapshot()
	mapping, err := identity.CompileMapping(s.Connections[0].Mapping)
	if err != nil {
		return "", err
	}
	result, err := provision.NewService(database, ration.New(clock.RealClock{}, database.WriteAudit, nil)).SignIn(ctx, provision.SignIn{
		Connection: provision.Connection{IdP: store.IdPRef{UID: "okta", Name: "okta"}, Enabled: true, Provisioning: s.Connections[0].Provisioning, Mapping: mapping},
		Domains:    identity.NewDomainTable(nil, s.Connections),
		Session:    s.ServiceProvider.Session,
		Assertion: provision.Assertion{ID: "_bench-" + email, ReplayUntil: time.Now().Add(time.Minute), Input: identity.Input{
			Attributes: map[string][]string{"email": {email}, "firstName": {"Alice"}, "lastName": {"Example"}, "groups": groups}}},
	})
	if err != nil {
		return "", err
	}
	return result.Token, nil
}

// more gives a person further sessions.
func more(ctx context.Context, database *store.DB, email string, n int) ([]string, error) {
	user, err := database.UserByEmail(ctx, email)
	if err != nil {
		return nil, err
	}
	tokens, now := make([]string, n), time.Now()
	err = database.Do(ctx, func(tx store.Tx) error {
		for i := range tokens {
			token, key := session.NewToken()
			tokens[i] = token
			err := tx.CreateSession(store.Session{TokenHash: key[:], UserID: user.ID, IdP: user.IdP, NameID: store.NameID{Value: "alice"}, EmailDomain: "acme.example",
				CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(time.Hour), IdleTimeout: time.Hour})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return tokens, err
}

// strangers fills the table of sessions with rows that nobody has the token of.
func strangers(ctx context.Context, file string, n int) error {
	if n <= 0 {
		return nil
	}
	database, err := sql.Open("sqlite", file)
	if err != nil {
		return err
	}
	_, err = database.ExecContext(ctx, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		INSERT INTO sessions SELECT randomblob(32), s.user_id, s.idp_uid, s.idp_name, s.name_id, s.session_index, s.email_domain, s.created_at + n.i, s.last_seen_at, s.expires_at,
			s.idle_timeout, s.second_factor_pending, s.document FROM n, (SELECT * FROM sessions LIMIT 1) s`, n)
	return errors.Join(err, database.Close())
}
