package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

func TestOpenRefusesWhatItCannotServe(t *testing.T) {
	for _, bad := range []string{"", "mysql://x", "sqlite://", "sqlite://:memory:", "postgres://%zz", "/var/lib/x.db"} {
		if d, err := store.Open(t.Context(), bad, store.Options{}); err == nil {
			_ = d.Close()
			t.Errorf("%q was opened", bad)
		}
	}
	_, err := store.Open(t.Context(), "postgres://user:hunter2@127.0.0.1:1/x?sslmode=disable", store.Options{})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error of an unreachable server: %v", err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		d := storetest.Open(t, storeURL, store.Options{})
		if err := store.Exec(d, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)`); err != nil {
			t.Fatal(err)
		}
		_ = d.Close()
		_, err := store.Open(t.Context(), storeURL, store.Options{})
		if !errors.Is(err, store.ErrNewerSchema) || !strings.Contains(err.Error(), "schema is 99") || !strings.Contains(err.Error(), "backup") {
			t.Errorf("got %v", err)
		}
	})
}

func TestOpenAgainKeepsRows(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		d := storetest.Open(t, storeURL, store.Options{})
		if err := d.Do(t.Context(), func(tx store.Tx) error { return tx.CreateUser(store.User{ID: "u", Email: "alice@example.com"}) }); err != nil {
			t.Fatal(err)
		}
		_ = d.Close()
		d = storetest.Open(t, storeURL, store.Options{})
		if u, err := d.User(t.Context(), "u"); err != nil || u.Email != "alice@example.com" {
			t.Errorf("%+v, %v", u, err)
		}
	})
}

// TestTheStoreOfAnEarlierReleaseIsBroughtForward opens stores as releases have left them, with people in them: they are as they were, and the schema is that of a new store.
func TestTheStoreOfAnEarlierReleaseIsBroughtForward(t *testing.T) {
	for _, release := range []string{"v0.1"} {
		storetest.Each(t, func(t *testing.T, storeURL string) {
			freshURL, dump, postgres := storetest.SQLiteURL(t), "sqlite.sql", strings.HasPrefix(storeURL, "postgres")
			if postgres {
				freshURL, dump = storetest.PostgresURL(t), "postgres.sql"
			}
			storetest.Load(t, storeURL, filepath.Join("..", "..", "test", "upgrade", "testdata", release, "estate", dump))
			d := storetest.Open(t, storeURL, store.Options{})
			users, _, err := d.Users(t.Context(), store.UserQuery{})
			if err != nil || len(users) != 3 || users[0].Email != "alice@acme.example" || users[1].Email != "carol@acme.example" || users[1].SuspendReason != "left" {
				t.Fatalf("%+v, %v", users, err)
			}
			links, err := d.Links(t.Context(), users[0].ID)
			if err != nil || len(links) != 1 || links[0].Subject != "id-of-alice@acme.example" || !slices.Equal(links[0].Raw["groups"], []string{"dev", "ops"}) || links[0].GroupOverage {
				t.Fatalf("%+v, %v", links, err)
			}
			link := links[0]
			link.GroupOverage = true
			if err := d.Do(t.Context(), func(tx store.Tx) error { return tx.SaveLink(link) }); err != nil {
				t.Fatal(err)
			}
			if links, err = d.Links(t.Context(), users[0].ID); err != nil || !links[0].GroupOverage {
				t.Errorf("what the new schema has is not kept: %+v, %v", links, err)
			}
			if forward, anew := schemaOf(t, d, postgres), schemaOf(t, storetest.Open(t, freshURL, store.Options{}), postgres); forward != anew {
				t.Errorf("brought forward it has\n%s\nand made anew\n%s", forward, anew)
			}
		})
	}
}

// schemaOf lists tables with their columns and indexes, and on PostgreSQL the options of the tables.
func schemaOf(t *testing.T, d *store.DB, postgres bool) string {
	t.Helper()
	query := `SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY 1`
	if postgres {
		query = `SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
			UNION ALL SELECT relname || ' ' || CAST(reloptions AS TEXT) FROM pg_class WHERE reloptions IS NOT NULL AND relkind = 'r'
			UNION ALL SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default) FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1`
	}
	rows, err := store.Write(d).Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// TestReplicasMigrateOneAtATime starts many at once on an empty database.
func TestReplicasMigrateOneAtATime(t *testing.T) {
	storeURL := storetest.PostgresURL(t)
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			d, err := store.Open(t.Context(), storeURL, store.Options{AuditWriter: fmt.Sprint(i), MaxConnections: 3})
			if err != nil {
				t.Error(err)
				return
			}
			_ = d.Close()
		})
	}
	group.Wait()
}

func TestSQLiteServesOneProcess(t *testing.T) {
	storeURL := storetest.SQLiteURL(t)
	first := storetest.Open(t, storeURL, store.Options{})
	_, err := store.Open(t.Context(), storeURL, store.Options{LockTimeout: 100 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "use PostgreSQL") {
		t.Errorf("a second process opened the file: %v", err)
	}
	// A successor waits for the one before it.
	go func() {
		time.Sleep(100 * time.Millisecond)
		_ = first.Close()
	}()
	storetest.Open(t, storeURL, store.Options{LockTimeout: 10 * time.Second})
}

func TestSQLiteFileIsPrivate(t *testing.T) {
	storeURL := storetest.SQLiteURL(t)
	storetest.Open(t, storeURL, store.Options{})
	info, err := os.Stat(strings.TrimPrefix(storeURL, "sqlite://"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestCredentialsRotateWithoutARestart changes the role's name under a running store.
func TestCredentialsRotateWithoutARestart(t *testing.T) {
	storeURL := storetest.PostgresURL(t)
	admin := storetest.Open(t, storeURL, store.Options{})
	for _, s := range []string{"CREATE ROLE rotated LOGIN SUPERUSER", "CREATE ROLE expiring LOGIN SUPERUSER"} {
		if err := store.Exec(admin, s); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = store.Exec(admin, "DROP ROLE rotated") })
	as := func(role string) string { return strings.Replace(storeURL, "postgres@", url.PathEscape(role)+"@", 1) }
	var current atomic.Value
	current.Store(as("expiring"))
	d := storetest.Open(t, current.Load().(string), store.Options{Reload: func() (string, error) { return current.Load().(string), nil }})
	if err := d.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	current.Store(as("rotated"))
	for _, s := range []string{"ALTER ROLE expiring NOLOGIN", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'expiring'"} {
		if err := store.Exec(admin, s); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(10 * time.Second)
	for d.Ping(t.Context()) != nil {
		if time.Now().After(deadline) {
			t.Fatal(d.Ping(t.Context()))
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := store.Exec(admin, "DROP ROLE expiring"); err != nil {
		t.Error(err)
	}
}

// TestEvictionsSurviveALostConnection: the stream breaks, sessions end meanwhile, and the watcher catches up and says so.
func TestEvictionsSurviveALostConnection(t *testing.T) {
	storeURL := storetest.PostgresURL(t)
	watching := storetest.Open(t, storeURL, store.Options{AuditWriter: "a"})
	ending := storetest.Open(t, storeURL, store.Options{AuditWriter: "b"})
	events := make(chan store.Eviction, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = watching.WatchEvictions(ctx, func(e store.Eviction) { events <- e }) }()
	defer func() { cancel(); <-done }()
	next := func() store.Eviction {
		t.Helper()
		select {
		case e := <-events:
			return e
		case <-time.After(10 * time.Second):
			t.Fatal("nothing came")
			return store.Eviction{}
		}
	}
	end := func(n byte) {
		t.Helper()
		err := ending.Do(t.Context(), func(tx store.Tx) error {
			if err := tx.CreateSession(store.Session{TokenHash: hash(n), UserID: "u", ExpiresAt: time.Now().Add(time.Hour)}); err != nil {
				return err
			}
			_, err := tx.EndSessions(store.SessionMatch{TokenHash: hash(n)})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := ending.Do(t.Context(), func(tx store.Tx) error { return tx.CreateUser(store.User{ID: "u", Email: "u@example.com"}) }); err != nil {
		t.Fatal(err)
	}
	listening := func() bool {
		var n int
		err := store.Write(ending).QueryRow(`SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%evictions%' AND pid <> pg_backend_pid() AND state = 'idle'`).Scan(&n)
		return err == nil && n > 0
	}
	for deadline := time.Now().Add(10 * time.Second); !listening(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody listens")
		}
	}
	began := time.Now()
	end(1)
	if e := next(); e.Scope != store.EvictSession || e.Hash[0] != 1 {
		t.Errorf("got %+v", e)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("a notification took %v", took)
	}
	if err := store.Exec(ending, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
		t.Fatal(err)
	}
	if e := next(); e.Scope != store.StreamLost {
		t.Errorf("got %+v, want the loss", e)
	}
	end(2)
	if e := next(); e.Scope != store.EvictSession || e.Hash[0] != 2 {
		t.Errorf("got %+v, want what was missed", e)
	}
	if e := next(); e.Scope != store.StreamBack {
		t.Errorf("got %+v, want the return", e)
	}
}
