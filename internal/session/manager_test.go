package session_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// counting is a real store whose reads are counted, delayed or failed.
type counting struct {
	*store.DB
	reads, touches atomic.Int64
	mu             sync.Mutex
	fail           error
	before, after  func()
}

func (c *counting) SessionByHash(ctx context.Context, hash []byte) (store.Session, error) {
	c.reads.Add(1)
	c.mu.Lock()
	fail, before, after := c.fail, c.before, c.after
	c.mu.Unlock()
	if before != nil {
		before()
	}
	if fail != nil {
		return store.Session{}, fail
	}
	s, err := c.DB.SessionByHash(ctx, hash)
	if after != nil {
		after()
	}
	return s, err
}

func (c *counting) TouchSessions(ctx context.Context, touches []store.Touch) error {
	c.touches.Add(int64(len(touches)))
	return c.DB.TouchSessions(ctx, touches)
}

func (c *counting) set(fail error, before, after func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail, c.before, c.after = fail, before, after
}

type fixture struct {
	t       testing.TB
	clock   *testclock.FakeClock
	backend *counting
	manager *session.Manager
	stop    func()
}

func newFixture(t testing.TB, storeURL string, o session.Options) *fixture {
	clock := testclock.NewFakeClock(start)
	o.Clock = clock
	f := &fixture{t: t, clock: clock, backend: &counting{DB: storetest.Open(t, storeURL, store.Options{Clock: clock})}}
	var err error
	if f.manager, err = session.NewManager(f.backend, o); err != nil {
		t.Fatal(err)
	}
	f.run()
	return f
}

// run starts the manager and waits until it follows the store.
func (f *fixture) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = f.manager.Run(ctx) }()
	var once sync.Once
	f.stop = func() { once.Do(func() { cancel(); <-done }) }
	f.t.Cleanup(f.stop)
	f.eventually("the manager's ticker", f.clock.HasWaiters)
}

