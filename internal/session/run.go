package session

import (
	"context"
	"time"

	"sallyport.dev/sallyport/internal/store"
)

// flushEvery is how often touches are written, in one statement for all sessions; maxTouched bounds what waits when the store is down.
const (
	flushEvery = 10 * time.Second
	flushBatch = 500
	maxTouched = 100_000
)

// Run follows the store's stream of evictions and writes touches, until ctx ends; then it writes what is left.
func (m *Manager) Run(ctx context.Context) error {
	watch := make(chan error, 1)
	go func() { watch <- m.backend.WatchEvictions(ctx, m.evict) }()
	ticker := m.o.Clock.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C():
			m.flush(ctx)
		case err := <-watch:
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.o.MissTimeout)
			defer cancel()
			m.flush(last)
			return err
		}
	}
}

func (m *Manager) evict(e store.Eviction) {
	switch e.Scope {
	case store.EvictSession:
		if len(e.Hash) == len(Key{}) {
			m.cache.Invalidate(Key(e.Hash))
		}
	case store.EvictAll:
		m.cache.InvalidateAll()
	case store.StreamLost:
		m.lostAt.CompareAndSwap(0, m.o.Clock.Now().UnixMicro())
	case store.StreamBack:
		m.lostAt.Store(0)
	}
}

func (m *Manager) touch(key Key, at int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.touched) < maxTouched {
		m.touched[key] = at
	}
}

// flush writes the touches that wait. What the store does not take is dropped: the next request of the session touches it again.
func (m *Manager) flush(ctx context.Context) {
	m.mu.Lock()
	waiting := m.touched
	m.touched = map[Key]int64{}
	m.mu.Unlock()
	batch := make([]store.Touch, 0, min(len(waiting), flushBatch))
	write := func() bool {
		limited, cancel := context.WithTimeout(ctx, m.o.MissTimeout)
		defer cancel()
		err := m.backend.TouchSessions(limited, batch)
		batch = batch[:0]
		return err == nil
	}
	for key, at := range waiting {
		batch = append(batch, store.Touch{Hash: key[:], At: time.UnixMicro(at)})
		if len(batch) == flushBatch && !write() {
			return
		}
	}
	if len(batch) > 0 {
		write()
	}
}
