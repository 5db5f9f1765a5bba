package session

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/internal/store"
)

// Backend is what the Manager needs of the store.
type Backend interface {
	SessionByHash(ctx context.Context, hash []byte) (store.Session, error)
	TouchSessions(ctx context.Context, touches []store.Touch) error
	WatchEvictions(ctx context.Context, fn func(store.Eviction)) error
	Do(ctx context.Context, fn func(tx store.Tx) error) error
}

// Options bound the Manager. Zero fields take the defaults.
type Options struct {
	// CacheBytes bounds the cache; default 64 MiB.
	CacheBytes uint64
	// MissTimeout bounds one read of the store; default 2 s. MissConcurrency bounds reads at the same time; default 4 per processor and at least 8, so that
	// a flood of cookies that nobody has does not crowd out those who are signed in.
	MissTimeout     time.Duration
	MissConcurrency int
	// Grace is how long those signed in stay signed in from the cache while the store cannot be reached; default 15 min.
	Grace time.Duration
	// TouchEvery is the least time between two writes of LastSeen for one session; default 1 min.
	TouchEvery time.Duration
	Clock      clock.WithTicker
}

func (o *Options) defaults() {
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	if o.MissTimeout == 0 {
		o.MissTimeout = 2 * time.Second
	}
	if o.MissConcurrency == 0 {
		o.MissConcurrency = max(8, 4*runtime.GOMAXPROCS(0))
	}
	if o.Grace == 0 {
		o.Grace = 15 * time.Minute
	}
	if o.TouchEvery == 0 {
		o.TouchEvery = time.Minute
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
}

// Manager is safe for concurrent use. Run must run for revocations to arrive and touches to be written.
type Manager struct {
	backend Backend
	o       Options
	cache   *otter.Cache[Key, *Session]
	// absent has when the store was asked for a token that it does not know.
	absent *otter.Cache[Key, int64]
	misses chan struct{}
	// lostAt is when the stream of evictions broke; nil while it works.
	lostAt atomic.Pointer[time.Time]

	mu      sync.Mutex
	touched map[Key]int64
}

// NewManager makes a Manager over a store.
func NewManager(backend Backend, o Options) (*Manager, error) {
	o.defaults()
	cache, err := otter.New(&otter.Options[Key, *Session]{
		MaximumWeight: o.CacheBytes,
		Weigher:       func(_ Key, s *Session) uint32 { return s.weight() },
	})
	if err != nil {
		return nil, err
	}
	// A browser that keeps sending a dead cookie must not cost a read each time.
	absent, err := otter.New(&otter.Options[Key, int64]{MaximumSize: 10_000})
	if err != nil {
		return nil, err
	}
	return &Manager{backend: backend, o: o, cache: cache, absent: absent, misses: make(chan struct{}, o.MissConcurrency), touched: map[Key]int64{}}, nil
}

// Check finds the session of a cookie's value: ErrNone or ErrUnavailable otherwise. A session that waits for its second step comes back with
// SecondFactorPending set: it opens nothing but the second step itself.
func (m *Manager) Check(cookieValue string) (*Session, error) {
	key, ok := KeyOf(cookieValue)
	if !ok {
		return nil, ErrNone
	}
	return m.check(key)
}

// CheckFor is Check for the cookie of one host outside of the session cookie's domain.
func (m *Manager) CheckFor(cookieValue, host string) (*Session, error) {
	key, ok := keyFor(cookieValue, host)
	if !ok {
		return nil, ErrNone
	}
	s, err := m.check(key)
	if err == nil && s.common.Value().audience != host {
		return nil, ErrNone
	}
	return s, err
}

func (m *Manager) check(key Key) (*Session, error) {
	at := m.o.Clock.Now()
	now := at.UnixMicro()
	s, ok := m.cache.GetIfPresent(key)
	if !ok {
		return m.miss(key, now)
	}
	if now >= s.expiresAt || s.future(now) {
		m.cache.Invalidate(key)
		return nil, ErrNone
	}
	if lost := m.lostAt.Load(); lost != nil && at.Sub(*lost).Abs() >= m.o.Grace {
		return nil, ErrUnavailable
	}
	seen := s.lastSeen.Load()
	if idle := s.common.Value().idleTimeout; idle > 0 && now-seen >= idle.Microseconds() {
		// Another replica may have seen it: the store knows.
		m.cache.Invalidate(key)
		return m.miss(key, now)
	}
	if s.SecondFactorPending && now-s.createdAt >= pendingLifetime.Microseconds() {
		return nil, ErrNone
	}
	m.see(s, now)
	return s, nil
}

// see moves LastSeen forward, and back where a clock has set it that was ahead: idle time counts from here on. Whoever works on another host uses the session that was handed
// over and the one that it came from: signing out there has to find the latter, and ends both.
func (m *Manager) see(s *Session, now int64) {
	seen := s.lastSeen.Load()
	if (now-seen >= m.o.TouchEvery.Microseconds() || seen-now > store.ClockSlack.Microseconds()) && s.lastSeen.CompareAndSwap(seen, now) {
		m.touch(s.Key, now)
		if s.parent != nil {
			m.touch(*s.parent, now)
		}
	}
}

// absentFor is how long a token that the store does not know is not asked for again.
const absentFor = 10 * time.Second

func (m *Manager) miss(key Key, now int64) (*Session, error) {
	if asked, ok := m.absent.GetIfPresent(key); ok && now >= asked && now-asked < absentFor.Microseconds() {
		return nil, ErrNone
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.o.MissTimeout)
	defer cancel()
	s, err := m.cache.Get(ctx, key, otter.LoaderFunc[Key, *Session](m.load))
	switch {
	case errors.Is(err, otter.ErrNotFound):
		m.absent.Set(key, now)
		return nil, ErrNone
	case err != nil:
		return nil, ErrUnavailable
	}
	if !m.alive(s, now) {
		return nil, ErrNone
	}
	m.see(s, now)
	return s, nil
}

// load reads one session; it runs once for all who wait for it.
func (m *Manager) load(ctx context.Context, key Key) (*Session, error) {
	select {
	case m.misses <- struct{}{}:
		defer func() { <-m.misses }()
	case <-ctx.Done():
		return nil, ErrUnavailable
	}
	in, err := m.backend.SessionByHash(ctx, key[:])
	if errors.Is(err, store.ErrNotFound) {
		return nil, otter.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	s := prepare(in)
	if in.User.Suspended() || !m.alive(s, m.o.Clock.Now().UnixMicro()) {
		return nil, otter.ErrNotFound
	}
	return s, nil
}

// alive judges a session that was just read: LastSeenAt in the store may lag by touchSlack.
func (m *Manager) alive(s *Session, now int64) bool {
	if now >= s.expiresAt || s.future(now) {
		return false
	}
	if s.SecondFactorPending && now-s.createdAt >= pendingLifetime.Microseconds() {
		return false
	}
	idle := s.common.Value().idleTimeout
	return idle == 0 || now-s.lastSeen.Load() < (idle+touchSlack).Microseconds()
}

// Forget drops one session from the cache; the store's stream does it for changes made there.
func (m *Manager) Forget(key Key) { m.cache.Invalidate(key) }

// CacheStats are for metrics: sessions in the cache and their estimated bytes.
func (m *Manager) CacheStats() (sessions int, bytes uint64) {
	return m.cache.EstimatedSize(), m.cache.WeightedSize()
}