// eventually waits for something that another goroutine or process does.
func (f *fixture) eventually(what string, ok func() bool) {
	f.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			f.t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// add makes a user with a session and returns the cookie's value.
func (f *fixture) add(address string, change ...func(*store.Session)) string {
	f.t.Helper()
	token, key := session.NewToken()
	now := f.clock.Now()
	err := f.backend.Do(f.t.Context(), func(tx store.Tx) error {
		u, err := tx.UserByEmail(address)
		if errors.Is(err, store.ErrNotFound) {
			u = store.User{ID: address, Email: address, FirstName: "Alice", LastName: "Liddell", IdP: store.IdPRef{UID: "uid-okta", Name: "okta"}, CreatedAt: now, UpdatedAt: now}
			err = tx.CreateUser(u)
		}
		if err != nil {
			return err
		}
		if _, err := tx.SyncGroups(u.ID, u.IdP, store.GroupSync{Claimed: []string{"dev", "Sales, EMEA"}}); err != nil {
			return err
		}
		s := store.Session{TokenHash: key[:], UserID: u.ID, IdP: u.IdP, CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(12 * time.Hour), IdleTimeout: time.Hour}
		for _, c := range change {
			c(&s)
		}
		return tx.CreateSession(s)
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return token
}

func (f *fixture) expect(token string, want error) *session.Session {
	f.t.Helper()
	s, err := f.manager.Check(token)
	if !errors.Is(err, want) {
		f.t.Fatalf("got %v, %v, want %v", s, err, want)
	}
	return s
}

func (f *fixture) end(token string) {
	f.t.Helper()
	key, _ := session.KeyOf(token)
	if err := f.backend.Do(f.t.Context(), func(tx store.Tx) error {
		ended, err := tx.EndSessions(store.SessionMatch{TokenHash: key[:]})
		if err == nil && len(ended) != 1 {
			err = fmt.Errorf("%d sessions ended", len(ended))
		}
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
}

func TestHitsReadNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		f := newFixture(t, storeURL, session.Options{})
		token := f.add("alice@example.com")
		s := f.expect(token, nil)
		for range 100 {
			f.expect(token, nil)
		}
		if n := f.backend.reads.Load(); n != 1 {
			t.Errorf("%d reads", n)
		}
		headers := http.Header{}
		s.Identify(headers)
		for name, want := range map[string]string{
			"Remote-User": "alice@example.com", "Remote-Email": "alice@example.com", "Remote-Name": "Alice Liddell", "Remote-Groups": "Sales%2C EMEA,dev",
			"X-Auth-Request-User": "alice@example.com", "X-Auth-Request-Email": "alice@example.com", "X-Auth-Request-Groups": "Sales%2C EMEA,dev",
			"X-Auth-Request-Preferred-Username": "alice@example.com",
		} {
			if !slices.Equal(headers[name], []string{want}) {
				t.Errorf("%s is %q, want %q", name, headers[name], want)
			}
		}
		if !s.InAnyGroup([]string{"x", "Sales, EMEA"}) || s.InAnyGroup([]string{"Sales", "EMEA"}) {
			t.Error("a group with a comma passes as two")
		}
	})
}

func TestForeignCookiesCostNothing(t *testing.T) {
	f := newFixture(t, storetest.SQLiteURL(t), session.Options{})
	for _, bad := range []string{"", "x", "../../etc/passwd", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		f.expect(bad, session.ErrNone)
	}
	if n := f.backend.reads.Load(); n != 0 {
		t.Errorf("%d reads for cookies that are no tokens", n)
	}
	// A well-formed token that nobody has is asked for once in a while, not for each request.
	token, _ := session.NewToken()
	for range 50 {
		f.expect(token, session.ErrNone)
	}
	if n := f.backend.reads.Load(); n != 1 {
		t.Errorf("%d reads for a dead cookie", n)
	}
	f.clock.Step(11 * time.Second)
	f.expect(token, session.ErrNone)
	if n := f.backend.reads.Load(); n != 2 {
		t.Errorf("%d reads after a while", n)
	}
}

func TestLifetimes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		f := newFixture(t, storeURL, session.Options{})
		short := f.add("alice@example.com", func(s *store.Session) { s.ExpiresAt = start.Add(30 * time.Minute) })
		idle := f.add("bob@example.com")
		busy := f.add("carol@example.com")
		for _, token := range []string{short, idle, busy} {
			f.expect(token, nil)
		}
		f.clock.Step(30*time.Minute - time.Second)
		f.expect(short, nil)
		f.clock.Step(time.Second)
		f.expect(short, session.ErrNone)
		f.expect(busy, nil)
		f.clock.Step(45 * time.Minute)
		f.expect(idle, session.ErrNone)
		f.expect(busy, nil)
		f.clock.Step(12 * time.Hour)
		f.expect(busy, session.ErrNone)
	})
}

// TestIdleSessionSeenByAnotherReplica: each replica touches the store once a minute at most, and an idle session is judged by what the store knows.
func TestIdleSessionSeenByAnotherReplica(t *testing.T) {
	storeURL := storetest.PostgresURL(t)
	a, b := newFixture(t, storeURL, session.Options{}), newFixture(t, storeURL, session.Options{})
	b.clock = a.clock
	token := a.add("alice@example.com")
	a.expect(token, nil)
	b.stop()
	manager, err := session.NewManager(b.backend, session.Options{Clock: a.clock})
	if err != nil {
		t.Fatal(err)
	}
	b.manager = manager
	b.run()
	for range 80 { // 80 minutes of use at b alone
		a.clock.Step(time.Minute)
		b.expect(token, nil)
	}
	b.stop()
	if n := b.backend.touches.Load(); n == 0 || n > 80 {
		t.Errorf("%d touches in 80 minutes", n)
	}
	a.expect(token, nil)
}

