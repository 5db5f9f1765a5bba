package ration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"sallyport.dev/sallyport/internal/audit"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// log is the audit log. down makes it take nothing.
type log struct {
	mu      sync.Mutex
	records []audit.Record
	down    bool
}

func (l *log) write(_ context.Context, records ...audit.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return errors.New("down")
	}
	l.records = append(l.records, records...)
	return nil
}

// of is how many records of a reason were written one by one, and how many more were counted.
func (l *log) of(reason string) (single, counted int) {
	for _, r := range l.records {
		switch d, ok := r.Details.(audit.RefusalCount); {
		case r.Reason != reason:
		case ok:
			counted += d.Count
		default:
			single++
		}
	}
	return single, counted
}

func refusal(idp, reason string) audit.Record {
	return audit.Record{Type: audit.TypeSAMLAssertionFailed, Outcome: audit.OutcomeFailure, Reason: reason, Request: "7K2M-9QXT",
		Actor:  audit.Actor{Kind: audit.ActorIdP, ID: idp, IP: "192.0.2.7", UserAgent: "curl"},
		Target: audit.Target{Kind: "IdentityProvider", Namespace: "sso", Name: idp, UID: "uid-" + idp}}
}

func newLog() (*Log, *log, *testclock.FakeClock) {
	clock, to := testclock.NewFakeClock(noon), &log{}
	return New(clock, to.write, nil), to, clock
}

func record(t *testing.T, l *Log, n int, r audit.Record) {
	t.Helper()
	for range n {
		if err := l.Record(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

func flush(t *testing.T, l *Log, closing bool) {
	t.Helper()
	if err := l.Flush(t.Context(), closing); err != nil {
		t.Fatal(err)
	}
}

func (l *log) want(t *testing.T, reason string, single, counted int) {
	t.Helper()
	if s, c := l.of(reason); s != single || c != counted {
		t.Errorf("%s: %d written one by one and %d counted, want %d and %d", reason, s, c, single, counted)
	}
}

func TestAFloodIsCountedAndNothingElseIs(t *testing.T) {
	l, to, clock := newLog()
	record(t, l, 5000, refusal("okta", "malformed"))
	clock.Step(30 * time.Second)
	record(t, l, 1, refusal("okta", "malformed"))
	record(t, l, 1, refusal("okta", "expired"))
	record(t, l, 1, refusal("entra", "malformed"))
	record(t, l, 1, audit.Record{Type: audit.TypeManagementDenied, Outcome: audit.OutcomeDenied, Reason: "no_valid_token", Target: audit.Target{Kind: "Path", Name: "/v1/users"}})
	flush(t, l, false)
	to.want(t, "malformed", eachBurst+1, 5001-eachBurst)
	to.want(t, "expired", 1, 0)
	to.want(t, "no_valid_token", 1, 0)
	last := to.records[len(to.records)-1]
	want := audit.Record{Type: audit.TypeRefusalsCounted, Outcome: audit.OutcomeFailure, Reason: "malformed", Actor: audit.Actor{Kind: audit.ActorIdP, ID: "okta"},
		Target:  audit.Target{Kind: "IdentityProvider", Namespace: "sso", Name: "okta", UID: "uid-okta"},
		Details: audit.RefusalCount{Type: "saml_assertion_failed", IdP: "okta", IdPUID: "uid-okta", Count: 5001 - eachBurst, First: "2026-11-23T12:00:00Z", Last: "2026-11-23T12:00:30Z"}}
	if fmt.Sprint(last) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", last, want)
	}

	// Nothing was counted since, so nothing is said. One more a minute is written again, and after a long time as many as at first.
	n := len(to.records)
	flush(t, l, false)
	if len(to.records) != n {
		t.Errorf("%+v", to.records[n:])
	}
	clock.Step(eachEvery)
	record(t, l, 2, refusal("okta", "malformed"))
	flush(t, l, false)
	to.want(t, "malformed", eachBurst+2, 5002-eachBurst)
	clock.Step(24 * time.Hour)
	record(t, l, eachBurst, refusal("okta", "malformed"))
	to.want(t, "malformed", 2*eachBurst+2, 5002-eachBurst)
}

func TestAllOfItIsBounded(t *testing.T) {
	l, to, clock := newLog()
	const idps = maxKinds + 500
	for i := range idps {
		record(t, l, 1, refusal(fmt.Sprint(i), "malformed"))
	}
	if single, _ := to.of("malformed"); single != allBurst {
		t.Errorf("%d were written one by one, want %d", single, allBurst)
	}
	if n := len(l.kinds); n > maxKinds+1 {
		t.Errorf("%d kinds are known", n)
	}
	before := len(to.records)
	flush(t, l, false)
	if got := len(to.records) - before; got != summariesAtOnce {
		t.Errorf("%d summaries at once", got)
	}
	// At the end everything is said: of the IdPs that did not fit, in one record.
	flush(t, l, true)
	to.want(t, "malformed", allBurst, idps-allBurst)
	without := slices.IndexFunc(to.records, func(r audit.Record) bool { return r.Target.Kind == "" })
	if without < 0 || to.records[without].Details.(audit.RefusalCount).Count != 500 {
		t.Errorf("what did not fit: %d", without)
	}
	clock.Step(24 * time.Hour)
	flush(t, l, false)
	if len(l.kinds) != 0 {
		t.Errorf("%d kinds are known after a quiet day", len(l.kinds))
	}
}

func TestWhatTheStoreDoesNotTakeIsSaidLater(t *testing.T) {
	l, to, clock := newLog()
	record(t, l, eachBurst+10, refusal("okta", "malformed"))
	to.down = true
	if l.Flush(t.Context(), false) == nil {
		t.Error("no error")
	}
	clock.Step(time.Minute)
	if l.Record(t.Context(), refusal("okta", "malformed")) == nil {
		t.Error("no error")
	}
	record(t, l, 5, refusal("okta", "malformed"))
	to.down = false
	flush(t, l, false)
	to.want(t, "malformed", eachBurst, 16) // the one that the store did not take among them
	if d := to.records[len(to.records)-1].Details.(audit.RefusalCount); d.First != "2026-11-23T12:00:00Z" || d.Last != "2026-11-23T12:01:00Z" {
		t.Errorf("%+v", d)
	}
}

// TestWhoHangsUpIsRecorded: the request's context has ended.
func TestWhoHangsUpIsRecorded(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	written := 0
	l := New(testclock.NewFakeClock(noon), func(ctx context.Context, records ...audit.Record) error {
		written += len(records)
		return ctx.Err()
	}, nil)
	if err := l.Record(gone, refusal("okta", "malformed")); err != nil || written != 1 {
		t.Errorf("%d written: %v", written, err)
	}
}

// TestManyAtOnceAreCountedExactly runs with the race detector too.
func TestManyAtOnceAreCountedExactly(t *testing.T) {
	l, to, _ := newLog()
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for i := range 2000 {
				if err := l.Record(context.Background(), refusal(fmt.Sprint(i%3), "malformed")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 50 {
		flush(t, l, false)
	}
	running.Wait()
	flush(t, l, true)
	if single, counted := to.of("malformed"); single != 3*eachBurst || single+counted != 16000 {
		t.Errorf("%d and %d", single, counted)
	}
}
