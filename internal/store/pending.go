package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"
)

// SavePending keeps a sign-in in flight.
func (d *DB) SavePending(ctx context.Context, p Pending) error {
	text, err := document(p)
	if err != nil {
		return err
	}
	_, err = d.write.ExecContext(ctx, `INSERT INTO pending_requests (handle_hash, idp_uid, expires_at, document) VALUES ($1,$2,$3,$4)`,
		p.HandleHash, p.IdPUID, micros(p.ExpiresAt), text)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// Pending finds a sign-in in flight.
func (d *DB) Pending(ctx context.Context, handleHash []byte) (Pending, error) {
	return pending(ctx, d.read, d.now(), `SELECT document FROM pending_requests WHERE handle_hash = $1 AND expires_at > $2`, handleHash)
}

func (t *txn) ConsumePending(handleHash []byte) (Pending, error) {
	return pending(t.ctx, t.sql, t.at, `DELETE FROM pending_requests WHERE handle_hash = $1 AND expires_at > $2 RETURNING document`, handleHash)
}

// pending reads one that has not expired, and that was not issued by a clock which was set back since: that one would not expire for as long.
func pending(ctx context.Context, q querier, now time.Time, query string, handleHash []byte) (p Pending, err error) {
	var text string
	if err := q.QueryRowContext(ctx, query, handleHash, micros(now)).Scan(&text); err != nil {
		return p, notFound(err)
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return Pending{}, err
	}
	if p.IssuedAt.After(now.Add(ClockSlack)) {
		return Pending{}, ErrNotFound
	}
	return p, nil
}

func (t *txn) RememberAssertion(idpUID, assertionID string, until time.Time) error {
	// The ID is the IdP's choice and of any length: its hash is not.
	hash := sha256.Sum256([]byte(assertionID))
	n, err := t.exec(`INSERT INTO seen_assertions (idp_uid, assertion_hash, until) VALUES ($1,$2,$3) ON CONFLICT DO NOTHING`, idpUID, hash[:], micros(until))
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrReplayed
	}
	return nil
}
