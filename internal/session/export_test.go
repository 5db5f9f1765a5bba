package session

import (
	"sallyport.dev/sallyport/internal/store"
)

// SetLost plays the loss and return of the store's stream.
func SetLost(m *Manager, lost bool) {
	if lost {
		m.evict(store.Eviction{Scope: store.StreamLost})
	} else {
		m.evict(store.Eviction{Scope: store.StreamBack})
	}
}

// Put caches a session as a read of the store does, and returns the weight that it is given.
func Put(m *Manager, in store.Session) uint32 {
	s := prepare(in)
	m.cache.Set(s.Key, s)
	return s.weight()
}
