package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema forward, each step in a transaction, one process at a time. It never goes back: a schema from a newer version is refused.
func (d *DB) migrate(ctx context.Context) error {
	steps, newest, err := d.steps()
	if err != nil {
		return err
	}
	options := []goose.ProviderOption{goose.WithGoMigrations(steps...), goose.WithDisableGlobalRegistry(true)}
	if d.dialect.notify {
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
		if err != nil {
			return err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(d.dialect.goose, d.write, nil, options...)
	if err != nil {
		return err
	}
	version, err := provider.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if version > newest {
		return fmt.Errorf("%w: its schema is %d, this version knows up to %d. Run that version again, or restore a backup from before the upgrade", ErrNewerSchema, version, newest)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("store: migration: %w", err)
	}
	return nil
}

// postgresOnly marks a statement of a migration that SQLite has nothing like.
const postgresOnly = "/* PostgreSQL */"

// steps reads the embedded files, named 00001_what.sql, in PostgreSQL's or SQLite's words.
func (d *DB) steps() (steps []*goose.Migration, newest int64, err error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, 0, err
	}
	for _, name := range names {
		number, _, _ := strings.Cut(strings.TrimPrefix(name, "migrations/"), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, 0, fmt.Errorf("migration %s: %w", name, err)
		}
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, 0, err
		}
		ddl := strings.ReplaceAll(string(text), " BLOB", " "+d.dialect.blob)
		steps = append(steps, goose.NewGoMigration(version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			for statement := range strings.SplitSeq(ddl, ";\n") {
				if strings.TrimSpace(statement) == "" || !d.dialect.notify && strings.Contains(statement, postgresOnly) {
					continue
				}
				if _, err := tx.ExecContext(ctx, statement); err != nil {
					return err
				}
			}
			return nil
		}}, nil))
		newest = max(newest, version)
	}
	return steps, newest, nil
}
