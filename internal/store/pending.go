package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Kinds of rows in flight. Each has a bound of its own, so that a flood of one pushes out none of another.
const (
	// kindAsked are links and results that an administrator has asked for. Nobody else makes them, and nothing pushes them out.
	kindAsked = ""
	// kindSignIn is what anybody begins, and kindLongSignIn the same with a long return URL.
	kindSignIn     = "sign_in"
	kindLongSignIn = "long_sign_in"
	// kindHandover is what somebody who is signed in begins.
	kindHandover = "handover"
)

const (
	// longDocument is from how many bytes on a sign-in is a long one. A return URL of 400 bytes is not.
	longDocument = 1 << 10
	// longShare is how many sign-ins are kept for each long one and each handover, which take up to eight times as much.
	longShare = 10
	// trimPendingEvery is how many rows are added between two trims, so that each costs an insert and microseconds more.
	trimPendingEvery = 500
)

func kindOf(p Pending, document string) string {
	switch {
	case p.Session != "":
		return kindHandover
	case p.RequestID == "":
		return kindAsked
	case len(document) > longDocument:
		return kindLongSignIn
	}
	return kindSignIn
}

// SavePending keeps a sign-in in flight.
func (d *DB) SavePending(ctx context.Context, p Pending) error {
	text, err := document(p)
	if err != nil {
		return err
	}
	_, err = d.write.ExecContext(ctx, `INSERT INTO pending_requests (handle_hash, idp_uid, kind, expires_at, document) VALUES ($1,$2,$3,$4,$5)`,
		p.HandleHash, p.IdPUID, kindOf(p, text), micros(p.ExpiresAt), text)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if d.pendingAdds.Add(1)%trimPendingEvery == 0 {
		// The sign-in is kept whatever comes of it. The sweep trims again, and tells when it cannot.
		_, _ = d.trimPending(ctx)
	}
	return nil
}

// trimPending removes the oldest rows beyond the bound of each kind, and says how many.
func (d *DB) trimPending(ctx context.Context) (total int, err error) {
	for kind, most := range map[string]int{kindSignIn: d.o.MaxPending, kindLongSignIn: d.o.MaxPending / longShare, kindHandover: d.o.MaxPending / longShare} {
		var oldest int64
		err := d.read.QueryRowContext(ctx, `SELECT expires_at FROM pending_requests WHERE kind = $1 ORDER BY expires_at DESC LIMIT 1 OFFSET $2`, kind, max(most, 1)-1).Scan(&oldest)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return total, fmt.Errorf("store: %w", err)
		}
		result, err := d.write.ExecContext(ctx, `DELETE FROM pending_requests WHERE kind = $1 AND expires_at < $2`, kind, oldest)
		if err != nil {
			return total, fmt.Errorf("store: %w", err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return total, err
		}
		total += int(n)
	}
	return total, nil
}

// Pending finds a sign-in in flight.
func (d *DB) Pending(ctx context.Context, handleHash []byte) (Pending, error) {
	p, _, err := pending(ctx, d.read, d.now(), selectPending, handleHash)
	return p, err
}

// UsePending swaps the document for one that counts one more. Whoever is overtaken in between reads it again, as often as the link can be followed at most.
func (d *DB) UsePending(ctx context.Context, handleHash []byte, most int) (Pending, error) {
	for {
		p, before, err := pending(ctx, d.write, d.now(), selectPending, handleHash)
		if err != nil {
			return p, err
		}
		if p.Uses++; p.Uses > most {
			return Pending{}, ErrNotFound
		}
		after, err := document(p)
		if err != nil {
			return p, err
		}
		result, err := d.write.ExecContext(ctx, `UPDATE pending_requests SET document = $1 WHERE handle_hash = $2 AND document = $3`, after, handleHash, before)
		if err != nil {
			return p, fmt.Errorf("store: %w", err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 1 {
			return p, err
		}
	}
}

func (t *txn) ConsumePending(handleHash []byte) (Pending, error) {
	p, _, err := pending(t.ctx, t.sql, t.at, `DELETE FROM pending_requests WHERE handle_hash = $1 AND expires_at > $2 RETURNING document`, handleHash)
	return p, err
}

const selectPending = `SELECT document FROM pending_requests WHERE handle_hash = $1 AND expires_at > $2`

// pending reads one that has not expired, and that was not issued by a clock which was set back since: that one would not expire for as long. text is how it is kept.
func pending(ctx context.Context, q querier, now time.Time, query string, handleHash []byte) (p Pending, text string, err error) {
	if err := q.QueryRowContext(ctx, query, handleHash, micros(now)).Scan(&text); err != nil {
		return p, text, notFound(err)
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return Pending{}, text, err
	}
	if p.IssuedAt.After(now.Add(ClockSlack)) {
		return Pending{}, text, ErrNotFound
	}
	return p, text, nil
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
