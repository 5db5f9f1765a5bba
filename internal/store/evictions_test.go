package store_test

import (
	"context"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// TestAChangeThatCommitsLateIsTold: it was written two minutes ago and shows now, as when a standby has held up the commit. Changes go on meanwhile.
func TestAChangeThatCommitsLateIsTold(t *testing.T) {
	storeURL := storetest.PostgresURL(t)
	watching := storetest.Open(t, storeURL, store.Options{AuditWriter: "a"})
	ending := storetest.Open(t, storeURL, store.Options{AuditWriter: "b"})
	if err := ending.Do(t.Context(), func(tx store.Tx) error { return tx.CreateUser(store.User{ID: "u", Email: "u@example.com"}) }); err != nil {
		t.Fatal(err)
	}
	late, err := store.Write(ending).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = late.Rollback() }()
	if _, err := late.Exec(`INSERT INTO evictions (id, at, hash) VALUES ('late', (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT - 120000000, $1)`, hash(9)); err != nil {
		t.Fatal(err)
	}

	events := make(chan store.Eviction, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = watching.WatchEvictions(ctx, func(e store.Eviction) { events <- e }) }()
	defer func() { cancel(); <-done }()
	tells := func(n byte) {
		t.Helper()
		select {
		case e := <-events:
			if e.Scope != store.EvictSession || e.Hash[0] != n {
				t.Fatalf("told %+v, want session %d", e, n)
			}
		case <-time.After(time.Minute):
			t.Fatalf("session %d is not told", n)
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
		tells(n)
	}
	for n := range byte(4) {
		end(n)
	}
	if err := late.Commit(); err != nil {
		t.Fatal(err)
	}
	tells(9)
	end(5) // and nothing is told again
}
