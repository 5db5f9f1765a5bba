package store

import (
	"context"
	"fmt"
	"time"
)

const (
	sweepBatch = 5000
	// idleSlack is added to the idle timeout before a row goes: LastSeen is written up to that late.
	idleSlack = 5 * time.Minute
	// replaySlack is how much longer than it could be used an assertion is remembered: a clock that was ahead and is set back must not let it in again.
	replaySlack = time.Hour
)

// pendingKinds names all of them, because the index begins with the kind.
const pendingKinds = `kind IN ('` + kindAsked + `','` + kindSignIn + `','` + kindLongSignIn + `','` + kindHandover + `')`

// Sweep removes what has expired: see Store.
func (d *DB) Sweep(ctx context.Context, steady bool) (int, error) {
	now, err := d.earliest(ctx, d.write)
	if err != nil {
		return 0, err
	}
	bounds := d.bounds.Load()
	total := 0
	for _, s := range []struct {
		table, key, condition string
		arg                   int64
		always                bool
	}{
		{"pending_requests", "handle_hash", pendingKinds + " AND expires_at <= $1", micros(now), true},
		{"evictions", "id", "at <= $1", micros(now.Add(-evictionsKept - overlap)), true},
		{"seen_assertions", "(idp_uid, assertion_hash)", "until <= $1", micros(now.Add(-replaySlack)), false},
		{"sessions", "token_hash", "expires_at <= $1", micros(now), false},
		{"sessions", "token_hash", "idle_timeout > 0 AND last_seen_at + idle_timeout <= $1", micros(now.Add(-idleSlack)), false},
		{"debug_entries", "id", "at <= $1", micros(now.Add(-bounds.retention)), false},
	} {
		if !s.always && !steady {
			continue
		}
		column := s.key
		if column[0] == '(' {
			column = column[1 : len(column)-1]
		}
		query := fmt.Sprintf(`DELETE FROM %s WHERE %s IN (SELECT %s FROM %s WHERE %s LIMIT %d)`, s.table, s.key, column, s.table, s.condition, sweepBatch) // #nosec G201 -- of the constants above
		for {
			result, err := d.write.ExecContext(ctx, query, s.arg)
			if err != nil {
				return total, fmt.Errorf("store: sweep %s: %w", s.table, err)
			}
			n, err := result.RowsAffected()
			if err != nil {
				return total, err
			}
			total += int(n)
			if n < sweepBatch {
				break
			}
		}
	}
	n, err := d.trimPending(ctx)
	return total + n, err
}
