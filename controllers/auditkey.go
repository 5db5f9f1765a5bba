package controllers

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/render"
)

const (
	// publicKeyName is the public half beside the private key: whoever verifies the audit log needs it, and nothing else.
	publicKeyName = "public.pem"
	// rotationName is the last value of the annotation that the key was rotated for.
	rotationName = "rotation"
)

// auditKey is the key that signs the audit log, as far as anybody may know it.
type auditKey struct {
	public   ed25519.PublicKey
	rotation string
	// before are the IDs of the keys that lead to it: each has introduced the next one.
	before []string
}

// keepAuditKey finds out which key signs the audit log, and has it replaced when somebody asks for that. The old key introduces the new one and is then gone; one write
// of the Secret does both. The pods are rolled, because each reads the key when it starts.
func (r *Reconciler) keepAuditKey(ctx context.Context, s *scope) error {
	wish := s.serviceProvider.Annotations[v1alpha1.AnnotationRotateAuditKey]
	if known := s.memory.auditKey; known != nil && (wish == "" || wish == known.rotation) {
		return nil
	}
	var secret corev1.Secret
	name := render.AuditSecretName(s.key.Name)
	err := r.Live.Get(ctx, types.NamespacedName{Namespace: s.key.Namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) {
		return blocked(v1alpha1.ReasonInvalid, lookAgain, "%s", missingKey(name, auditKeyPurpose))
	}
	if err != nil {
		return err
	}
	private, err := parseAuditKey(secret.Data[render.AuditKeyFile])
	if err != nil {
		return blocked(v1alpha1.ReasonInvalid, time.Minute, "Secret %s, key %s: %v. Restore it: nothing that it has signed can be continued with another key.", name, render.AuditKeyFile, err)
	}
	if wish != "" && wish != string(secret.Data[rotationName]) {
		before := secret.DeepCopy()
		if private, err = replaceAuditKey(&secret, private, wish, s.now); err != nil {
			return err
		}
		// The version that was read must still be there: two operators must not both introduce a key.
		if err := r.Client.Patch(ctx, &secret, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner(ownerKeys)); err != nil {
			return fmt.Errorf("replacing the key that signs the audit log: %w", err)
		}
	}
	successions, err := successionsOf(&secret)
	if err != nil {
		return err
	}
	known := &auditKey{public: private.Public().(ed25519.PublicKey), rotation: string(secret.Data[rotationName])}
	for _, succession := range successions {
		known.before = append(known.before, audit.KeyID(succession.Previous))
	}
	s.memory.auditKey = known
	return nil
}

// successionsOf returns what led to the key in the Secret.
func successionsOf(secret *corev1.Secret) (successions []audit.Succession, err error) {
	if given := secret.Data[render.AuditSuccessionsFile]; len(given) > 0 {
		if err := json.Unmarshal(given, &successions); err != nil {
			return nil, blocked(v1alpha1.ReasonInvalid, time.Minute, "Secret %s, key %s: %v.", secret.Name, render.AuditSuccessionsFile, err)
		}
	}
	return successions, nil
}

func replaceAuditKey(secret *corev1.Secret, old ed25519.PrivateKey, rotation string, now time.Time) (ed25519.PrivateKey, error) {
	successions, err := successionsOf(secret)
	if err != nil {
		return nil, err
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	succession, err := audit.Succeed(old, public, now)
	if err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(append(successions, succession))
	if err != nil {
		return nil, err
	}
	if secret.Data, err = auditKeyData(private); err != nil {
		return nil, err
	}
	secret.Data[render.AuditSuccessionsFile], secret.Data[rotationName] = encoded, []byte(rotation)
	return private, nil
}

func makeAuditKey(rotation string) func() (map[string][]byte, error) {
	return func() (map[string][]byte, error) {
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			return nil, err
		}
		data, err := auditKeyData(private)
		if err == nil && rotation != "" {
			data[rotationName] = []byte(rotation)
		}
		return data, err
	}
}

func auditKeyData(private ed25519.PrivateKey) (map[string][]byte, error) {
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	publicDER, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		render.AuditKeyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: privateDER}),
		publicKeyName:       pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER}),
	}, nil
}

func parseAuditKey(content []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("it is not a PEM block")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("it is not a private key")
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("it is a %T, and an Ed25519 key is needed", key)
	}
	return private, nil
}

// auditKeyNews tells that another key signs the audit log. The first one is no news, and one that was introduced by none before it is no rotation.
func auditKeyNews(sp *v1alpha1.ServiceProvider, before string, now *auditKey) []news {
	after := audit.KeyID(now.public)
	if before == "" || before == after {
		return nil
	}
	if !slices.Contains(now.before, before) {
		return []news{{key: key(sp, "audit key", after), kind: v1alpha1.KindServiceProvider, about: sp, event: &eventNote{warning: true, reason: "AuditKeyReplaced", action: "Check",
			note: fmt.Sprintf("Key %s signs the audit log instead of key %s, which has not introduced it: Secret %s was deleted or replaced. Restore it from the backup, if that was not meant; "+
				"otherwise keep the public key of %s for what it has signed.", after, before, render.AuditSecretName(sp.Name), before)}}}
	}
	return []news{{key: key(sp, "audit key", after), kind: v1alpha1.KindServiceProvider, about: sp,
		record: &audit.Record{Type: audit.TypeAuditKeyRotated, Actor: actor(sp),
			Details: details{Updated: []string{"auditKey"}, Before: map[string]string{"auditKey": before}, After: map[string]string{"auditKey": after}}},
		event: &eventNote{reason: "AuditKeyRotated", action: "RotateKeys",
			note: fmt.Sprintf("Key %s signs the audit log instead of key %s, which has introduced it: status.auditKey has the public key.", after, before)}}}
}
