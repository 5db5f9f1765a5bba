package controllers

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
)

const keysKey = "keys.json"

func keysSecretName(idp string) string { return "sallyport-keys-" + idp }

// keys returns our own keys for the connection, and makes the first one. The Secret goes with the IdentityProvider, so the keys are the
// last thing of it to go.
func (r *Reconciler) keys(ctx context.Context, sp *v1alpha1.ServiceProvider, idp *v1alpha1.IdentityProvider) ([]snapshot.SPKey, error) {
	if keys, ok := r.knownKeys.get(idp.UID); ok {
		return keys, nil
	}
	var secret corev1.Secret
	name := types.NamespacedName{Namespace: idp.Namespace, Name: keysSecretName(idp.Name)}
	err := r.Live.Get(ctx, name, &secret)
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	var keys []snapshot.SPKey
	if err == nil {
		if err := json.Unmarshal(secret.Data[keysKey], &keys); err != nil {
			return nil, fmt.Errorf("secret %s: %s cannot be read: restore it, or delete the Secret and register the new certificate at the IdP", name.Name, keysKey)
		}
	}
	if apierrors.IsNotFound(err) {
		if keys, err = r.makeKeys(ctx, sp, idp); err != nil {
			return nil, err
		}
	}
	r.knownKeys.set(idp.UID, keys)
	return keys, nil
}

func (r *Reconciler) makeKeys(ctx context.Context, sp *v1alpha1.ServiceProvider, idp *v1alpha1.IdentityProvider) ([]snapshot.SPKey, error) {
	lifetime := idp.Spec.SAML.Keys.CertificateLifetime.Or(v1alpha1.DefaultCertificateLifetime)
	key, err := trust.NewSPKey(r.Clock.Now(), compile.EntityID(sp.Spec.URL, idp.Name), lifetime, rand.Reader)
	if err != nil {
		return nil, err
	}
	key.Phase = snapshot.KeyCurrent
	keys := []snapshot.SPKey{key}
	content, err := json.Marshal(keys)
	if err != nil {
		return nil, err
	}
	secret := coreac.Secret(keysSecretName(idp.Name), idp.Namespace).
		WithLabels(render.Labels(sp.Name)).
		WithOwnerReferences(metaac.OwnerReference().WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind(v1alpha1.KindIdentityProvider).
			WithName(idp.Name).WithUID(idp.UID).WithController(true).WithBlockOwnerDeletion(true)).
		WithType(corev1.SecretTypeOpaque).
		WithData(map[string][]byte{keysKey: content})
	if err := r.Client.Apply(ctx, secret, client.FieldOwner(ownerKeys), client.ForceOwnership); err != nil {
		return nil, err
	}
	return keys, nil
}
