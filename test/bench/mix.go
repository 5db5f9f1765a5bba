package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sallyport.dev/sallyport/internal/snapshot"
)

// mixSuite is run by name only: `-only mix -mix 10m`.
func init() {
	suites = append(suites, suite{"mix", "Checks with sign-ins, sign-outs, suspensions, snapshot changes and bad cookies mixed in: wrong answers", mixSuite})
}

// mix is one run. Every worker knows what each of its answers has to be.
type mix struct {
	ours *serviceProviderProcess
	end  time.Time

	checks, signIns, suspensions, snapshots atomic.Int64
	mu                                      sync.Mutex
	wrong                                   []string
}

// mixSuite counts wrong answers: an allowed request that is denied, or the reverse.
func mixSuite(ctx context.Context, o options) ([]Result, error) {
	if o.mix == 0 {
		return nil, nil
	}
	ours, err := startServiceProvider(ctx, manySessions, 20_000)
	if err != nil {
		return nil, err
	}
	defer ours.stop()
	m := &mix{ours: ours, end: time.Now().Add(o.mix)}
	memory := make(chan []float64, 1)
	go m.watchMemory(memory)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() { m.hold("somebody who is signed in", http.StatusOK, inTurns(ours.people.many)) })
	}
	workers.Go(func() { m.hold("a cookie that nobody has", http.StatusUnauthorized, unknownCookie) })
	for i := range 2 {
		workers.Go(func() { m.comeAndGo(fmt.Sprintf("guest-%d@acme.example", i)) })
	}
	workers.Go(func() { m.suspend("carol@acme.example") })
	workers.Go(func() { m.change() })
	workers.Wait()
	for _, w := range m.wrong {
		fmt.Fprintln(os.Stderr, "bench: wrong:", w)
	}
	seen := <-memory
	results := []Result{
		{Name: "wrong answers", Value: float64(len(m.wrong)), Unit: ""},
		{Name: "checks", Value: float64(m.checks.Load()), Unit: ""},
		{Name: "sign-ins with sign-out", Value: float64(m.signIns.Load()), Unit: ""},
		{Name: "suspensions", Value: float64(m.suspensions.Load()), Unit: ""},
		{Name: "snapshot changes", Value: float64(m.snapshots.Load()), Unit: ""},
	}
	if n := len(seen); n > 4 {
		early, late := slices.Max(seen[n/4:n/2]), slices.Max(seen[n*3/4:])
		results = append(results, Result{Name: "memory, last quarter", Value: late / (1 << 20), Unit: "MiB", Against: "the second quarter", Ratio: late / early})
	}
	if len(m.wrong) > 0 {
		return results, fmt.Errorf("%d wrong answers, the first: %s", len(m.wrong), m.wrong[0])
	}
	return results, nil
}

func (m *mix) watchMemory(out chan<- []float64) {
	var seen []float64
	for time.Now().Before(m.end) {
		seen = append(seen, m.ours.memory())
		time.Sleep(time.Second)
	}
	out <- seen
}

func (m *mix) fail(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.wrong) < 100 {
		m.wrong = append(m.wrong, time.Now().UTC().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
}

// hold asks the same kind of question to the end, on one connection.
func (m *mix) hold(what string, want int, next func() []byte) {
	s, err := load{Address: m.ours.address, Next: next, Status: want, Connections: 1, Duration: time.Until(m.end), Every: 2 * time.Millisecond}.run()
	m.checks.Add(int64(s.Requests))
	if err != nil {
		m.fail("%s: %v", what, err)
	}
}

// comeAndGo signs in, is let in, signs out and is kept out, again and again.
func (m *mix) comeAndGo(email string) {
	for time.Now().Before(m.end) {
		v := newVisitor(m.ours)
		if err := v.signIn(email); err != nil {
			m.fail("%s signs in: %v", email, err)
			return
		}
		m.expect(v, email+", just signed in", http.StatusOK)
		old := v.cookie
		if err := v.signOut(); err != nil {
			m.fail("%s signs out: %v", email, err)
			return
		}
		v.cookie = old
		m.expect(v, email+", just signed out", http.StatusUnauthorized)
		m.signIns.Add(1)
	}
}

func (m *mix) expect(v *visitor, who string, want int) {
	got, err := v.check()
	m.checks.Add(1)
	if err != nil || got != want {
		m.fail("%s gets %d (%v), not %d", who, got, err, want)
	}
}

// suspend signs somebody in, suspends them, and looks that their session ends within two seconds.
func (m *mix) suspend(email string) {
	for time.Now().Before(m.end) {
		v := newVisitor(m.ours)
		if err := v.signIn(email); err != nil {
			m.fail("%s signs in: %v", email, err)
			return
		}
		m.expect(v, email+", not suspended", http.StatusOK)
		if err := v.manage("/v1/users/"+email+"/suspend", `{"reason":"benchmark"}`); err != nil {
			m.fail("suspending %s: %v", email, err)
			return
		}
		for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if got, err := v.check(); err == nil && got == http.StatusUnauthorized {
				break
			}
			if time.Now().After(deadline) {
				m.fail("%s is let in 2 s after being suspended", email)
				break
			}
		}
		if err := v.manage("/v1/users/"+email+"/resume", ""); err != nil {
			m.fail("resuming %s: %v", email, err)
			return
		}
		m.suspensions.Add(1)
	}
}

// change puts a new snapshot into service every second.
func (m *mix) change() {
	for i := 1; time.Now().Before(m.end); i++ {
		s := benchSnapshot()
		s.ServiceProvider.Generation = int64(i)
		s.ServiceProvider.AllowedHosts = append(s.ServiceProvider.AllowedHosts, fmt.Sprintf("app-%d.example.com", i))
		encoded, err := snapshot.Encode(s)
		if err == nil {
			err = replace(m.ours.dir, encoded.Files)
		}
		if err != nil {
			m.fail("changing the snapshot: %v", err)
			return
		}
		m.snapshots.Add(1)
		time.Sleep(time.Second)
	}
}

// replace renames every file into its place, those of the shards before the one that names them.
func replace(dir string, files map[string][]byte) error {
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range files {
			if !yield(name) {
				return
			}
		}
	})
	slices.SortStableFunc(names, func(a, b string) int { return strings.Compare(b, a) })
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name+".new"), files[name], 0o600); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}
