package controllers

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
)

// headerKeyOverlap is how long a key of the signed header is published before it signs and after: longer than applications keep the published keys for.
const headerKeyOverlap = time.Hour

// resolveHeaderKeys takes the keys of the signed header one step further in their life. Nobody has registered them anywhere, so keys that are lost are made anew.
func (r *Reconciler) resolveHeaderKeys(ctx context.Context, s *scope) error {
	sp := s.serviceProvider
	if !compile.WantsSignedHeader(sp) {
		return nil
	}
	window := 2 * headerKeyOverlap
	lifetime := sp.Spec.SignedHeader.KeyLifetime.Or(v1alpha1.DefaultHeaderKeyLifetime) + window
	err := s.memory.header.advance(s, s.memory.served.headerKeys(), trust.KeyPolicy{Lifetime: lifetime, RotationWindow: window, Overlap: headerKeyOverlap},
		trust.KeyWish{Rotation: sp.Annotations[v1alpha1.AnnotationRotateKeys]},
		func() (snapshot.SPKey, error) { return trust.NewHeaderKey(s.now, sp.Spec.URL, lifetime) },
		func(set trust.KeySet, first bool) error { return r.writeHeaderKeys(ctx, s, set, first) })
	s.headerKeys = s.memory.header.keys.SPKeys()
	return err
}

// writeHeaderKeys writes the Secret. The first one is created, so that two runs of the operator do not both believe that theirs are the keys; one that is there
// and cannot be read is written over.
func (r *Reconciler) writeHeaderKeys(ctx context.Context, s *scope, set trust.KeySet, first bool) error {
	name, sp := render.HeaderSecretName(s.key.Name), s.serviceProvider
	if !first || s.memory.known(name) {
		return r.applySecret(ctx, s, ownedByServiceProvider(s, name, set.Data()), ownerKeys)
	}
	return r.createSecret(ctx, s, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.key.Namespace, Name: name, Labels: render.Labels(s.key.Name), OwnerReferences: []metav1.OwnerReference{{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.KindServiceProvider, Name: sp.Name, UID: sp.UID,
			Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true)}}},
		Type: corev1.SecretTypeOpaque, Data: set.Data()})
}
