package store_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
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

func signer(t testing.TB) *audit.Signer {
	t.Helper()
	s, err := audit.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type auditEnv struct {
	*testing.T
	db    *store.DB
	clock *testclock.FakeClock
	url   string
}

func eachAudit(t *testing.T, run func(e *auditEnv)) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		clock := testclock.NewFakeClock(start)
		run(&auditEnv{t, storetest.Open(t, storeURL, store.Options{Clock: clock, Signer: signer(t)}), clock, storeURL})
	})
}

func (e *auditEnv) write(n int, t audit.Type) {
	e.Helper()
	for range n {
		if err := e.db.WriteAudit(e.Context(), audit.Record{Type: t, Actor: audit.Actor{Kind: audit.ActorUser, Email: "alice@example.com"}, Target: audit.Target{Kind: "IdentityProvider", Name: "okta"}, Request: "R"}); err != nil {
			e.Fatal(err)
		}
	}
}

// export is the whole log, writer by writer, as `audit verify` reads it.
func (e *auditEnv) export() []byte {
	e.Helper()
	heads, err := e.db.AuditHeads(e.Context())
	if err != nil {
		e.Fatal(err)
	}
	var out bytes.Buffer
	for _, h := range heads {
		after := uint64(0)
		for {
			lines, err := e.db.AuditChain(e.Context(), h.Writer, after, 500)
			if err != nil {
				e.Fatal(err)
			}
			if len(lines) == 0 {
				break
			}
			for _, l := range lines {
				out.Write(l.Line)
				out.WriteByte('\n')
				after = l.Sequence
			}
		}
	}
	return out.Bytes()
}

func (e *auditEnv) verify() *audit.Report {
	e.Helper()
	heads, err := e.db.AuditHeads(e.Context())
	if err != nil {
		e.Fatal(err)
	}
	r, err := audit.Verify(bytes.NewReader(e.export()), audit.VerifyOptions{Keys: []ed25519.PublicKey{signer(e).Public()}, Whole: true, Beginning: true, Heads: heads})
	if err != nil {
		e.Fatal(err)
	}
	return r
}

// TestAStoreThatStoodStillVerifies: whoever wrote last was killed days ago, or the store comes from a backup of then. The first checkpoint of the next process
// vouches for the ends that it finds.
func TestAStoreThatStoodStillVerifies(t *testing.T) {
	eachAudit(t, func(e *auditEnv) {
		e.write(3, audit.TypeUserSignedInSAML)
		_ = e.db.Close()
		e.clock.Step(48 * time.Hour)
		e.db = storetest.Open(e.T, e.url, store.Options{Clock: e.clock, AuditWriter: "next", Signer: signer(e)})
		if e.verify().OK() {
			e.Error("an end that nobody vouches for is taken")
		}
		e.write(1, audit.TypeUserSignedInSAML)
		e.clock.Step(audit.CheckpointInterval)
		if err := e.db.SealAudit(e.Context(), false); err != nil {
			e.Fatal(err)
		}
		if r := e.verify(); !r.OK() {
			e.Errorf("%+v", r.Findings)
		}
	})
}

func TestAuditChainsVerifyUnderConcurrency(t *testing.T) {
	eachAudit(t, func(e *auditEnv) {
		var group sync.WaitGroup
		for w := range 8 {
			group.Go(func() {
				for i := range 60 {
					err := e.db.Do(e.Context(), func(tx store.Tx) error {
						if i%7 == 3 {
							_ = tx.AppendAudit(audit.Record{Type: audit.TypeUserSignedOut})
							return errors.New("rolled back")
						}
						return tx.AppendAudit(slices.Repeat([]audit.Record{{Type: audit.TypeUserSignedInSAML, Reason: fmt.Sprint(w, i)}}, 1+i%5)...)
					})
					if err != nil && err.Error() != "rolled back" {
						e.Error(err)
					}
				}
			})
		}
		group.Wait()
		if err := e.db.SealAudit(e.Context(), true); err != nil {
			e.Fatal(err)
		}
		r := e.verify()
		if !r.OK() || r.Checkpoints == 0 {
			e.Errorf("%+v", r)
		}
		if strings.Contains(string(e.export()), "user_signed_out") {
			e.Error("a record of a transaction that was rolled back is there")
		}
	})
}

