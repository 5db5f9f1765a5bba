package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
)

// dialect is all that differs between SQLite and PostgreSQL in the text of statements. Both take $1, ON CONFLICT and RETURNING.
type dialect struct {
	goose goose.Dialect
	// blob is the type of a byte string in CREATE TABLE.
	blob string
	// forUpdate locks the rows of a SELECT; SQLite has one writer anyway.
	forUpdate string
	// lockSession does so with the row of the session alone.
	lockSession string
	// groups is the list of the session's valid groups as a JSON array, in a SELECT over sessions s.
	groups string
	// detail is a member of a record's details, as text, and detailCount as a number.
	detail, detailCount string
	// notify is true when other processes share the store and must be told.
	notify bool
}

const groupsFrom = ` FROM memberships m JOIN groups_of_idps g ON g.id = m.group_id WHERE m.user_id = s.user_id AND g.idp_uid = s.idp_uid AND g.invalidated_at = 0`

var (
	sqliteDialect = dialect{
		goose: goose.DialectSQLite3, blob: "BLOB",
		groups: `(SELECT json_group_array(g.name)` + groupsFrom + `)`,
		detail: `(line ->> '$.details.%s')`, detailCount: `(line ->> '$.details.%s')`,
	}
	postgresDialect = dialect{
		goose: goose.DialectPostgres, blob: "BYTEA", forUpdate: " FOR UPDATE", lockSession: " FOR UPDATE OF s", notify: true,
		groups: `(SELECT COALESCE(json_agg(g.name)::text, '[]')` + groupsFrom + `)`,
		detail: `(line::json -> 'details' ->> '%s')`, detailCount: `(line::json -> 'details' ->> '%s')::bigint`,
	}
)

// querier is a connection pool or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// retryable says that PostgreSQL gave up a transaction only because of others: a serialisation failure, a deadlock, or a unique value that another
// transaction has just taken. It may simply run again, and then sees what they did.
func retryable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01" || pg.Code == "23505")
}

// notFound turns the driver's word into ours.
func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// micros is how times are stored: the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// document marshals what is only ever read back as a whole. Bytes that are not UTF-8 become U+FFFD, so that any store takes it. Nothing is escaped for HTML: a URL
// would take six times its bytes.
func document(v any) (string, error) {
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSuffix(text.String(), "\n"), err
}

// placeholders is "($1,$2),($3,$4)" for rows of width columns, numbered from first.
func placeholders(first, rows, width int) string {
	var b strings.Builder
	n := first
	for r := range rows {
		if r > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('(')
		for c := range width {
			if c > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "$%d", n)
			n++
		}
		b.WriteByte(')')
	}
	return b.String()
}

// where collects conditions and their arguments.
type where struct {
	conditions []string
	args       []any
}

// add takes a condition with one %s where the placeholder goes.
func (w *where) add(condition string, arg any) {
	w.args = append(w.args, arg)
	w.conditions = append(w.conditions, fmt.Sprintf(condition, fmt.Sprintf("$%d", len(w.args))))
}

// in adds "column IN (...)" unless there is nothing to compare with.
func (w *where) in(column string, values []any) {
	if len(values) == 0 {
		return
	}
	w.conditions = append(w.conditions, column+" IN "+placeholders(len(w.args)+1, 1, len(values)))
	w.args = append(w.args, values...)
}

func (w *where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

func limitOf(limit, most int) int {
	if limit <= 0 || limit > most {
		return most
	}
	return limit
}
