package controllers

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
)

// publicKeyName is the public half beside the private key: whoever verifies the audit log needs it, and nothing else.
const publicKeyName = "public.pem"

// auditKey makes the key that signs audit checkpoints, once. It has no owner: like the records, it outlives the ServiceProvider, so that one of the same name goes on
// with it. It is never put into status, Events or logs.
func (r *Reconciler) auditKey(ctx context.Context, s *scope) error {
	if s.memory.auditKey {
		return nil
	}
	name := types.NamespacedName{Namespace: s.key.Namespace, Name: render.AuditSecretName(s.key.Name)}
	var secret corev1.Secret
	err := r.Live.Get(ctx, name, &secret)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return err
	case err == nil && len(secret.Data[render.AuditKeyFile]) == 0:
		return blocked(v1alpha1.ReasonConflicted, time.Minute, "Secret %s exists and has no %s: delete or rename it, the operator keeps the key there that signs the audit log.", name.Name, render.AuditKeyFile)
	case err == nil:
		s.memory.auditKey = true
		return nil
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	data := map[string][]byte{}
	for file, encode := range map[string]func() (string, []byte, error){
		render.AuditKeyFile: func() (string, []byte, error) {
			der, err := x509.MarshalPKCS8PrivateKey(private)
			return "PRIVATE KEY", der, err
		},
		publicKeyName: func() (string, []byte, error) {
			der, err := x509.MarshalPKIXPublicKey(public)
			return "PUBLIC KEY", der, err
		},
	} {
		kind, der, err := encode()
		if err != nil {
			return err
		}
		data[file] = pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	// Create, not apply: two operators must not both believe that theirs is the key.
	labels := map[string]string{render.LabelInstance: s.key.Name, render.LabelComponent: "audit-key"}
	made := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, Labels: labels}, Type: corev1.SecretTypeOpaque, Data: data}
	if err := r.Client.Create(ctx, made, client.FieldOwner(ownerKeys)); err != nil {
		return fmt.Errorf("making the key of the audit log: %w", err)
	}
	s.memory.auditKey = true
	return nil
}
