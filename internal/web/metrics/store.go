package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/tracing"
)

// timedStore measures, and traces where a trace is written, what people wait for: the operations of a sign-in, of a check that the cache cannot answer, and of the audit log. The rest passes through.
type timedStore struct {
	store.Store
	transaction, savePending, pending, session, touch, audit, debug timed
}

// Store returns the store with its operations measured.
func (m *Metrics) Store(s store.Store) store.Store {
	of := func(o Operation) timed {
		return timed{"store." + o.name, m.storeOperations.WithLabelValues(o.name)}
	}
	return &timedStore{Store: s, transaction: of(Transaction), savePending: of(SavePending), pending: of(Pending), session: of(Session), touch: of(TouchSessions),
		audit: of(WriteAudit), debug: of(AddDebugEntry)}
}

// timed is how an operation is measured.
type timed struct {
	span string
	time prometheus.Observer
}

func (t *timedStore) begin(ctx context.Context, o timed) (context.Context, func()) {
	started := time.Now()
	ctx, span := tracing.Start(ctx, o.span)
	return ctx, func() {
		span.End()
		o.time.Observe(time.Since(started).Seconds())
	}
}

func (t *timedStore) Do(ctx context.Context, fn func(tx store.Tx) error) error {
	ctx, end := t.begin(ctx, t.transaction)
	defer end()
	return t.Store.Do(ctx, fn)
}

func (t *timedStore) SavePending(ctx context.Context, p store.Pending) error {
	ctx, end := t.begin(ctx, t.savePending)
	defer end()
	return t.Store.SavePending(ctx, p)
}

func (t *timedStore) Pending(ctx context.Context, handleHash []byte) (store.Pending, error) {
	ctx, end := t.begin(ctx, t.pending)
	defer end()
	return t.Store.Pending(ctx, handleHash)
}

func (t *timedStore) UsePending(ctx context.Context, handleHash []byte, most int) (store.Pending, error) {
	ctx, end := t.begin(ctx, t.pending)
	defer end()
	return t.Store.UsePending(ctx, handleHash, most)
}

func (t *timedStore) SessionByHash(ctx context.Context, hash []byte) (store.Session, error) {
	ctx, end := t.begin(ctx, t.session)
	defer end()
	return t.Store.SessionByHash(ctx, hash)
}

func (t *timedStore) TouchSessions(ctx context.Context, touches []store.Touch) error {
	ctx, end := t.begin(ctx, t.touch)
	defer end()
	return t.Store.TouchSessions(ctx, touches)
}

func (t *timedStore) WriteAudit(ctx context.Context, records ...audit.Record) error {
	ctx, end := t.begin(ctx, t.audit)
	defer end()
	return t.Store.WriteAudit(ctx, records...)
}

func (t *timedStore) AddDebugEntry(ctx context.Context, e store.DebugEntry) error {
	ctx, end := t.begin(ctx, t.debug)
	defer end()
	return t.Store.AddDebugEntry(ctx, e)
}
