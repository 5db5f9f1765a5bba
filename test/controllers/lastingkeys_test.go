package controllers

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/render"
)

// TestThePodsKeysAreMadeOnce: the key that signs the audit log and the one that encrypts second factors are made once, are what the pods are given, and outlive the operator.
func TestThePodsKeysAreMadeOnce(t *testing.T) {
	t.Parallel()
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
		return v.Projected != nil && len(v.Projected.Sources) == 2 && v.Projected.Sources[0].Secret.Name == "main-audit" && v.Projected.Sources[0].Secret.Items[0].Key == "key.pem"
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

// TestTheAuditKeyIsReplacedByOneThatItIntroduces: whoever asks with the annotation gets a new key, once, whatever crashes; status names it, the pods are rolled, it is
// recorded, and who knows only the first public key verifies what the new one signs.
func TestTheAuditKeyIsReplacedByOneThatItIntroduces(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	sp := serviceProvider(ns)
	create(t, sp)
	_ = newPod(t, ns, "main")
	seen := func(former string) *v1alpha1.AuditKeyStatus {
		t.Helper()
		eventually(t, "status to name a new key", func() bool { get(t, sp); return sp.Status.AuditKey != nil && sp.Status.AuditKey.ID != former })
		return sp.Status.AuditKey
	}
	first := *seen("")
	for k, former := 1, first.ID; k <= 4; k++ {
		crashed := o.wire.crash(k)
		get(t, sp)
		change := client.MergeFrom(sp.DeepCopy())
		sp.Annotations = map[string]string{v1alpha1.AnnotationRotateAuditKey: strconv.Itoa(k)}
		if err := k8s.Patch(t.Context(), sp, change); err != nil {
			t.Fatal(err)
		}
		died := false
		o.orCrash("another key", crashed, &died, func() bool { get(t, sp); return sp.Status.AuditKey.ID != former })
		o.wire.revive()
		former = sp.Status.AuditKey.ID
	}
	o.restart()
	o.atRest(t)
	var secret corev1.Secret
	if err := k8s.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: "main-audit"}, &secret); err != nil {
		t.Fatal(err)
	}
	var successions []audit.Succession
	if err := json.Unmarshal(secret.Data["successions.json"], &successions); err != nil || len(successions) != 4 {
		t.Fatalf("%d keys were introduced, %v", len(successions), err)
	}
	block, _ := pem.Decode(secret.Data["key.pem"])
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := audit.NewSigner(key.(ed25519.PrivateKey), successions...)
	if err != nil {
		t.Fatal(err)
	}
	if get(t, sp); audit.KeyID(signer.Public()) != sp.Status.AuditKey.ID || !bytes.Equal(signer.Public(), sp.Status.AuditKey.PublicKey) {
		t.Errorf("status names key %s", sp.Status.AuditKey.ID)
	}
	checkpoint, err := signer.Checkpoint(audit.Head{Writer: "w"}, nil, true, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	line, err := (&audit.Head{Writer: "w"}).Append(checkpoint, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if r, err := audit.Verify(bytes.NewReader(line.Line), audit.VerifyOptions{Keys: []ed25519.PublicKey{first.PublicKey}}); err != nil || !r.OK() {
		t.Errorf("%+v, %v", r, err)
	}
	var set appsv1.StatefulSet
	eventually(t, "the pods to be rolled", func() bool {
		return k8s.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: render.WorkloadName("main")}, &set) == nil && set.Spec.Template.Annotations["sso.sallyport.dev/audit-key"] == sp.Status.AuditKey.ID
	})
	told := map[string]bool{}
	for _, r := range o.audit.all() {
		if r.Type == audit.TypeAuditKeyRotated {
			told[transitionKey(t, r.Details)] = true
		}
	}
	if len(told) != 4 {
		t.Errorf("%d rotations were told", len(told))
	}
}

// TestALostAuditKeyIsNoRotation: an operator that finds no key when it starts makes one. Nobody has introduced it, so that nobody may say so.
func TestALostAuditKeyIsNoRotation(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	sp := serviceProvider(ns)
	create(t, sp)
	_ = newPod(t, ns, "main")
	await(t, sp, "Ready", isTrue, "Serving")
	before := sp.Status.AuditKey.ID
	o.stop()
	remove(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "main-audit"}})
	o.restart()
	eventually(t, "another key in status", func() bool { get(t, sp); return sp.Status.AuditKey.ID != before })
	awaitEvent(t, sp, corev1.EventTypeWarning, "AuditKeyReplaced", "Key "+sp.Status.AuditKey.ID, "instead of key "+before+", which has not introduced it", "Secret main-audit", "Restore it from the backup")
	if n := o.audit.count(audit.TypeAuditKeyRotated, "main"); n != 0 || len(told(t, sp, "AuditKeyRotated")) != 0 {
		t.Errorf("it was told as a rotation, and recorded %d times", n)
	}
}
