package replicas

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/store/storetest"
	"sallyport.dev/sallyport/test/internal/await"
)

// failoverTime is how long after the promotion of the standby every pod must be ready again, and sign people in.
const failoverTime = 15 * time.Second

// TestPostgreSQLFailsOver kills the primary of two servers under two processes that check and sign people in, and promotes the standby. No check fails, nothing that
// was acknowledged is lost, and the processes find the new primary by themselves: the URI names both.
func TestPostgreSQLFailsOver(t *testing.T) {
	pair, storeURL := storetest.PairFor(t)
	r := newRig(t, storeURL)
	replicas := []*replica{r.start(), r.start()}
	var fronts []*front
	for _, p := range replicas {
		fronts = append(fronts, &front{pods: []*replica{p}})
	}
	load := r.load(fronts...)
	load.signedIn(t, 5)

	if err := pair.KillPrimary(); err != nil {
		t.Fatal(err)
	}
	for _, p := range replicas {
		await.Until(t, "readiness tells that the store is away", func() bool { return p.probe("/readyz") == http.StatusServiceUnavailable })
	}
	if err := pair.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	promoted := time.Now()
	for _, p := range replicas {
		await.Until(t, "the replica is ready again", func() bool { return p.probe("/readyz") == http.StatusOK })
	}
	took := time.Since(promoted)
	if took > failoverTime {
		t.Errorf("ready %s after the promotion, and not within %s", took, failoverTime)
	}
	load.signedIn(t, 5)
	checks, acknowledged := load.end(t)
	db := r.store()
	users := r.holdsTogether(db, acknowledged)
	r.verifyAudit(db)
	t.Logf("%d checks, 0 failed; %d sign-ins acknowledged, 0 lost, of %d users; ready %s after the promotion", checks, len(acknowledged), len(users), took.Round(time.Millisecond))
}

// load is a steady load: at each front somebody who is signed in is checked 50 times a second, and people sign in one after the other.
type load struct {
	finish chan struct{}
	people sync.WaitGroup
	checks atomic.Int64

	// checked are the browsers of those who are checked.
	checked []*browser

	mutex        sync.Mutex
	failed       []string
	acknowledged map[string]bool
}

func (r *rig) load(fronts ...*front) *load {
	r.t.Helper()
	l := &load{finish: make(chan struct{}), acknowledged: map[string]bool{}}
	for i, f := range fronts {
		email := fmt.Sprintf("alice-%d@acme.example", i)
		alice := r.browserAt(f)
		if !alice.signIn(email) || alice.ask() != http.StatusOK {
			r.t.Fatal("alice is not signed in")
		}
		l.acknowledged[email] = true
		l.checked = append(l.checked, alice)
		l.people.Go(func() { l.check(alice) })
		l.people.Go(func() { l.signIn(r, f, i) })
	}
	r.t.Cleanup(l.stop)
	return l
}

func (l *load) ended() bool {
	select {
	case <-l.finish:
		return true
	default:
		return false
	}
}

func (l *load) check(alice *browser) {
	for ; !l.ended(); time.Sleep(20 * time.Millisecond) {
		l.checks.Add(1)
		if code := alice.ask(); code != http.StatusOK {
			l.mutex.Lock()
			l.failed = append(l.failed, fmt.Sprintf("status %d", code))
			l.mutex.Unlock()
		}
	}
}

// known has every replica asked about everybody who is checked: without a store one answers for those alone that it knows.
func (l *load) known(t *testing.T, replicas []*replica) {
	t.Helper()
	for _, p := range replicas {
		for _, alice := range l.checked {
			there := *alice.Client
			there.Transport = &front{pods: []*replica{p}}
			if code := (&browser{rig: alice.rig, Client: &there}).ask(); code != http.StatusOK {
				t.Fatalf("a check before the fault: status %d", code)
			}
		}
	}
}

func (l *load) signIn(r *rig, f *front, lane int) {
	for n := 0; !l.ended(); n++ {
		email := fmt.Sprintf("user-%d-%d@acme.example", lane, n)
		if r.browserAt(f).signIn(email) {
			l.mutex.Lock()
			l.acknowledged[email] = true
			l.mutex.Unlock()
		} else {
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// figures are the checks so far, those that failed, and the sign-ins that were acknowledged.
func (l *load) figures() (checks, failed, acknowledged int) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return int(l.checks.Load()), len(l.failed), len(l.acknowledged)
}

// signedIn waits until so many more people were told that they are signed in.
func (l *load) signedIn(t *testing.T, more int) {
	t.Helper()
	count := func() int {
		l.mutex.Lock()
		defer l.mutex.Unlock()
		return len(l.acknowledged)
	}
	before := count()
	await.Until(t, fmt.Sprintf("%d more people are signed in", more), func() bool { return count() >= before+more })
}

func (l *load) stop() {
	if !l.ended() {
		close(l.finish)
	}
	l.people.Wait()
}

// end returns how many checks there were, and who was told to be signed in. No check may have failed.
func (l *load) end(t *testing.T) (checks int64, acknowledged map[string]bool) {
	t.Helper()
	l.stop()
	if len(l.failed) > 0 {
		t.Errorf("%d of %d checks failed: %s", len(l.failed), l.checks.Load(), l.failed[0])
	}
	return l.checks.Load(), l.acknowledged
}
