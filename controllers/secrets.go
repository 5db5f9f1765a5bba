package controllers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
)

// ownedByIdP is a Secret that goes with an IdentityProvider.
func ownedByIdP(s *scope, idp *v1alpha1.IdentityProvider, name string, data map[string][]byte) *coreac.SecretApplyConfiguration {
	return coreac.Secret(name, idp.Namespace).
		WithLabels(render.Labels(s.key.Name)).
		WithOwnerReferences(metaac.OwnerReference().WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind(v1alpha1.KindIdentityProvider).
			WithName(idp.Name).WithUID(idp.UID).WithController(true).WithBlockOwnerDeletion(true)).
		WithType(corev1.SecretTypeOpaque).
		WithData(data)
}

// ownedByServiceProvider is a Secret that goes with the ServiceProvider.
func ownedByServiceProvider(s *scope, name string, data map[string][]byte) *coreac.SecretApplyConfiguration {
	return coreac.Secret(name, s.key.Namespace).
		WithLabels(render.Labels(s.key.Name)).
		WithOwnerReferences(render.Owner(s.serviceProvider)).
		WithType(corev1.SecretTypeOpaque).
		WithData(data)
}

// applySecret writes one of our Secrets and notes its version, to tell our own writes from those of others.
func (r *Reconciler) applySecret(ctx context.Context, s *scope, secret *coreac.SecretApplyConfiguration, owner string) error {
	name := *secret.Name
	if err := r.Client.Apply(ctx, secret, client.FieldOwner(owner), client.ForceOwnership); err != nil {
		return err
	}
	s.memory.wrote(name, secret.ResourceVersion)
	return nil
}
