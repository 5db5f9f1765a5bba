package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// TestSealingMeetsATransaction: the time for a checkpoint comes when a transaction has begun and has its records still to write.
func TestSealingMeetsATransaction(t *testing.T) {
	d := storetest.Open(t, storetest.SQLiteURL(t), store.Options{Signer: signer(t)})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sealed := make(chan error, 1)
	err := d.Do(ctx, func(tx store.Tx) error {
		go func() { sealed <- d.SealAudit(ctx, true) }()
		for store.Write(d).Stats().WaitCount == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		return tx.AppendAudit(audit.Record{Type: audit.TypeUserSignedInSAML})
	})
	if err := errors.Join(err, <-sealed); err != nil {
		t.Errorf("they wait for each other: %v", err)
	}
}

// TestNoTransactionWaitsForGood: somebody has what every transaction needs and does not give it back.
func TestNoTransactionWaitsForGood(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		d := storetest.Open(t, storeURL, store.Options{Signer: signer(t), TransactionTimeout: 300 * time.Millisecond})
		held, err := store.Write(d).BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = held.Rollback() }()
		if strings.HasPrefix(storeURL, "postgres") {
			if _, err := held.ExecContext(t.Context(), `LOCK TABLE audit_writers`); err != nil {
				t.Fatal(err)
			}
		}
		write := func() error {
			return d.WriteAudit(context.Background(), audit.Record{Type: audit.TypeUserSignedInSAML})
		}
		ended := make(chan error, 2)
		go func() { ended <- write() }()
		go func() { ended <- d.SealAudit(context.Background(), true) }()
		for range 2 {
			select {
			case err := <-ended:
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
			case <-time.After(time.Minute):
				t.Fatal("it waits for good")
			}
		}
		_ = held.Rollback()
		for deadline := time.Now().Add(time.Minute); write() != nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("nothing can be written after: %v", write())
			}
		}
	})
}

// TestRetentionMeetsAWriter: while retention is at work, somebody who has the chain's lane writes to it.
func TestRetentionMeetsAWriter(t *testing.T) {
	storeURL, clock := storetest.PostgresURL(t), testclock.NewFakeClock(start)
	d := storetest.Open(t, storeURL, store.Options{Clock: clock, Signer: signer(t), Lanes: 1})
	e := &auditEnv{t, d, clock, storeURL}
	e.write(20, audit.TypeUserSignedInSAML)
	if err := d.SealAudit(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	clock.Step(48 * time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	written := make(chan error, 1)
	var once sync.Once
	store.OnStatement(d, func(query string) {
		// It has removed all that it will, and has no lane yet.
		if strings.HasPrefix(query, "DELETE FROM audit_keys") {
			once.Do(func() {
				go func() { written <- d.WriteAudit(ctx, audit.Record{Type: audit.TypeUserSignedOut}) }()
				untilWaiting(t, d, written)
			})
		}
	})
	n, err := d.ApplyAuditRetention(ctx, clock.Now().Add(-time.Hour), 0)
	if err := errors.Join(err, <-written); err != nil || n != 20 {
		t.Fatalf("removed %d, and they wait for each other: %v", n, err)
	}
	if err := d.SealAudit(ctx, true); err != nil {
		t.Fatal(err)
	}
	if r := e.verify(); !r.OK() {
		t.Errorf("%+v", r.Findings)
	}
}

// TestTwoPodsApplyRetention: both come at the same time, there is more than one of them removes, and their clocks do not agree.
func TestTwoPodsApplyRetention(t *testing.T) {
	storeURL, clock, behind := storetest.PostgresURL(t), testclock.NewFakeClock(start), testclock.NewFakeClock(start)
	a := storetest.Open(t, storeURL, store.Options{Clock: clock, Signer: signer(t), Lanes: 1, AuditWriter: "a"})
	b := storetest.Open(t, storeURL, store.Options{Clock: behind, Signer: signer(t), Lanes: 1, AuditWriter: "b"})
	e := &auditEnv{t, a, clock, storeURL}
	many := slices.Repeat([]audit.Record{{Type: audit.TypeUserSignedInSAML}}, 8*audit.CheckpointEvery)
	if err := a.WriteAudit(t.Context(), many...); err != nil {
		t.Fatal(err)
	}
	clock.Step(48 * time.Hour)
	behind.Step(48*time.Hour - time.Minute)
	before, done := clock.Now().Add(-time.Hour), make(chan error, 1)
	var once sync.Once
	store.OnStatement(b, func(query string) {
		// It has read what others have stated.
		if strings.Contains(query, "first_sequence < sequence") {
			once.Do(func() {
				go func() {
					_, err := a.ApplyAuditRetention(t.Context(), before, 1)
					done <- err
				}()
				untilWaiting(t, a, done)
			})
		}
	})
	total := 0
	for i, d := range []*store.DB{b, a, b, a} {
		n, err := d.ApplyAuditRetention(t.Context(), before, 1)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		total += n
	}
	if err := errors.Join(a.SealAudit(t.Context(), true), b.SealAudit(t.Context(), true)); err != nil {
		t.Fatal(err)
	}
	if r := e.verify(); !r.OK() || total < 3*audit.CheckpointEvery {
		t.Errorf("%d removed: %+v", total, r.Findings)
	}
}
