package site

import (
	"context"
	"sync"
	"sync/atomic"
)

// Holder has the Site that is served now. The zero value serves nothing.
type Holder struct {
	current atomic.Pointer[Site]

	mu      sync.Mutex
	changed chan struct{}
}

// Current is the Site, nil before the first one came. A request takes it once and keeps it to its end.
func (h *Holder) Current() *Site { return h.current.Load() }

// Swap puts a Site into service and wakes everybody who waits.
func (h *Holder) Swap(s *Site) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current.Store(s)
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

// Wait returns when the revision is served or ctx ends, with whatever is served then.
func (h *Holder) Wait(ctx context.Context, revision string) *Site {
	for {
		h.mu.Lock()
		s := h.current.Load()
		if s != nil && s.Revision == revision {
			h.mu.Unlock()
			return s
		}
		if h.changed == nil {
			h.changed = make(chan struct{})
		}
		changed := h.changed
		h.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return h.current.Load()
		}
	}
}
