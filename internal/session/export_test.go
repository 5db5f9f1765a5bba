package session

import "sallyport.dev/sallyport/internal/store"

// SetLost plays the loss and return of the store's stream.
func SetLost(m *Manager, lost bool) {
	if lost {
		m.evict(store.Eviction{Scope: store.StreamLost})
	} else {
		m.evict(store.Eviction{Scope: store.StreamBack})
	}
}
