package store

import (
	"context"
	"fmt"
	"time"
)

// ClockSlack is how far the clocks of replicas may be apart. What is dated further in the future was written by a clock that has been set back since: it does not
// count, or it would count for as long as the clock was wrong by.
const ClockSlack = 5 * time.Minute

func (d *DB) now() time.Time { return d.o.Clock.Now().UTC().Truncate(time.Microsecond) }

// earliest is the earlier one of this process's clock and PostgreSQL's. It decides what is removed for good, which all replicas lose: one clock that is ahead must not.
func (d *DB) earliest(ctx context.Context, q querier) (time.Time, error) {
	now := d.now()
	if !d.dialect.notify {
		return now, nil
	}
	var theirs int64
	if err := q.QueryRowContext(ctx, "SELECT "+dbClock).Scan(&theirs); err != nil {
		return now, fmt.Errorf("store: %w", err)
	}
	if at := fromMicros(theirs); at.Before(now) {
		return at, nil
	}
	return now, nil
}
