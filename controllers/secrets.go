package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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

// errRestored says that a Secret has come back from a backup: its owner would have been an object of the old cluster, so it has none.
var errRestored = errors.New("the Secret has come back from a backup")

// restored tells whether an object has come back from a backup: it has our labels, whatever else the backup has put on it, and no owner.
func (s *scope) restored(object metav1.Object) bool {
	labels := object.GetLabels()
	for name, value := range render.Labels(s.key.Name) {
		if labels[name] != value {
			return false
		}
	}
	return metav1.GetControllerOf(object) == nil
}

// createSecret makes a Secret that must not exist yet. One that a former object of the same name has left is cleared away, one that came
// back from a backup is errRestored, and somebody else's is blocked.
func (r *Reconciler) createSecret(ctx context.Context, s *scope, wanted *coreac.SecretApplyConfiguration) error {
	secret := convert[corev1.Secret](wanted)
	err := r.Client.Create(ctx, secret, client.FieldOwner(ownerKeys))
	if !apierrors.IsAlreadyExists(err) {
		s.memory.wrote(secret.Name, &secret.ResourceVersion)
		return err
	}
	var there corev1.Secret
	if err := r.Live.Get(ctx, types.NamespacedName{Namespace: secret.Namespace, Name: secret.Name}, &there); err != nil {
		return err
	}
	owner, ours := metav1.GetControllerOf(&there), metav1.GetControllerOf(secret)
	switch {
	case s.restored(&there):
		return errRestored
	case owner == nil || owner.Kind != ours.Kind || owner.Name != ours.Name:
		return blocked(v1alpha1.ReasonConflicted, time.Minute, "Secret %s exists and belongs to something else: delete or rename it: the operator needs that name.", secret.Name)
	case owner.UID == ours.UID:
		s.memory.recalled = false
		return fmt.Errorf("secret %s has been created by another run of the operator", secret.Name)
	}
	uid, version := there.UID, there.ResourceVersion
	if err := r.Client.Delete(ctx, &there, client.Preconditions{UID: &uid, ResourceVersion: &version}); client.IgnoreNotFound(err) != nil {
		return err
	}
	return fmt.Errorf("secret %s belonged to a former %s of the same name and has been deleted", secret.Name, owner.Kind)
}

// createOrTakeBack is createSecret, and writes over what came back from a backup.
func (r *Reconciler) createOrTakeBack(ctx context.Context, s *scope, secret *coreac.SecretApplyConfiguration) error {
	err := r.createSecret(ctx, s, secret)
	if errors.Is(err, errRestored) {
		return r.applySecret(ctx, s, secret, ownerKeys)
	}
	return err
}
