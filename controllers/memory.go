package controllers

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
)

// memory is a map for several goroutines. Everything in it can be found out again: a restart loses time, not state.
type memory[K comparable, V any] struct {
	mutex  sync.Mutex
	values map[K]V
}

func (m *memory[K, V]) get(key K) (V, bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	value, ok := m.values[key]
	return value, ok
}

func (m *memory[K, V]) set(key K, value V) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.values == nil {
		m.values = map[K]V{}
	}
	m.values[key] = value
}

func (m *memory[K, V]) forget(key K) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	delete(m.values, key)
}

// verdict is what came of reading metadata.
type verdict struct {
	digest   [32]byte
	metadata *trust.Metadata
	err      error
}

type parsedMetadata struct{ memory[types.UID, verdict] }

func (p *parsedMetadata) remember(uid types.UID, digest [32]byte, read func() (*trust.Metadata, error)) (*trust.Metadata, error) {
	if v, ok := p.get(uid); ok && v.digest == digest {
		return v.metadata, v.err
	}
	metadata, err := read()
	p.set(uid, verdict{digest, metadata, err})
	return metadata, err
}

func (r *Reconciler) setPublished(key types.NamespacedName, p *published) { r.published.set(key, p) }

func (r *Reconciler) setServed(key types.NamespacedName, s *snapshot.Snapshot) {
	r.servedSnapshots.set(key, s)
}

func (r *Reconciler) served(key types.NamespacedName) *snapshot.Snapshot {
	s, _ := r.servedSnapshots.get(key)
	return s
}
