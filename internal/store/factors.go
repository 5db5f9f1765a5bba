package store

import (
	"context"
	"fmt"
)

const factorColumns = `id, user_id, kind, label, secret, confirmed, counter, created_at, last_used_at`

func secondFactors(ctx context.Context, q querier, userID string) ([]SecondFactor, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+factorColumns+` FROM second_factors WHERE user_id = $1 ORDER BY created_at, id`, userID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []SecondFactor
	for rows.Next() {
		var f SecondFactor
		var created, used int64
		if err := rows.Scan(&f.ID, &f.UserID, &f.Kind, &f.Label, &f.Secret, &f.Confirmed, &f.Counter, &created, &used); err != nil {
			return nil, err
		}
		f.CreatedAt, f.LastUsedAt = fromMicros(created), fromMicros(used)
		out = append(out, f)
	}
	return out, rows.Err()
}

// SecondFactors are a user's factors, oldest first.
func (d *DB) SecondFactors(ctx context.Context, userID string) ([]SecondFactor, error) {
	return secondFactors(ctx, d.read, userID)
}

func (t *txn) SecondFactors(userID string) ([]SecondFactor, error) {
	return secondFactors(t.ctx, t.sql, userID)
}

func (t *txn) SaveSecondFactor(f SecondFactor) error {
	_, err := t.exec(`INSERT INTO second_factors (`+factorColumns+`) VALUES `+placeholders(1, 1, 9)+`
		ON CONFLICT (id) DO UPDATE SET label = excluded.label, secret = excluded.secret, confirmed = excluded.confirmed, counter = excluded.counter, last_used_at = excluded.last_used_at`,
		f.ID, f.UserID, string(f.Kind), f.Label, f.Secret, f.Confirmed, f.Counter, micros(f.CreatedAt), micros(f.LastUsedAt))
	return err
}

func (t *txn) DeleteSecondFactors(userID string, ids ...string) (int, error) {
	w := where{conditions: []string{"user_id = $1"}, args: []any{userID}}
	var list []any
	for _, id := range ids {
		list = append(list, id)
	}
	w.in("id", list)
	n, err := t.exec(`DELETE FROM second_factors`+w.String(), w.args...)
	return int(n), err
}

func (t *txn) FactorThrottle(userID string) (Throttle, error) {
	var out Throttle
	var until int64
	err := notFound(t.sql.QueryRowContext(t.ctx, `SELECT failures, until FROM factor_throttles WHERE user_id = $1`+t.db.dialect.forUpdate, userID).Scan(&out.Failures, &until))
	if err == ErrNotFound {
		return Throttle{}, nil
	}
	out.Until = fromMicros(until)
	return out, err
}

func (t *txn) SaveFactorThrottle(userID string, h Throttle) error {
	_, err := t.exec(`INSERT INTO factor_throttles (user_id, failures, until) VALUES ($1,$2,$3)
		ON CONFLICT (user_id) DO UPDATE SET failures = excluded.failures, until = excluded.until`, userID, h.Failures, micros(h.Until))
	return err
}

func (t *txn) Job(name string) ([]byte, error) {
	var state []byte
	err := notFound(t.sql.QueryRowContext(t.ctx, `SELECT state FROM jobs WHERE name = $1`+t.db.dialect.forUpdate, name).Scan(&state))
	if err == ErrNotFound {
		return nil, nil
	}
	return state, err
}

func (t *txn) SaveJob(name string, state []byte) error {
	var err error
	if state == nil {
		_, err = t.exec(`DELETE FROM jobs WHERE name = $1`, name)
	} else {
		_, err = t.exec(`INSERT INTO jobs (name, state) VALUES ($1,$2) ON CONFLICT (name) DO UPDATE SET state = excluded.state`, name, state)
	}
	return err
}

// Stats counts people and sessions by a scan of two indexes.
func (d *DB) Stats(ctx context.Context) (Stats, error) {
	out := Stats{IdPs: map[string]IdPStats{}}
	count := func(query string, take func(uid string, n int, at int64), args ...any) error {
		rows, err := d.read.QueryContext(ctx, query, args...)
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var uid string
			var n int
			var at int64
			if err := rows.Scan(&uid, &n, &at); err != nil {
				return err
			}
			take(uid, n, at)
		}
		return rows.Err()
	}
	err := count(`SELECT idp_uid, COUNT(*), MAX(last_sign_in_at) FROM users GROUP BY idp_uid`, func(uid string, n int, at int64) {
		out.Users += n
		out.IdPs[uid] = IdPStats{Users: n, LastSignIn: fromMicros(at)}
	})
	if err != nil {
		return out, err
	}
	err = count(`SELECT idp_uid, COUNT(*), 0 FROM sessions WHERE expires_at > $1 GROUP BY idp_uid`, func(uid string, n int, _ int64) {
		out.ActiveSessions += n
		s := out.IdPs[uid]
		s.Sessions = n
		out.IdPs[uid] = s
	}, micros(d.now()))
	if err != nil {
		return out, err
	}
	err = count(`SELECT idp_uid, COUNT(*), 0 FROM links WHERE group_overage GROUP BY idp_uid`, func(uid string, n int, _ int64) {
		s := out.IdPs[uid]
		s.GroupOverage = n
		out.IdPs[uid] = s
	})
	return out, err
}
