package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// jumps are what clocks do: a correction, a wrong time zone, a year.
var jumps = []time.Duration{10 * time.Minute, 2 * time.Hour, 365 * 24 * time.Hour}

// eachJump runs with a clock that is to be set forward and back by each of them.
func eachJump(t *testing.T, run func(e *auditEnv, jump time.Duration)) {
	for _, jump := range jumps {
		t.Run(jump.String(), func(t *testing.T) { eachAudit(t, func(e *auditEnv) { run(e, jump) }) })
	}
}

func (e *auditEnv) do(fn func(tx store.Tx) error) error {
	e.Helper()
	return e.db.Do(e.Context(), fn)
}

// TestWhatAClockThatWasAheadHasGivenOutEndsWithIt: a session, a sign-in in flight, a link or a code would otherwise be good for as long as the clock was wrong by.
func TestWhatAClockThatWasAheadHasGivenOutEndsWithIt(t *testing.T) {
	eachJump(t, func(e *auditEnv, jump time.Duration) {
		open := func(n byte) error {
			now := e.clock.Now()
			return errors.Join(
				e.do(func(tx store.Tx) error {
					return tx.CreateSession(store.Session{TokenHash: hash(n), UserID: "u", CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(time.Hour)})
				}),
				e.db.SavePending(e.Context(), store.Pending{HandleHash: hash(n), IssuedAt: now, ExpiresAt: now.Add(15 * time.Minute)}),
				e.db.SavePending(e.Context(), store.Pending{HandleHash: hash(n + 1), IssuedAt: now, ExpiresAt: now.Add(15 * time.Minute)}))
		}
		found := func(n byte) (all []bool) {
			_, err := e.db.SessionByHash(e.Context(), hash(n))
			all = append(all, err == nil)
			_, err = e.db.Pending(e.Context(), hash(n))
			all = append(all, err == nil)
			err = e.do(func(tx store.Tx) error { _, err := tx.Session(hash(n)); return err })
			all = append(all, err == nil)
			err = e.do(func(tx store.Tx) error { _, err := tx.ConsumePending(hash(n + 1)); return err })
			return append(all, err == nil)
		}
		if err := e.do(func(tx store.Tx) error { return tx.CreateUser(store.User{ID: "u", Email: "alice@example.com"}) }); err != nil {
			e.Fatal(err)
		}
		e.clock.SetTime(start.Add(jump))
		if err := open(1); err != nil {
			e.Fatal(err)
		}
		e.clock.SetTime(start)
		same(e.T, "what was given out ahead", found(1), []bool{false, false, false, false})
		if err := open(3); err != nil {
			e.Fatal(err)
		}
		e.clock.SetTime(start.Add(-store.ClockSlack))
		same(e.T, "by a replica whose clock is a little behind", found(3), []bool{true, true, true, true})
	})
}

// TestNothingIsRemovedByAClockThatIsAhead: on PostgreSQL one replica's clock decides nothing, and wherever the clock has not run evenly what people would miss stays.
func TestNothingIsRemovedByAClockThatIsAhead(t *testing.T) {
	eachJump(t, func(e *auditEnv, jump time.Duration) {
		now := time.Now() // PostgreSQL's clock cannot be set
		e.clock.SetTime(now)
		err := e.do(func(tx store.Tx) error {
			return errors.Join(tx.CreateUser(store.User{ID: "u", Email: "alice@example.com"}), tx.RememberAssertion("a", "_1", now.Add(5*time.Minute)),
				tx.CreateSession(store.Session{TokenHash: hash(1), UserID: "u", CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(9 * time.Minute), IdleTimeout: time.Minute}))
		})
		if err != nil {
			e.Fatal(err)
		}
		e.write(5, audit.TypeUserSignedInSAML)
		e.clock.SetTime(now.Add(2 * time.Minute))
		if err := e.db.SealAudit(e.Context(), false); err != nil {
			e.Fatal(err)
		}
		postgres := strings.HasPrefix(e.url, "postgres")
		e.clock.SetTime(now.Add(jump))
		if n, err := e.db.Sweep(e.Context(), postgres); err != nil || n != 0 {
			e.Errorf("%d rows swept, %v", n, err)
		}
		if postgres {
			if n, err := e.db.ApplyAuditRetention(e.Context(), e.clock.Now().Add(-time.Minute), 0); err != nil || n != 0 {
				e.Errorf("%d records removed, %v", n, err)
			}
		}
		e.clock.SetTime(now.Add(3 * time.Minute))
		if _, err := e.db.SessionByHash(e.Context(), hash(1)); err != nil {
			e.Errorf("the session: %v", err)
		}
		if err := e.do(func(tx store.Tx) error { return tx.RememberAssertion("a", "_1", now.Add(5*time.Minute)) }); !errors.Is(err, store.ErrReplayed) {
			e.Errorf("an assertion was forgotten: %v", err)
		}
	})
}

