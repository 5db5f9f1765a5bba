package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"time"

	"sallyport.dev/sallyport/internal/audit"
)

// HotQuery is a statement with arguments.
type HotQuery struct {
	Text string
	Args []any
}

// recorder is a transaction that notes every statement before it runs.
type recorder struct {
	querier
	mu  sync.Mutex
	all map[string]HotQuery
}

func (r *recorder) note(query string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	verb := strings.ToUpper(strings.Fields(query)[0])
	if verb == "INSERT" && !strings.Contains(query, "SELECT") {
		return
	}
	r.all[query] = HotQuery{query, args}
}

func (r *recorder) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	r.note(query, args)
	return r.querier.ExecContext(ctx, query, args...)
}

func (r *recorder) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	r.note(query, args)
	return r.querier.QueryContext(ctx, query, args...)
}

func (r *recorder) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	r.note(query, args)
	return r.querier.QueryRowContext(ctx, query, args...)
}

// HotQueries runs what sign-ins, checks and sinks do and returns every statement that they sent.
func HotQueries(d *DB) map[string]HotQuery {
	ctx := context.Background()
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		panic(err)
	}
	defer func() { _ = tx.Rollback() }()
	r := &recorder{querier: tx, all: map[string]HotQuery{}}
	t := &txn{ctx: ctx, db: d, sql: r, at: time.Now()}
	idp := IdPRef{UID: "idp", Name: "idp"}
	must := func(what string, err error) {
		if err != nil {
			panic(fmt.Sprintf("%s: %v", what, err))
		}
	}
	_, _ = t.ConsumePending([]byte("x"))
	must("replay", t.RememberAssertion("idp", "x", time.Now()))
	_, err = t.UserBySubject("idp", "s17")
	must("subject", err)
	u, err := t.UserByEmail("user17@example.com")
	must("email", err)
	must("update", t.UpdateUser(u))
	l, err := t.Link(u.ID, "idp")
	must("link", err)
	must("save link", t.SaveLink(l))
	_, err = t.Links(u.ID)
	must("links", err)
	_, err = t.SyncGroups(u.ID, idp, GroupSync{Claimed: []string{"group1", "group2", "new"}})
	must("groups", err)
	_, err = t.Profile(u.ID)
	must("profile", err)
	_, err = t.SecondFactors(u.ID)
	must("factors", err)
	must("evict", t.EvictUser(u.ID))
	for _, m := range []SessionMatch{{TokenHash: make([]byte, 32)}, {UserID: u.ID}, {IdPUID: "idp", NameID: &NameID{Value: "s3"}}, {SessionPrefix: "0011223344"}} {
		_, err = t.EndSessions(m)
		must("end", err)
	}
	lane := <-d.lanes
	must("audit", t.append(lane, []audit.Record{{Type: audit.TypeUserSignedOut}}))
	lane.known = false
	d.lanes <- lane
	out := r.all
	add := func(name, query string, args ...any) { out[name] = HotQuery{query, args} }
	add("SessionByHash", d.sessionSelect()+` WHERE s.token_hash = $1 AND s.expires_at > $2`, make([]byte, 32), 1)
	add("bound of sign-ins in flight", `SELECT expires_at FROM pending_requests WHERE kind = $1 ORDER BY expires_at DESC LIMIT 1 OFFSET $2`, kindSignIn, 100)
	add("trim of sign-ins in flight", `DELETE FROM pending_requests WHERE kind = $1 AND expires_at < $2`, kindSignIn, 20)
	add("AuditChain", `SELECT line FROM audit_records WHERE writer = $1 AND sequence > $2 ORDER BY sequence LIMIT 100`, "w", 4000)
	add("Audit by actor", `SELECT line FROM audit_records WHERE actor = $1 AND actor <> '' ORDER BY id LIMIT 100`, "user5@example.com")
	add("Audit by request", `SELECT line FROM audit_records WHERE request = $1 AND request <> '' ORDER BY id LIMIT 100`, "r5")
	add("Audit since", `SELECT line FROM audit_records WHERE id >= $1 ORDER BY id LIMIT 100`, "01900000-0000-7000-8000-000000001380")
	add("debug entry", `SELECT document, xml FROM debug_entries WHERE id = $1 OR reference = $1 ORDER BY id DESC LIMIT 1`, "r5")
	add("evictions", `SELECT id, at, hash FROM evictions WHERE at > $1`, 4990)
	return out
}

// OnStatement calls fn before every statement of every transaction, with its text.
func OnStatement(d *DB, fn func(query string)) {
	d.wrap = func(q querier) querier { return hook{q, fn} }
}

type hook struct {
	querier
	fn func(query string)
}

func (h hook) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	h.fn(query)
	return h.querier.ExecContext(ctx, query, args...)
}

func (h hook) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	h.fn(query)
	return h.querier.QueryContext(ctx, query, args...)
}

func (h hook) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	h.fn(query)
	return h.querier.QueryRowContext(ctx, query, args...)
}
