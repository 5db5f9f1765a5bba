package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store"
)

// timedStore measures what people wait for: the operations of a sign-in, of a check that the cache cannot answer, and of the audit log. The rest passes through.
type timedStore struct {
	store.Store
	transaction, savePending, pending, session, touch, audit, debug prometheus.Observer
}

// Store returns the store with its operations measured.
func (m *Metrics) Store(s store.Store) store.Store {
	of := m.StoreOperations.WithLabelValues
	return &timedStore{Store: s, transaction: of("transaction"), savePending: of("save_pending"), pending: of("pending"), session: of("session"), touch: of("touch_sessions"),
		audit: of("write_audit"), debug: of("add_debug_entry")}
}

func since(started time.Time, o prometheus.Observer) { o.Observe(time.Since(started).Seconds()) }

func (t *timedStore) Do(ctx context.Context, fn func(tx store.Tx) error) error {
	defer since(time.Now(), t.transaction)
	return t.Store.Do(ctx, fn)
}

func (t *timedStore) SavePending(ctx context.Context, p store.Pending) error {
	defer since(time.Now(), t.savePending)
	return t.Store.SavePending(ctx, p)
}

func (t *timedStore) Pending(ctx context.Context, handleHash []byte) (store.Pending, error) {
	defer since(time.Now(), t.pending)
	return t.Store.Pending(ctx, handleHash)
}

func (t *timedStore) SessionByHash(ctx context.Context, hash []byte) (store.Session, error) {
	defer since(time.Now(), t.session)
	return t.Store.SessionByHash(ctx, hash)
}

func (t *timedStore) TouchSessions(ctx context.Context, touches []store.Touch) error {
	defer since(time.Now(), t.touch)
	return t.Store.TouchSessions(ctx, touches)
}

func (t *timedStore) WriteAudit(ctx context.Context, records ...audit.Record) error {
	defer since(time.Now(), t.audit)
	return t.Store.WriteAudit(ctx, records...)
}

func (t *timedStore) AddDebugEntry(ctx context.Context, e store.DebugEntry) error {
	defer since(time.Now(), t.debug)
	return t.Store.AddDebugEntry(ctx, e)
}