// TestUseElsewhereKeepsTheSessionThatItCameFrom: somebody works for hours on the host that their session was handed over to, and on no other.
func TestUseElsewhereKeepsTheSessionThatItCameFrom(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		f := newFixture(t, storeURL, session.Options{})
		const host = "wiki.example.org"
		parent := f.add("alice@example.com")
		parentKey, _ := session.KeyOf(parent)
		child, childKey := session.NewTokenFor(host)
		f.add("alice@example.com", func(s *store.Session) { s.TokenHash, s.Audience, s.Parent = childKey[:], host, parentKey.Hex() })
		idle := f.add("alice@example.com")
		f.expect(parent, nil)
		for range 12 { // two hours
			f.clock.Step(10 * time.Minute)
			if _, err := f.manager.CheckFor(child, host); err != nil {
				t.Fatal(err)
			}
			written := f.backend.touches.Load() + 1
			f.clock.Step(10 * time.Second)
			f.eventually("the touches", func() bool { return f.backend.touches.Load() >= written })
		}
		if _, err := f.backend.Sweep(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		f.expect(parent, nil)
		f.expect(idle, session.ErrNone)
	})
}

func TestSecondStepIsWaitedForABoundedTime(t *testing.T) {
	f := newFixture(t, storetest.SQLiteURL(t), session.Options{})
	token := f.add("alice@example.com", func(s *store.Session) { s.SecondFactorPending = true })
	if s := f.expect(token, nil); !s.SecondFactorPending {
		t.Error("the session counts before the second step")
	}
	f.clock.Step(15 * time.Minute)
	f.expect(token, session.ErrNone)
}

func TestRevocationReachesEveryReplica(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		f := newFixture(t, storeURL, session.Options{})
		replicas := []*fixture{f}
		if storeURL[:8] == "postgres" {
			replicas = append(replicas, newFixture(t, storeURL, session.Options{}), newFixture(t, storeURL, session.Options{}))
		}
		token, other := f.add("alice@example.com"), f.add("bob@example.com")
		for _, r := range replicas {
			r.expect(token, nil)
			r.expect(other, nil)
		}
		began := time.Now()
		f.end(token)
		f.expect(token, session.ErrNone) // here at once
		for _, r := range replicas {
			r.eventually("the revocation", func() bool { _, err := r.manager.Check(token); return errors.Is(err, session.ErrNone) })
			r.expect(other, nil)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestRevocationDuringARead: the session ends while a replica reads it. What was read is not kept.
func TestRevocationDuringARead(t *testing.T) {
	f := newFixture(t, storetest.SQLiteURL(t), session.Options{})
	token := f.add("alice@example.com")
	var once sync.Once
	f.backend.set(nil, nil, func() { once.Do(func() { f.end(token) }) })
	_, _ = f.manager.Check(token)
	f.backend.set(nil, nil, nil)
	f.expect(token, session.ErrNone)
}

func TestChangedGroupsShow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		f := newFixture(t, storeURL, session.Options{})
		token := f.add("alice@example.com")
		f.expect(token, nil)
		err := f.backend.Do(t.Context(), func(tx store.Tx) error {
			if _, err := tx.SyncGroups("alice@example.com", store.IdPRef{UID: "uid-okta", Name: "okta"}, store.GroupSync{Claimed: []string{"ops"}}); err != nil {
				return err
			}
			return tx.EvictUser("alice@example.com")
		})
		if err != nil {
			t.Fatal(err)
		}
		if s := f.expect(token, nil); !s.InAnyGroup([]string{"ops"}) || s.InAnyGroup([]string{"dev"}) {
			t.Errorf("groups %v", s.Groups())
		}
	})
}

