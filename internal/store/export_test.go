package store

import (
	"context"
	"database/sql"
)

// Exec runs a statement behind the store's back.
func Exec(d *DB, statement string) error {
	_, err := d.write.ExecContext(context.Background(), statement)
	return err
}

// Write is the connection that writes.
func Write(d *DB) *sql.DB { return d.write }
