package controllers

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/internal/render"
)

const tokenKey = "token"

// workload applies what runs the ServiceProvider. The snapshot is there by now, so a pod that starts has something to serve.
func (r *Reconciler) workload(ctx context.Context, s *scope) error {
	sp := s.serviceProvider
	if sp == nil || s.output.Snapshot == nil || sp.DeletionTimestamp != nil {
		return nil
	}
	if err := r.managementToken(ctx, s); err != nil {
		return err
	}
	out := render.Render(render.Input{ServiceProvider: sp, Image: r.Options.Image, OperatorNamespace: r.Options.Namespace})
	encoded, err := json.Marshal([]any{sp.UID, out})
	if err != nil {
		return err
	}
	digest := sha256.Sum256(encoded)
	if applied, ok := r.applied.get(s.key); ok && applied == digest {
		return nil // nothing to change: at rest nothing is written
	}
	for _, object := range out.Apply {
		if err := r.Client.Apply(ctx, object, client.FieldOwner(ownerWorkload), client.ForceOwnership); err != nil {
			return err
		}
	}
	if out.HTTPRoute != nil {
		err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(out.HTTPRoute), client.FieldOwner(ownerWorkload), client.ForceOwnership)
		if meta.IsNoMatchError(err) {
			return errors.New("spec.expose.httpRoute: the cluster has no Gateway API: install its CRDs, or use spec.expose.ingress")
		}
		if err != nil {
			return err
		}
	}
	for _, absent := range out.Absent {
		if err := r.deleteOwned(ctx, s, absent); err != nil {
			return err
		}
	}
	r.applied.set(s.key, digest)
	return nil
}

// deleteOwned deletes an object of an earlier spec, only if it is the ServiceProvider's.
func (r *Reconciler) deleteOwned(ctx context.Context, s *scope, absent render.Absent) error {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(schema.FromAPIVersionAndKind(absent.APIVersion, absent.Kind))
	err := r.Client.Get(ctx, types.NamespacedName{Namespace: s.key.Namespace, Name: absent.Name}, object)
	if apierrors.IsNotFound(err) || err == nil && !metav1.IsControlledBy(object, s.serviceProvider) {
		return nil
	}
	if err != nil {
		return err
	}
	uid := object.GetUID()
	return client.IgnoreNotFound(r.Client.Delete(ctx, object, client.Preconditions{UID: &uid}))
}

// managementToken makes the token of the management API once. It is never put into status, Events or logs.
func (r *Reconciler) managementToken(ctx context.Context, s *scope) error {
	name := types.NamespacedName{Namespace: s.key.Namespace, Name: render.ManagementSecretName(s.key.Name)}
	if _, err := r.token(ctx, name); !apierrors.IsNotFound(err) {
		return err
	}
	secretBytes := make([]byte, 32)
	if _, err := rand.Read(secretBytes); err != nil {
		return err
	}
	secret := coreac.Secret(name.Name, name.Namespace).
		WithLabels(render.Labels(s.key.Name)).
		WithOwnerReferences(render.Owner(s.serviceProvider)).
		WithType(corev1.SecretTypeOpaque).
		WithData(map[string][]byte{tokenKey: []byte(base64.RawURLEncoding.EncodeToString(secretBytes))})
	return r.Client.Apply(ctx, secret, client.FieldOwner(ownerKeys), client.ForceOwnership)
}

// token reads the token of the management API, past the cache: Secrets' contents are not cached.
func (r *Reconciler) token(ctx context.Context, name types.NamespacedName) (string, error) {
	var secret corev1.Secret
	if err := r.Live.Get(ctx, name, &secret); err != nil {
		return "", err
	}
	if len(secret.Data[tokenKey]) == 0 {
		return "", fmt.Errorf("secret %s has no key %s: delete it, and it is made anew", name.Name, tokenKey)
	}
	return string(secret.Data[tokenKey]), nil
}
