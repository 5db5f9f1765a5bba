package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/snapshot"
)

// scope is everything that one pass has read and found out. Each field says which step sets it.
type scope struct {
	key types.NamespacedName
	now time.Time // one time for the whole pass

	// collect
	serviceProvider *v1alpha1.ServiceProvider // nil: there is none of that name
	idps            []v1alpha1.IdentityProvider
	bindings        []v1alpha1.DomainBinding
	mappings        []v1alpha1.AttributeMapping

	// resolve
	resolved map[string]compile.Resolved
	trust    map[string]*trustState
	verified map[string]compile.Verification

	previous *published // collect

	// compile
	output  *compile.Output
	encoded *snapshot.Encoded

	// acknowledge
	programmed programmed

	requeueAfter time.Duration
	transitions  []transition
}

// later asks for another pass in d, or sooner if something else asked for that.
func (s *scope) later(d time.Duration) {
	if d > 0 && (s.requeueAfter == 0 || d < s.requeueAfter) {
		s.requeueAfter = d
	}
}

// step is one part of a pass. A step that fails ends the pass, and the pass is tried again with back-off.
type step struct {
	name string
	run  func(context.Context, *scope) error
}

func (s *scope) run(ctx context.Context, steps []step) error {
	for _, step := range steps {
		if err := step.run(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// inNamespace lists one kind in the namespace of the pass.
func inNamespace(ctx context.Context, c client.Reader, s *scope, lists ...client.ObjectList) error {
	var errs []error
	for _, list := range lists {
		errs = append(errs, c.List(ctx, list, client.InNamespace(s.key.Namespace)))
	}
	return errors.Join(errs...)
}
