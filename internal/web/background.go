package web

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/site"
)

const (
	sweepEvery     = time.Minute
	sealEvery      = 10 * time.Second
	retentionEvery = time.Hour
	countsEvery    = time.Minute
	deliverEvery   = 500 * time.Millisecond
	// retentionBatch is how many records one call removes, deliverBatch how many one delivery takes.
	retentionBatch = 5000
	deliverBatch   = 500
	// enforceRetry is how long to wait when the store did not take an enforcement.
	enforceRetry = 2 * time.Second
	// stdoutSink names the audit log's way to standard output.
	stdoutSink = "stdout"
	// lastWords is how long the end of the audit log may take on shutdown.
	lastWords = 5 * time.Second
)

// runBackground runs what has to happen beside requests. Each part logs its failures and goes on; none of them stops serving.
func (s *Server) runBackground(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() {
		if err := s.env.Sessions.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			s.env.Log.Error("following session changes ended", "error", err)
		}
	})
	parts.Go(func() { s.enforceSnapshots(ctx) })
	parts.Go(func() {
		s.every(ctx, sweepEvery, metrics.Sweep, func() error { _, err := s.env.Store.Sweep(ctx, s.steady.holds()); return err })
	})
	parts.Go(func() {
		s.every(ctx, sealEvery, metrics.SealAudit, func() error { return s.env.Store.SealAudit(ctx, false) })
	})
	parts.Go(func() {
		s.every(ctx, countsEvery, metrics.RecordRefusals, func() error { return s.env.Strangers.Flush(ctx, false) })
	})
	parts.Go(func() { s.every(ctx, retentionEvery, metrics.AuditRetention, func() error { return s.retain(ctx) }) })
	if s.audit != nil {
		parts.Go(func() { s.deliverAudit(ctx) })
	}
	parts.Go(func() { s.outbox.Run(ctx) })
	parts.Wait()
	s.gate.Close()
	return s.lastWords()
}

// lastWords writes what was counted, seals the audit log and delivers its end.
func (s *Server) lastWords() error {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	err := errors.Join(s.env.Strangers.Flush(ctx, true), s.env.Store.SealAudit(ctx, true))
	if s.audit != nil {
		err = errors.Join(err, s.deliver(ctx))
	}
	return err
}

func (s *Server) every(ctx context.Context, interval time.Duration, what metrics.Operation, work func() error) {
	ticker := s.ticker.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
		if err := work(); err != nil && ctx.Err() == nil {
			s.env.Metrics.StoreFailed(what)
			s.env.Log.Error("background task failed; retrying", "task", what.String(), "error", err)
		}
	}
}

// enforceSnapshots ends, after each new snapshot, the sessions that it does not allow. The gate refuses them already: this makes it last.
func (s *Server) enforceSnapshots(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.enforce:
		}
		current := s.env.Sites.Current()
		states := make([]provision.ConnectionState, 0, len(current.Snapshot.Connections))
		for _, c := range current.Snapshot.Connections {
			states = append(states, provision.ConnectionState{IdP: store.IdPRef{UID: site.UIDOf(c), Name: c.Name}, Enabled: c.Enabled})
		}
		ended, err := s.people.Enforce(ctx, states, current.Domains)
		if err == nil {
			err = s.removeRemains(ctx, current)
		}
		switch {
		case err != nil && ctx.Err() == nil:
			s.env.Metrics.StoreFailed(metrics.Enforce)
			s.env.Log.Error("sessions that the snapshot does not allow could not be ended; retrying", "error", err)
			select {
			case <-ctx.Done():
			case <-s.ticker.After(enforceRetry):
			}
			select {
			case s.enforce <- struct{}{}:
			default:
			}
		case ended > 0:
			s.env.Log.Info("ended sessions that the snapshot does not allow", "sessions", ended)
		}
	}
}

// removeRemains undoes what IdPs have left that are gone.
func (s *Server) removeRemains(ctx context.Context, current *site.Site) error {
	by := provision.Caller{Actor: audit.Actor{Kind: audit.ActorSystem}}
	for _, idp := range current.Gone() {
		target := audit.Target{Kind: provision.KindIdentityProvider, Namespace: current.Snapshot.ServiceProvider.Namespace, Name: idp.Name, UID: idp.UID}
		left, err := s.people.RemoveRemains(ctx, provision.Removal{IdP: idp, Target: target}, by)
		if err != nil {
			return fmt.Errorf("undoing what %s has left: %w", idp.Name, err)
		}
		if left != (audit.Deletion{}) {
			s.env.Log.Info("cleaned up after an IdentityProvider that was deleted while no pod was running", "idp", idp.Name, "sessions", left.Sessions, "groups", left.Groups)
		}
	}
	return nil
}

func (s *Server) retain(ctx context.Context) error {
	current := s.env.Sites.Current()
	if current == nil || current.Snapshot.ServiceProvider.AuditRetention <= 0 || !s.steady.holds() {
		return nil
	}
	before := s.env.Clock.Now().Add(-current.Snapshot.ServiceProvider.AuditRetention)
	for ctx.Err() == nil {
		removed, err := s.env.Store.ApplyAuditRetention(ctx, before, retentionBatch)
		if err != nil || removed == 0 {
			return err
		}
	}
	return nil
}

// deliverAudit takes audit records from the store to standard output, in order and at least once.
func (s *Server) deliverAudit(ctx context.Context) {
	s.every(ctx, deliverEvery, metrics.DeliverAudit, func() error { return s.deliver(ctx) })
}

func (s *Server) deliver(ctx context.Context) error {
	for {
		sent, err := s.env.Store.Deliver(ctx, stdoutSink, deliverBatch, func(_ context.Context, lines []store.AuditLine) error { return s.audit(lines) })
		if err != nil || sent < deliverBatch {
			return err
		}
	}
}
