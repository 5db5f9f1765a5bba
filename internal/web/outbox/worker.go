package outbox

import (
	"context"
	"math/rand/v2"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/audit/sink"
)

const (
	// fullBatch is how many records go out at once; a receiver that refuses a batch gets smaller ones, until the record that it refuses is known.
	fullBatch = 500
	// maxRefusals is how often one record is tried before it is passed over.
	maxRefusals = 10
	// idle is how often a worker without work looks for some.
	idle = time.Second
	// firstRetry and lastRetry bound the wait after a failure; it doubles from one to the next.
	firstRetry = time.Second
	lastRetry  = time.Minute
	// pendingEvery is how often the gauge of waiting records is set.
	pendingEvery = 15 * time.Second
)

// broken is the sender of a sink whose settings cannot be used.
type broken struct{ err error }

func (b broken) Send(context.Context, []audit.Line) error { return b.err }
func (b broken) Close() error                             { return nil }

// worker delivers to one sink.
type worker struct {
	Options
	name, label string
	sender      sink.Sender

	size     int
	failures int
	refusals int
	counted  time.Time
}

func (w *worker) run(ctx context.Context) {
	w.Metrics.Sink(w.label)
	registered := false
	for ctx.Err() == nil {
		if !registered {
			if err := w.Store.RegisterSink(ctx, w.name); err != nil {
				w.failed(ctx, "registering an audit sink", err)
				continue
			}
			registered, w.failures = true, 0
		}
		w.count(ctx)
		w.step(ctx)
	}
}

// step delivers once, and waits as long as the outcome asks for.
func (w *worker) step(ctx context.Context) {
	var first audit.Line
	sent, err := w.Store.Deliver(ctx, w.name, w.size, func(ctx context.Context, batch []audit.Line) error {
		first = batch[0]
		err := w.sender.Send(ctx, batch)
		if err == nil {
			w.Metrics.AuditDelivered.WithLabelValues(w.label).Add(float64(len(batch)))
		}
		return err
	})
	switch {
	case ctx.Err() != nil:
	case sink.IsRefused(err) && w.size > 1:
		w.Metrics.AuditFailures.WithLabelValues(w.label).Inc()
		w.size /= 2
	case sink.IsRefused(err):
		w.refused(ctx, first, err)
	case err != nil:
		w.failed(ctx, "an audit sink does not take records; they wait", err)
	case sent == 0:
		w.failures, w.refusals = 0, 0
		w.wait(ctx, idle)
	default:
		w.failures, w.refusals = 0, 0
		w.size = min(2*w.size, fullBatch)
	}
}

// refused counts how often one record was refused, and passes it over in the end.
func (w *worker) refused(ctx context.Context, l audit.Line, err error) {
	if w.refusals++; w.refusals < maxRefusals {
		w.failed(ctx, "an audit sink refuses a record", err)
		return
	}
	if err := w.Store.DeadLetter(ctx, w.name, l, err.Error()); err != nil {
		w.failed(ctx, "a record that an audit sink refuses could not be passed over", err)
		return
	}
	w.failures, w.refusals = 0, 0
	w.Metrics.AuditDeadLetters.WithLabelValues(w.label).Inc()
	w.Log.Error("a record was skipped, because the audit sink kept refusing it", "sink", w.label, "record", l.ID, "error", err)
}

func (w *worker) failed(ctx context.Context, what string, err error) {
	if ctx.Err() != nil {
		return
	}
	w.Metrics.AuditFailures.WithLabelValues(w.label).Inc()
	pause := min(firstRetry<<min(w.failures, 10), lastRetry)
	w.failures++
	w.Log.Warn(what, "sink", w.label, "failures", w.failures, "again", pause, "error", err)
	w.wait(ctx, pause/2+rand.N(pause/2)) // #nosec G404 -- spreads tries; nobody gains by guessing
}

func (w *worker) wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-w.Clock.After(d):
	}
}

func (w *worker) count(ctx context.Context) {
	now := w.Clock.Now()
	if now.Sub(w.counted) < pendingEvery {
		return
	}
	w.counted = now
	waiting, err := w.Store.Outbox(ctx, w.name)
	if err != nil {
		return
	}
	age := time.Duration(0)
	if !waiting.Oldest.IsZero() {
		age = max(0, now.Sub(waiting.Oldest))
	}
	w.Metrics.AuditPending.WithLabelValues(w.label).Set(float64(waiting.Records))
	w.Metrics.AuditOldest.WithLabelValues(w.label).Set(age.Seconds())
}
