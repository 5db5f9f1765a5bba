package replicas

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/sallyport/test/internal/await"
)

// stall is how long a check may wait for its answer: a machine with other work to do stands still for some seconds.
const stall = 15 * time.Second

// load is a steady load: at each front somebody who is signed in is checked 50 times a second, and people sign in one after the other.
type load struct {
	finish chan struct{}
	people sync.WaitGroup
	checks atomic.Int64

	// checked are the browsers of those who are checked.
	checked []*browser

	mutex  sync.Mutex
	failed []string
	// longest is how long somebody's checks had no answer.
	longest      time.Duration
	acknowledged map[string]bool
	// lanes count who was acknowledged at each front.
	lanes      []int
	turnedAway []turnedAway
	excuses    []*excuse
}

// turnedAway is a sign-in that did not end where it began.
type turnedAway struct {
	email        string
	began, ended time.Time
	last         answer
}

// excuse is a time in which sign-ins may end with a status, as docs/failure-modes.md says. It lasts while until is zero.
type excuse struct {
	status      int
	from, until time.Time
}

func (e *excuse) explains(s turnedAway) bool {
	return s.last.status == e.status && s.ended.After(e.from) && (e.until.IsZero() || s.began.Before(e.until))
}

func (r *rig) load(fronts ...*front) *load {
	r.t.Helper()
	l := &load{finish: make(chan struct{}), acknowledged: map[string]bool{}, lanes: make([]int, len(fronts))}
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
	for answered := time.Now(); !l.ended(); time.Sleep(20 * time.Millisecond) {
		l.checks.Add(1)
		code := alice.ask()
		l.mutex.Lock()
		if code != http.StatusOK {
			l.failed = append(l.failed, fmt.Sprintf("status %d", code))
		} else {
			l.longest = max(l.longest, time.Since(answered))
			answered = time.Now()
		}
		l.mutex.Unlock()
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
		b := r.browserAt(f)
		b.Timeout = time.Minute // a machine that stands still turns nobody away
		began := time.Now()
		if last := b.tryToSignIn(email); last.location == appURL {
			l.mutex.Lock()
			l.acknowledged[email] = true
			l.lanes[lane]++
			l.mutex.Unlock()
		} else {
			l.mutex.Lock()
			l.turnedAway = append(l.turnedAway, turnedAway{email, began, time.Now(), last})
			l.mutex.Unlock()
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// mayFail lets sign-ins end with this status, 0 where nobody answers, from now until what it returns is called.
func (l *load) mayFail(status int) (noLonger func()) {
	e := &excuse{status: status, from: time.Now()}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.excuses = append(l.excuses, e)
	return func() {
		l.mutex.Lock()
		defer l.mutex.Unlock()
		e.until = time.Now()
	}
}

// unexplained are the sign-ins that failed without an excuse.
func (l *load) unexplained() (all []string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, s := range l.turnedAway {
		if !slices.ContainsFunc(l.excuses, func(e *excuse) bool { return e.explains(s) }) {
			all = append(all, fmt.Sprintf("%s, %s after it began: status %d, %q %s", s.email, s.ended.Sub(s.began).Round(time.Millisecond), s.last.status, s.last.location, s.last.body))
		}
	}
	return all
}

// figures are the checks so far and those that failed, the sign-ins that were acknowledged and those that were not, and how long somebody's checks had no answer.
type figures struct {
	checks, failed, acknowledged, turnedAway int
	longest                                  time.Duration
}

func (l *load) figures() figures {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return figures{int(l.checks.Load()), len(l.failed), len(l.acknowledged), len(l.turnedAway), l.longest}
}

// during is what came to pass while something was done.
func (l *load) during(do func()) figures {
	l.mutex.Lock()
	ever := l.longest
	l.longest = 0
	l.mutex.Unlock()
	before := l.figures()
	do()
	after := l.figures()
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.longest = max(l.longest, ever)
	return figures{after.checks - before.checks, after.failed - before.failed, after.acknowledged - before.acknowledged, after.turnedAway - before.turnedAway, after.longest}
}

// signedIn waits until in every lane so many more people were told that they are signed in, or one was turned away without an excuse. The second of them began after the call.
func (l *load) signedIn(t *testing.T, more int) {
	t.Helper()
	count := func() []int {
		l.mutex.Lock()
		defer l.mutex.Unlock()
		return slices.Clone(l.lanes)
	}
	for lane, before := range count() {
		await.Until(t, fmt.Sprintf("%d more people are signed in", more), func() bool { return count()[lane] >= before+more || len(l.unexplained()) > 0 })
	}
	if len(l.unexplained()) > 0 {
		l.holds(t)
		t.FailNow()
	}
}

func (l *load) stop() {
	if !l.ended() {
		close(l.finish)
	}
	l.people.Wait()
}

// holds that no check has failed so far, and nobody was turned away without an excuse.
func (l *load) holds(t *testing.T) {
	t.Helper()
	l.mutex.Lock()
	failed, longest := slices.Clone(l.failed), l.longest
	l.mutex.Unlock()
	if len(failed) > 0 {
		t.Errorf("%d of %d checks failed: %s", len(failed), l.checks.Load(), failed[0])
	}
	if longest > stall {
		t.Errorf("for %s no check was answered", longest)
	}
	if bad := l.unexplained(); len(bad) > 0 {
		t.Errorf("%d people could not sign in:\n%s", len(bad), strings.Join(bad[:min(len(bad), 5)], "\n"))
	}
}

// end returns how many checks there were, and who was told to be signed in, where everything holds.
func (l *load) end(t *testing.T) (checks int64, acknowledged map[string]bool) {
	t.Helper()
	l.stop()
	l.holds(t)
	return l.checks.Load(), l.acknowledged
}
