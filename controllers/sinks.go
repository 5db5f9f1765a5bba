package controllers

import (
	"context"

	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/resolve"
)

// sinkMemory is what the references of the audit sinks came to, and of what.
type sinkMemory struct {
	basis    string
	resolved map[string]compile.ResolvedSink
}

// resolveSinks reads what the audit sinks refer to. What the user has to mend is in the result.
func (r *Reconciler) resolveSinks(ctx context.Context, s *scope) error {
	sp := s.serviceProvider
	basis, err := r.basisOf(ctx, sp, resolve.OfSinks(sp))
	if err != nil || s.memory.sinks.basis == basis {
		return err
	}
	resolved, _, err := resolve.Sinks(ctx, referred{r, s}, sp)
	if err == nil {
		s.memory.sinks = sinkMemory{basis, resolved}
	}
	return err
}
