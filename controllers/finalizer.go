package controllers

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
)

// holdInUse puts the finalizer on an IdentityProvider that has domain bindings, and takes it off one that has none, so that it goes at once.
func (r *Reconciler) holdInUse(ctx context.Context, s *scope, idp *v1alpha1.IdentityProvider, f *compile.Finding) error {
	wanted := len(f.Bindings) > 0
	held := slices.Contains(idp.Finalizers, v1alpha1.FinalizerDomainBindings)
	if wanted == held || wanted && idp.DeletionTimestamp != nil {
		return nil
	}
	intent := &unstructured.Unstructured{Object: map[string]any{}}
	intent.SetAPIVersion(v1alpha1.GroupVersion.String())
	intent.SetKind(v1alpha1.KindIdentityProvider)
	intent.SetNamespace(idp.Namespace)
	intent.SetName(idp.Name)
	// The UID keeps the apply from making a new object of the same name.
	intent.SetUID(idp.UID)
	if wanted {
		intent.SetFinalizers([]string{v1alpha1.FinalizerDomainBindings})
	}
	err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(intent), client.FieldOwner(ownerFinalizer), client.ForceOwnership)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