// TestIdleTimeIsCountedAnewAfterTheClockWasAhead: what was seen ahead is set right by the next request.
func TestIdleTimeIsCountedAnewAfterTheClockWasAhead(t *testing.T) {
	eachJump(t, func(e *auditEnv, jump time.Duration) {
		err := e.do(func(tx store.Tx) error {
			return errors.Join(tx.CreateUser(store.User{ID: "u", Email: "alice@example.com"}),
				tx.CreateSession(store.Session{TokenHash: hash(1), UserID: "u", CreatedAt: start, LastSeenAt: start, ExpiresAt: start.Add(2 * jump)}))
		})
		for _, at := range []time.Time{start.Add(jump), start.Add(time.Minute)} {
			err = errors.Join(err, e.db.TouchSessions(e.Context(), []store.Touch{{Hash: hash(1), At: at}}))
		}
		if err != nil {
			e.Fatal(err)
		}
		got, err := e.db.SessionByHash(e.Context(), hash(1))
		same(e.T, "last seen", []any{got.LastSeenAt, err}, []any{start.Add(time.Minute), nil})
	})
}

// TestDeliveryGoesOnAfterAClockWasAhead: the lease of a process that died is over by any other's clock, and checkpoints are made.
func TestDeliveryGoesOnAfterAClockWasAhead(t *testing.T) {
	eachJump(t, func(e *auditEnv, jump time.Duration) {
		if err := e.db.RegisterSink(e.Context(), "siem"); err != nil {
			e.Fatal(err)
		}
		deliver := func() (sent int) {
			e.Helper()
			_, err := e.db.Deliver(e.Context(), "siem", 0, func(_ context.Context, lines []store.AuditLine) error { sent += len(lines); return nil })
			if err != nil {
				e.Fatal(err)
			}
			return sent
		}
		seal := func() {
			e.Helper()
			if err := e.db.SealAudit(e.Context(), false); err != nil {
				e.Fatal(err)
			}
		}
		e.write(2, audit.TypeUserSignedInSAML)
		e.clock.SetTime(start.Add(jump))
		e.write(2, audit.TypeUserSignedInSAML)
		seal()
		if deliver() == 0 {
			e.Fatal("nothing was delivered")
		}
		if err := e.db.Close(); err != nil {
			e.Fatal(err)
		}
		e.clock.SetTime(start.Add(2 * time.Minute))
		e.db = storetest.Open(e.T, e.url, store.Options{Clock: e.clock, Signer: signer(e), AuditWriter: "next"})
		e.write(3, audit.TypeUserSignedInSAML)
		same(e.T, "delivered by the next process", deliver(), 3)
		e.clock.Step(audit.CheckpointInterval)
		seal()
		if r := e.verify(); !r.OK() {
			e.Errorf("%+v", r.Findings)
		}
	})
}

// TestChainsStaySealedWhateverTheClockDoes writes with one process over jumps in both directions.
func TestChainsStaySealedWhateverTheClockDoes(t *testing.T) {
	eachJump(t, func(e *auditEnv, jump time.Duration) {
		checkpoints := func() int {
			e.Helper()
			lines, _, err := e.db.Audit(e.Context(), store.AuditQuery{Types: []audit.Type{audit.TypeAuditCheckpoint}})
			if err != nil {
				e.Fatal(err)
			}
			return len(lines)
		}
		made := 0
		for _, at := range []time.Time{start, start.Add(jump), start.Add(-jump), start} {
			e.clock.SetTime(at)
			e.write(2, audit.TypeUserSignedInSAML)
			e.clock.Step(audit.CheckpointInterval)
			if err := e.db.SealAudit(e.Context(), false); err != nil {
				e.Fatal(err)
			}
			if n := checkpoints(); n <= made {
				e.Errorf("no checkpoint by %s", at)
			} else {
				made = n
			}
		}
		if r := e.verify(); !r.OK() {
			e.Errorf("%+v", r.Findings)
		}
	})
}
