package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// refusesWrites tells whether the database answers and takes nothing: its disk is full or broken, or it has become a standby. Reads go on then, so that only a write can
// tell that it is over.
func refusesWrites(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY:
			return true
		}
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "53100" || e.Code == "25006") // disk_full, read_only_sql_transaction
}

// Ping answers nil when a trivial read works now and, after a write that the database refused, when a trivial write does.
func (d *DB) Ping(ctx context.Context) error {
	var one int
	if err := d.read.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil || !d.refusing.Load() {
		return err
	}
	_, err := d.write.ExecContext(ctx, `INSERT INTO leases (name, holder, until) VALUES ('probe', $1, $2) ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until`,
		process, micros(d.now()))
	if err != nil {
		return fmt.Errorf("store: nothing can be written: %w", err)
	}
	d.refusing.Store(false)
	return nil
}