func TestAuditGoesOnAfterARestart(t *testing.T) {
	eachAudit(t, func(e *auditEnv) {
		e.write(3, audit.TypeUserSignedInSAML)
		if err := e.db.Close(); err != nil {
			e.Fatal(err)
		}
		e.db = storetest.Open(e.T, e.url, store.Options{Clock: e.clock, Signer: signer(e)})
		e.write(3, audit.TypeUserSignedInSAML)
		if err := e.db.SealAudit(e.Context(), true); err != nil {
			e.Fatal(err)
		}
		if r := e.verify(); !r.OK() {
			e.Errorf("%+v", r)
		}
	})
}

// TestTwoProcessesOfOneName: an old pod that still drains and its successor write the same chains, in order.
func TestTwoProcessesOfOneName(t *testing.T) {
	storeURL := storetest.PostgresURL(t)
	clock := testclock.NewFakeClock(start)
	e := &auditEnv{t, nil, clock, storeURL}
	var group sync.WaitGroup
	for range 3 {
		db := storetest.Open(t, storeURL, store.Options{Clock: clock, Signer: signer(t), AuditWriter: "same"})
		e.db = db
		for range 4 {
			group.Go(func() {
				for range 40 {
					if err := db.WriteAudit(context.Background(), audit.Record{Type: audit.TypeUserSignedInSAML}); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	group.Wait()
	if err := e.db.SealAudit(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	r := e.verify()
	records := int64(0)
	for _, w := range r.Writers {
		records += int64(w.Last)
	}
	if !r.OK() || records-r.Checkpoints != 480 {
		t.Errorf("%+v", r)
	}
}

func TestCheckpointsByNumberAndTime(t *testing.T) {
	eachAudit(t, func(e *auditEnv) {
		if err := e.db.WriteAudit(e.Context(), slices.Repeat([]audit.Record{{Type: audit.TypeUserSignedInSAML}}, 2500)...); err != nil {
			e.Fatal(err)
		}
		if r := e.verify(); r.Checkpoints != 2 {
			e.Errorf("%d checkpoints for 2,500 records", r.Checkpoints)
		}
		seal := func(want int64) {
			e.Helper()
			if err := e.db.SealAudit(e.Context(), false); err != nil {
				e.Fatal(err)
			}
			if r := e.verify(); r.Checkpoints != want {
				e.Errorf("%d checkpoints, want %d", r.Checkpoints, want)
			}
		}
		seal(2)
		e.clock.Step(audit.CheckpointInterval)
		seal(3)
		e.clock.Step(audit.CheckpointInterval)
		seal(3)
		if r := e.verify(); !r.OK() {
			e.Errorf("%+v", r.Findings)
		}
	})
}

// TestTamperingInTheDatabaseIsFound changes rows as somebody with the database's password would.
func TestTamperingInTheDatabaseIsFound(t *testing.T) {
	for name, statement := range map[string]string{
		"changed":   `UPDATE audit_records SET line = REPLACE(line, 'alice@example.com', 'bob@example.com') WHERE sequence = 5`,
		"deleted":   `DELETE FROM audit_records WHERE sequence = 5`,
		"truncated": `DELETE FROM audit_records WHERE sequence > 8`,
	} {
		t.Run(name, func(t *testing.T) {
			eachAudit(t, func(e *auditEnv) {
				e.write(60, audit.TypeUserSignedInSAML)
				if err := e.db.SealAudit(e.Context(), true); err != nil {
					e.Fatal(err)
				}
				if r := e.verify(); !r.OK() {
					e.Fatalf("%+v", r.Findings)
				}
				if err := store.Exec(e.db, statement); err != nil {
					e.Fatal(err)
				}
				if r := e.verify(); r.OK() {
					e.Error("not found")
				}
			})
		})
	}
}

func TestAuditQuery(t *testing.T) {
	eachAudit(t, func(e *auditEnv) {
		for i := range 30 {
			e.clock.Step(time.Second)
			outcome := audit.OutcomeSuccess
			if i%3 == 0 {
				outcome = audit.OutcomeDenied
			}
			r := audit.Record{
				Type: audit.TypeUserSignedInSAML, Outcome: outcome, Actor: audit.Actor{Kind: audit.ActorUser, Email: fmt.Sprintf("user%d@example.com", i%2)}, Request: fmt.Sprintf("R%d", i),
				Details: audit.SignIn{IdP: []string{"okta", "adfs"}[i%2]},
			}
			if i == 7 {
				r.Type = audit.TypeUserSuspended
			}
			if err := e.db.WriteAudit(e.Context(), r); err != nil {
				e.Fatal(err)
			}
		}
		collect := func(q store.AuditQuery) (requests []string) {
			e.Helper()
			for {
				page, next, err := e.db.Audit(e.Context(), q)
				if err != nil {
					e.Fatal(err)
				}
				for _, l := range page {
					r, err := audit.ParseLine(l.Line)
					if err != nil {
						e.Fatal(err)
					}
					requests = append(requests, r.Request)
				}
				if q.Cursor = next; next == "" {
					return requests
				}
			}
		}
		all := collect(store.AuditQuery{Limit: 7})
		if len(all) != 30 || all[0] != "R0" || all[29] != "R29" {
			e.Errorf("all: %v", all)
		}
		newest := collect(store.AuditQuery{Limit: 7, NewestFirst: true})
		slices.Reverse(newest)
		same(e.T, "newest first", newest, all)
		same(e.T, "type", collect(store.AuditQuery{Types: []audit.Type{audit.TypeUserSuspended, audit.TypeUserResumed}}), []string{"R7"})
		same(e.T, "actor", len(collect(store.AuditQuery{Actor: "user1@example.com", Limit: 4})), 15)
		same(e.T, "IdP", len(collect(store.AuditQuery{IdP: "okta"})), 15)
		same(e.T, "outcome", len(collect(store.AuditQuery{Outcomes: []audit.Outcome{audit.OutcomeDenied}})), 10)
		same(e.T, "request", collect(store.AuditQuery{Request: "R12"}), []string{"R12"})
		same(e.T, "since and until", collect(store.AuditQuery{Since: start.Add(11 * time.Second), Until: start.Add(13 * time.Second)}), []string{"R10", "R11"})
		if _, _, err := e.db.Audit(e.Context(), store.AuditQuery{Cursor: "nonsense"}); !errors.Is(err, store.ErrCursor) {
			e.Errorf("a bad cursor: %v", err)
		}
	})
}

func TestSinksGetEverythingInOrderAtLeastOnce(t *testing.T) {
	eachAudit(t, func(e *auditEnv) {
		ctx := e.Context()
		if _, err := e.db.Deliver(ctx, "webhook", 10, nil); err == nil {
			e.Error("an unknown sink was delivered to")
		}
		e.write(3, audit.TypeUserSignedOut) // before the sink exists
		if err := errors.Join(e.db.RegisterSink(ctx, "webhook"), e.db.RegisterSink(ctx, "webhook")); err != nil {
			e.Fatal(err)
		}
		began := e.clock.Now()
		e.write(1, audit.TypeUserSignedInSAML)
		e.clock.Step(time.Minute)
		e.write(24, audit.TypeUserSignedInSAML)
		waiting, err := e.db.Outbox(ctx, "webhook")
		same(e.T, "outbox", []any{waiting.Records, waiting.Oldest.Sub(began).Truncate(time.Second), err}, []any{25, time.Duration(0), nil})
		got := map[string][]uint64{}
		fail := true
		send := func(_ context.Context, lines []store.AuditLine) error {
			if fail = !fail; fail {
				return errors.New("503")
			}
			for _, l := range lines {
				got[l.Writer] = append(got[l.Writer], l.Sequence)
				if strings.Contains(string(l.Line), "user_signed_out") {
					e.Error("a record from before the sink was delivered")
				}
			}
			return nil
		}
		for range 100 {
			if _, err := e.db.Deliver(ctx, "webhook", 4, send); err != nil && err.Error() != "503" {
				e.Fatal(err)
			}
			if waiting, _ := e.db.Outbox(ctx, "webhook"); waiting == (store.Backlog{}) {
				break
			}
		}
		total := 0
		for writer, sequences := range got {
			total += len(sequences)
			for i := 1; i < len(sequences); i++ {
				if sequences[i] != sequences[i-1]+1 {
					e.Errorf("%s: %v", writer, sequences)
					break
				}
			}
		}
		same(e.T, "delivered", total, 25)
		if n, err := e.db.Deliver(ctx, "webhook", 10, send); n != 0 || err != nil {
			e.Errorf("again: %d, %v", n, err)
		}
	})
}

// TestOneReplicaDeliversAtATime: the second gets its turn when the first is gone.
func TestOneReplicaDeliversAtATime(t *testing.T) {
	storeURL := storetest.PostgresURL(t)
	clock := testclock.NewFakeClock(start)
	a := storetest.Open(t, storeURL, store.Options{Clock: clock, AuditWriter: "a"})
	b := storetest.Open(t, storeURL, store.Options{Clock: clock, AuditWriter: "b"})
	if err := a.RegisterSink(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	write := func() {
		if err := a.WriteAudit(t.Context(), audit.Record{Type: audit.TypeUserSignedOut}); err != nil {
			t.Fatal(err)
		}
	}
	deliver := func(d *store.DB) int {
		n, err := d.Deliver(t.Context(), "s", 10, func(context.Context, []store.AuditLine) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	write()
	same(t, "a delivers", deliver(a), 1)
	write()
	same(t, "b waits", deliver(b), 0)
	clock.Step(31 * time.Second)
	same(t, "b takes over", deliver(b), 1)
	write()
	same(t, "a waits", deliver(a), 0)
}

func TestRetentionRemovesWholeSealedRanges(t *testing.T) {
	eachAudit(t, func(e *auditEnv) {
		if err := e.db.RegisterSink(e.Context(), "slow"); err != nil {
			e.Fatal(err)
		}
		for range 3 {
			e.write(50, audit.TypeUserSignedInSAML)
			e.clock.Step(24 * time.Hour)
			if err := e.db.SealAudit(e.Context(), false); err != nil {
				e.Fatal(err)
			}
		}
		apply := func() int {
			e.Helper()
			n, err := e.db.ApplyAuditRetention(e.Context(), start.Add(60*time.Hour), 0)
			if err != nil {
				e.Fatal(err)
			}
			return n
		}
		same(e.T, "what a sink still waits for stays", apply(), 0)
		if err := e.db.RemoveSink(e.Context(), "slow"); err != nil {
			e.Fatal(err)
		}
		// Two days are old enough. The checkpoint that seals them stays, as the signed beginning of what is left.
		if n := apply(); n < 100 || n > 110 {
			e.Errorf("%d removed", n)
		}
		same(e.T, "again", apply(), 0)
		if err := e.db.SealAudit(e.Context(), true); err != nil {
			e.Fatal(err)
		}
		if r := e.verify(); !r.OK() {
			e.Errorf("%+v", r.Findings)
		}
		lines, _, _ := e.db.Audit(e.Context(), store.AuditQuery{Types: []audit.Type{audit.TypeAuditRetentionApplied}})
		if len(lines) != 1 {
			e.Fatalf("%d records of the retention", len(lines))
		}
		var r struct{ Details audit.Retention }
		if err := json.Unmarshal(lines[0].Line, &r); err != nil || r.Details.Removed < 100 || len(r.Details.Through) == 0 {
			e.Errorf("%+v, %v", r, err)
		}
		e.cutAndRetain()
	})
}

// cutAndRetain cuts the beginning of a chain off as somebody with the database could, to the next checkpoint, and sets the table of the chains right: it is found, and
// later retention does not make it good.
func (e *auditEnv) cutAndRetain() {
	e.Helper()
	e.write(50, audit.TypeUserSignedInSAML)
	e.clock.Step(24 * time.Hour)
	if err := e.db.SealAudit(e.Context(), false); err != nil {
		e.Fatal(err)
	}
	heads, err := e.db.AuditHeads(e.Context())
	if err != nil {
		e.Fatal(err)
	}
	writer := heads[0].Writer
	seals, _, err := e.db.Audit(e.Context(), store.AuditQuery{Types: []audit.Type{audit.TypeAuditCheckpoint}})
	if err != nil {
		e.Fatal(err)
	}
	last := uint64(0)
	for _, l := range seals {
		if l.Writer == writer {
			last = max(last, l.Sequence)
		}
	}
	for _, statement := range []string{
		fmt.Sprintf(`DELETE FROM audit_records WHERE writer = '%s' AND sequence < %d`, writer, last),
		fmt.Sprintf(`UPDATE audit_writers SET first_sequence = %d WHERE writer = '%s'`, last, writer),
	} {
		if err := store.Exec(e.db, statement); err != nil {
			e.Fatal(err)
		}
	}
	cut := func() bool {
		return slices.ContainsFunc(e.verify().Findings, func(f audit.Finding) bool {
			return f.Kind == audit.FindingCut && f.Writer == writer && f.Sequence >= last
		})
	}
	if !cut() {
		e.Errorf("the cut is not found: %+v", e.verify().Findings)
	}
	e.write(5, audit.TypeUserSignedInSAML)
	e.clock.Step(400 * 24 * time.Hour)
	if err := e.db.SealAudit(e.Context(), false); err != nil {
		e.Fatal(err)
	}
	e.clock.Step(time.Hour)
	if n, err := e.db.ApplyAuditRetention(e.Context(), e.clock.Now(), 0); err != nil || n == 0 {
		e.Fatalf("%d removed, %v", n, err)
	}
	if !cut() {
		e.Errorf("retention has made the cut good: %+v", e.verify().Findings)
	}
}
