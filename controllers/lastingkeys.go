package controllers

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
)

// lastingKey is a Secret with a key that the operator makes. It has no owner: like what is in the store, it outlives the ServiceProvider, so that one of the same name
// goes on with it. It is never put into status, Events or logs.
type lastingKey struct {
	secret, file, component, purpose string
	make                             func() (map[string][]byte, error)
	// note tells when another key is there than before; nil: somebody else does.
	note func(ctx context.Context, s *scope, data map[string][]byte) error
}

func (r *Reconciler) lastingKeys(serviceProvider, rotation string) []lastingKey {
	return []lastingKey{
		{render.AuditSecretName(serviceProvider), render.AuditKeyFile, "audit-key", auditKeyPurpose, makeAuditKey(rotation), nil},
		{render.FactorSecretName(serviceProvider), render.FactorKeyFile, "second-factor-key", "encrypts second factors", makeKey(render.FactorKeyFile), r.noteFactorKeys},
	}
}

const auditKeyPurpose = "signs the audit log"

// missingKey says what to do when such a Secret is gone. The operator makes no other one as long as it remembers that there was one: what the key has signed or encrypted
// would be worth nothing.
func missingKey(secret, purpose string) string {
	return fmt.Sprintf("There is no Secret %s any more, whose key %s: restore it from the backup.", secret, purpose)
}

// lostLastingKey says which of the keys that were there is gone; empty: none.
func (r *Reconciler) lostLastingKey(ctx context.Context, s *scope) (string, error) {
	if !s.memory.lastingKeys {
		return "", nil
	}
	for _, key := range r.lastingKeys(s.key.Name, "") {
		var secret corev1.Secret
		err := r.Live.Get(ctx, types.NamespacedName{Namespace: s.key.Namespace, Name: key.secret}, &secret)
		if apierrors.IsNotFound(err) {
			return missingKey(key.secret, key.purpose), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", nil
}

// keepLastingKeys makes the keys that are not there yet.
func (r *Reconciler) keepLastingKeys(ctx context.Context, s *scope) error {
	if s.memory.lastingKeys {
		return nil
	}
	for _, key := range r.lastingKeys(s.key.Name, s.serviceProvider.Annotations[v1alpha1.AnnotationRotateAuditKey]) {
		data, err := r.keepLastingKey(ctx, s.key.Namespace, s.key.Name, key)
		if err != nil {
			return err
		}
		if key.note != nil {
			if err := key.note(ctx, s, data); err != nil {
				return err
			}
		}
	}
	s.memory.lastingKeys = true
	return nil
}

// keepLastingKey returns what is in the Secret, which it makes where there is none.
func (r *Reconciler) keepLastingKey(ctx context.Context, namespace, serviceProvider string, key lastingKey) (map[string][]byte, error) {
	var secret corev1.Secret
	err := r.Live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: key.secret}, &secret)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return nil, err
	case err == nil && len(secret.Data[key.file]) == 0:
		return nil, blocked(v1alpha1.ReasonConflicted, time.Minute, "Secret %s exists and has no %s: delete or rename it: the operator keeps the key that %s in a Secret of that name.", key.secret, key.file, key.purpose)
	case err == nil:
		return secret.Data, nil
	}
	data, err := key.make()
	if err != nil {
		return nil, err
	}
	// Create, not apply: two operators must not both believe that theirs is the key.
	labels := map[string]string{render.LabelInstance: serviceProvider, render.LabelComponent: key.component}
	made := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: key.secret, Labels: labels}, Type: corev1.SecretTypeOpaque, Data: data}
	if err := r.Client.Create(ctx, made, client.FieldOwner(ownerKeys)); err != nil {
		return nil, fmt.Errorf("making the key that %s: %w", key.purpose, err)
	}
	return data, nil
}

// makeKey makes one line of 32 random bytes. Where several lines are read, a newer key is a line above it: the old one goes on reading what it has encrypted.
func makeKey(file string) func() (map[string][]byte, error) {
	return func() (map[string][]byte, error) {
		key := make([]byte, 32)
		if _, err := rand.Read(key); err != nil {
			return nil, err
		}
		return map[string][]byte{file: encodeKey(key)}, nil
	}
}

func encodeKey(key []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(key) + "\n") }
