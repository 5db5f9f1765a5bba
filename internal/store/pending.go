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
	return pending(ctx, d.read, `SELECT document FROM pending_requests WHERE handle_hash = $1 AND expires_at > $2`, handleHash, micros(d.now()))
}

func (t *txn) ConsumePending(handleHash []byte) (Pending, error) {
	return pending(t.ctx, t.sql, `DELETE FROM pending_requests WHERE handle_hash = $1 AND expires_at > $2 RETURNING document`, handleHash, micros(t.at))
}

func pending(ctx context.Context, q querier, query string, args ...any) (p Pending, err error) {
	var text string
	if err := q.QueryRowContext(ctx, query, args...).Scan(&text); err != nil {
		return p, notFound(err)
	}
	return p, json.Unmarshal([]byte(text), &p)
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
