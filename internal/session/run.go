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
			m.flush(ctx)
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
		now := m.o.Clock.Now()
		m.lostAt.CompareAndSwap(nil, &now)
	case store.StreamBack:
		m.lostAt.Store(nil)
	}
}

func (m *Manager) touch(key Key, at int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.touched) < maxTouched {
		m.touched[key] = at
	}
}

// flush writes the touches that wait, also when ctx has just ended. What the store does not take waits for the next time.
func (m *Manager) flush(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	m.mu.Lock()
	waiting := m.touched
	m.touched = map[Key]int64{}
	m.mu.Unlock()
	for len(waiting) > 0 {
		batch := make([]store.Touch, 0, min(len(waiting), flushBatch))
		for key, at := range waiting {
			if batch = append(batch, store.Touch{Hash: key[:], At: time.UnixMicro(at)}); len(batch) == flushBatch {
				break
			}
		}
		if err := m.write(ctx, batch); err != nil {
			m.restore(waiting)
			return
		}
		for _, t := range batch {
			delete(waiting, Key(t.Hash))
		}
	}
}

func (m *Manager) write(ctx context.Context, batch []store.Touch) error {
	ctx, cancel := context.WithTimeout(ctx, m.o.MissTimeout)
	defer cancel()
	return m.backend.TouchSessions(ctx, batch)
}

func (m *Manager) restore(waiting map[Key]int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, at := range waiting {
		if newer, ok := m.touched[key]; (!ok || newer < at) && len(m.touched) < maxTouched {
			m.touched[key] = at
		}
	}
}
