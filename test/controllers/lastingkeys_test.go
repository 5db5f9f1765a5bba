package controllers

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"sallyport.dev/sallyport/internal/render"
)

// TestThePodsKeysAreMadeOnce: the key that signs the audit log and the one that encrypts second factors are made once, are what the pods are given, and outlive the operator.
func TestThePodsKeysAreMadeOnce(t *testing.T) {
	ns := namespace(t)
	o := newOperator(t, ns)
	create(t, serviceProvider(ns))
	_ = newPod(t, ns, "main")
	var set appsv1.StatefulSet
	eventually(t, "the workload", func() bool {
		return k8s.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: render.WorkloadName("main")}, &set) == nil
	})
	pod := set.Spec.Template.Spec
	if !slices.Contains(pod.Containers[0].Args, "--audit-key-file=/audit/key.pem") || !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool {
		return v.Secret != nil && v.Secret.SecretName == "main-audit" && len(v.Secret.Items) == 1
	}) {
		t.Errorf("the pods do not get the key: %v %v", pod.Containers[0].Args, pod.Volumes)
	}
	read := func() (private ed25519.PrivateKey, public ed25519.PublicKey) {
		t.Helper()
		var secret corev1.Secret
		if err := k8s.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: "main-audit"}, &secret); err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(secret.Data["key.pem"])
		other, _ := pem.Decode(secret.Data["public.pem"])
		if block == nil || other == nil {
			t.Fatal("no PEM")
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		half, err := x509.ParsePKIXPublicKey(other.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		private, _ = key.(ed25519.PrivateKey)
		public, _ = half.(ed25519.PublicKey)
		return private, public
	}
	if !slices.Contains(pod.Containers[0].Args, "--second-factor-key-file=/second-factor/keys") || !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool {
		return v.Secret != nil && v.Secret.SecretName == "main-second-factor" && len(v.Secret.Items) == 1
	}) {
		t.Errorf("the pods do not get the key of second factors: %v %v", pod.Containers[0].Args, pod.Volumes)
	}
	factorKey := func() []byte {
		t.Helper()
		var secret corev1.Secret
		if err := k8s.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: "main-second-factor"}, &secret); err != nil {
			t.Fatal(err)
		}
		return secret.Data["keys"]
	}
	firstFactorKey := factorKey()
	if key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(firstFactorKey))); err != nil || len(key) != 32 {
		t.Errorf("the key of second factors is not 32 bytes in base64: %v", err)
	}
	private, public := read()
	if !private.Public().(ed25519.PublicKey).Equal(public) {
		t.Error("the public key is another one's")
	}
	o.restart()
	idp := identityProvider(ns, "okta", inline(t))
	create(t, idp)
	eventually(t, "the operator to work again", func() bool { return len(served(t, ns).Connections) == 1 })
	if again, _ := read(); !again.Equal(private) {
		t.Error("a restarted operator made another key")
	}
	if !bytes.Equal(factorKey(), firstFactorKey) {
		t.Error("a restarted operator made another key of second factors")
	}
}
