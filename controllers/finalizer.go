package controllers

import (
	"context"
	"errors"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	apply "sallyport.dev/sallyport/api/v1alpha1/applyconfiguration/api/v1alpha1"
)

func held(idp *v1alpha1.IdentityProvider) bool {
	return slices.Contains(idp.Finalizers, v1alpha1.FinalizerDomainBindings)
}

// hold puts the finalizer on an IdentityProvider that has domain bindings.
func (r *Reconciler) hold(ctx context.Context, idp *v1alpha1.IdentityProvider) error {
	return r.applyFinalizers(ctx, idp, v1alpha1.FinalizerDomainBindings)
}

// release takes the finalizer off every IdentityProvider that has no domain bindings, so that it can go at once. It runs whatever happened
// to the rest of the pass: nothing may hang on a missing ServiceProvider, a namespace that takes no new objects, or a pod that does not answer.
func (r *Reconciler) release(ctx context.Context, s *scope) error {
	if s.bindings == nil && s.idps == nil {
		return nil
	}
	bound := map[string]bool{}
	for i := range s.bindings {
		if s.bindings[i].DeletionTimestamp == nil {
			bound[string(s.bindings[i].Spec.IdentityProviderRef.Name)] = true
		}
	}
	var errs []error
	for i := range s.idps {
		if idp := &s.idps[i]; s.ownsIdP(idp) && held(idp) && !bound[idp.Name] {
			errs = append(errs, r.applyFinalizers(ctx, idp))
		}
	}
	return errors.Join(errs...)
}

func (r *Reconciler) applyFinalizers(ctx context.Context, idp *v1alpha1.IdentityProvider, finalizers ...string) error {
	// The UID keeps the apply from making a new object of the same name.
	intent := apply.IdentityProvider(idp.Name, idp.Namespace).WithUID(idp.UID).WithFinalizers(finalizers...)
	err := r.Client.Apply(ctx, intent, client.FieldOwner(ownerFinalizer), client.ForceOwnership)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // gone already: its event brings another pass
	}
	return err
}
