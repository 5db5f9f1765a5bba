// Package outbox delivers audit records from the store to the sinks that the settings name: in order for each writer, at least once, and never in the way of a
// sign-in. The store remembers what each sink has, so nothing is lost by a crash, an outage of a sink, or an outage of the store.
package outbox

import (
	"context"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/internal/audit/sink"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/metrics"
)

// prefix tells the sinks of the settings from others in the store.
const prefix = "spec/"

// forgetRetry is how long to wait before the removal of a sink is tried again.
const forgetRetry = 10 * time.Second

// Options of New. All are required but NewSender.
type Options struct {
	Store   store.AuditLog
	Clock   clock.WithTicker
	Log     *slog.Logger
	Metrics *metrics.Metrics
	// NewSender makes the sender of a sink; nil is sink.New.
	NewSender func(snapshot.AuditSink) (sink.Sender, error)
}

// Outbox runs one worker for each sink of the settings.
type Outbox struct {
	o       Options
	changed chan struct{}

	mu     sync.Mutex
	wanted map[string]snapshot.AuditSink
	known  bool
	latest bool
}

// New makes an outbox without sinks. Call Apply with those of each snapshot, and Run beside.
func New(o Options) *Outbox {
	if o.NewSender == nil {
		o.NewSender = sink.New
	}
	return &Outbox{o: o, changed: make(chan struct{}, 1)}
}

// Apply says which sinks there are from now on. One that is not named any more is forgotten, with what still waited for it, where these are the latest settings:
// older ones do not name what came since.
func (b *Outbox) Apply(sinks []snapshot.AuditSink, latest bool) {
	b.mu.Lock()
	b.wanted, b.known, b.latest = map[string]snapshot.AuditSink{}, true, latest
	for _, s := range sinks {
		b.wanted[prefix+s.Name] = s
	}
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

func (b *Outbox) sinks() (wanted map[string]snapshot.AuditSink, known, latest bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wanted, b.known, b.latest
}

type running struct {
	settings snapshot.AuditSink
	stop     func()
}

// Run delivers until ctx ends.
func (b *Outbox) Run(ctx context.Context) {
	workers := map[string]running{}
	defer func() {
		for _, w := range workers {
			w.stop()
		}
	}()
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.changed:
		case <-again:
		}
		again = nil
		wanted, known, latest := b.sinks()
		if !known {
			continue
		}
		b.settle(ctx, workers, wanted)
		if !latest {
			continue
		}
		if err := b.forget(ctx, wanted); err != nil && ctx.Err() == nil {
			b.o.Log.Error("an audit sink that is no longer configured could not be removed; retrying", "error", err)
			again = b.o.Clock.After(forgetRetry)
		}
	}
}

// settle stops and starts workers until they are those that are wanted.
func (b *Outbox) settle(ctx context.Context, workers map[string]running, wanted map[string]snapshot.AuditSink) {
	for name, w := range workers {
		if s, ok := wanted[name]; !ok || !reflect.DeepEqual(s, w.settings) {
			w.stop()
			delete(workers, name)
		}
	}
	for name, settings := range wanted {
		if _, ok := workers[name]; ok {
			continue
		}
		sender, err := b.o.NewSender(settings)
		if err != nil {
			// The operator has checked the settings, so this is a version that does not know them. Records wait.
			b.o.Log.Error("an audit sink cannot be used", "sink", settings.Name, "error", err)
			sender = broken{err}
		}
		inner, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		w := &worker{Options: b.o, name: name, label: settings.Name, sender: sender, size: fullBatch}
		go func() {
			defer close(ended)
			w.run(inner)
		}()
		workers[name] = running{settings, func() {
			cancel()
			<-ended
			if err := sender.Close(); err != nil {
				b.o.Log.Warn("closing an audit sink", "sink", settings.Name, "error", err)
			}
		}}
	}
}

// forget removes the sinks of former settings from the store, so that retention waits for them no longer.
func (b *Outbox) forget(ctx context.Context, wanted map[string]snapshot.AuditSink) error {
	registered, err := b.o.Store.Sinks(ctx)
	if err != nil {
		return err
	}
	for _, name := range registered {
		if _, ok := wanted[name]; ok || !strings.HasPrefix(name, prefix) {
			continue
		}
		if err := b.o.Store.RemoveSink(ctx, name); err != nil {
			return err
		}
		label := strings.TrimPrefix(name, prefix)
		b.o.Metrics.ForgetSink(label)
		b.o.Log.Info("an audit sink was removed", "sink", label)
	}
	return nil
}
