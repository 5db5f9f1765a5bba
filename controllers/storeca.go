package controllers

import (
	"context"

	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/resolve"
)

// storeMemory is what the CA bundle of the store came to, and of what.
type storeMemory struct {
	basis    string
	resolved compile.ResolvedStore
}

// resolveStore looks at the CA bundle of the store. The pods mount it themselves; what the user has to mend is in the result.
func (r *Reconciler) resolveStore(ctx context.Context, s *scope) error {
	sp := s.serviceProvider
	basis, err := r.basisOf(ctx, sp, resolve.OfStore(sp))
	if err != nil || s.memory.store.basis == basis {
		return err
	}
	resolved, _, err := resolve.Store(ctx, referred{r, s}, sp)
	if err == nil {
		s.memory.store = storeMemory{basis, resolved}
	}
	return err
}