func TestMissesAreSharedAndBounded(t *testing.T) {
	f := newFixture(t, storetest.SQLiteURL(t), session.Options{MissConcurrency: 4, MissTimeout: 300 * time.Millisecond})
	token := f.add("alice@example.com")
	var running, most atomic.Int64
	release := make(chan struct{})
	f.backend.set(nil, func() {
		if n := running.Add(1); n > most.Load() {
			most.Store(n)
		}
		<-release
		running.Add(-1)
	}, nil)
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() { f.expect(token, nil) })
	}
	f.eventually("one read", func() bool { return running.Load() == 1 })
	close(release)
	group.Wait()
	if n := f.backend.reads.Load(); n != 1 {
		t.Errorf("%d reads for one session", n)
	}
	// A flood of tokens that nobody has, at a store that hangs: four reads at a time, everybody answered in time, hits unharmed.
	hang := make(chan struct{})
	f.backend.set(nil, func() {
		if n := running.Add(1); n > most.Load() {
			most.Store(n)
		}
		<-hang
		running.Add(-1)
	}, nil)
	began := time.Now()
	var unavailable atomic.Int64
	for range 50 {
		group.Go(func() {
			forged, _ := session.NewToken()
			if _, err := f.manager.Check(forged); errors.Is(err, session.ErrUnavailable) {
				unavailable.Add(1)
			}
		})
	}
	f.eventually("four reads", func() bool { return running.Load() == 4 })
	f.expect(token, nil)
	f.eventually("the others give up", func() bool { return unavailable.Load() >= 46 })
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	close(hang)
	group.Wait()
	if most.Load() > 4 {
		t.Errorf("%d reads at the same time", most.Load())
	}
}

func TestStoreDownHitsGoOnForABoundedTime(t *testing.T) {
	storeURL := storetest.PostgresURL(t)
	f := newFixture(t, storeURL, session.Options{Grace: 15 * time.Minute})
	known, unknown := f.add("alice@example.com"), f.add("bob@example.com")
	f.expect(known, nil)
	f.backend.set(errors.New("connection refused"), nil, nil)
	f.expect(unknown, session.ErrUnavailable)
	f.expect(known, nil)
	session.SetLost(f.manager, true)
	f.clock.Step(14 * time.Minute)
	f.expect(known, nil)
	f.clock.Step(time.Minute)
	f.expect(known, session.ErrUnavailable)
	session.SetLost(f.manager, false)
	f.backend.set(nil, nil, nil)
	f.expect(known, nil)
	f.expect(unknown, nil)
}

func TestCacheIsBoundedByBytes(t *testing.T) {
	f := newFixture(t, storetest.SQLiteURL(t), session.Options{CacheBytes: 64 << 10})
	var tokens []string
	for i := range 300 {
		tokens = append(tokens, f.add(fmt.Sprintf("user%d@example.com", i)))
	}
	for _, token := range tokens {
		f.expect(token, nil)
	}
	// The cache counts what was added a moment later, and evicts after that.
	f.eventually("eviction", func() bool {
		n, bytes := f.manager.CacheStats()
		return n > 0 && n < len(tokens) && bytes <= 64<<10
	})
	for _, token := range tokens {
		f.expect(token, nil)
	}
}

func TestTokens(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		token, key := session.NewToken()
		again, ok := session.KeyOf(token)
		if len(token) != 43 || seen[token] || !ok || again != key {
			t.Fatalf("token %q", token)
		}
		seen[token] = true
	}
}

func TestGroupsHeader(t *testing.T) {
	for want, groups := range map[string][]string{
		"": nil, "a,b": {"a", "b"}, "Sales%2C EMEA,100%25": {"Sales, EMEA", "100%"}, "x%0D%0AAdmin: 1": {"x\r\nAdmin: 1"}, "café": {"café"},
	} {
		if got := session.GroupsHeader(groups); got != want {
			t.Errorf("%q: %q, want %q", groups, got, want)
		}
	}
}

func BenchmarkCheckHit(b *testing.B) {
	f := newFixture(b, storetest.SQLiteURL(b), session.Options{})
	token := f.add("alice@example.com")
	f.expect(token, nil)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := f.manager.Check(token); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCheckMiss(b *testing.B) {
	for name, storeURL := range map[string]string{"sqlite": storetest.SQLiteURL(b), "postgres": storetest.PostgresURL(b)} {
		b.Run(name, func(b *testing.B) {
			f := newFixture(b, storeURL, session.Options{})
			token := f.add("alice@example.com")
			key, _ := session.KeyOf(token)
			for b.Loop() {
				f.manager.Forget(key)
				if _, err := f.manager.Check(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
