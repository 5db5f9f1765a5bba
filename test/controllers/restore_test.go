package controllers

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// TestKeysComeBackFromABackup restores as docs/backup.md says: the Secrets of the keys without their owners, and then the objects. Partners know the certificate of
// before, so it has to be the one that signs; and from then on it goes with its IdentityProvider again.
func TestKeysComeBackFromABackup(t *testing.T) {
	t.Parallel()
	old, fresh := namespace(t), namespace(t)
	before := keysOfANewIdP(t, old)

	saved := keysSecret(t, old)
	create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: fresh, Name: saved.Name, Labels: saved.Labels}, Type: saved.Type, Data: saved.Data})
	if after := keysOfANewIdP(t, fresh); after != before {
		t.Errorf("the certificate was %s, and is %s after the restore", before, after)
	}
	eventually(t, "the Secret belongs to the IdentityProvider of today", func() bool {
		owner := metav1.GetControllerOf(keysSecret(t, fresh))
		return owner != nil && owner.Kind == v1alpha1.KindIdentityProvider
	})
}

// TestKeysOfSomebodyElseAreNotTaken: a Secret of that name which is not one of ours is neither used nor overwritten.
func TestKeysOfSomebodyElseAreNotTaken(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "sallyport-keys-okta"}, Data: map[string][]byte{"a": []byte("b")}}
	idp := identityProvider(ns, "okta", inline(t))
	create(t, foreign)
	newOperator(t, ns)
	create(t, serviceProvider(ns), idp)
	mustContain(t, await(t, idp, "Accepted", isFalse, "Invalid"), "sallyport-keys-okta", "belongs to something else")
	if data := keysSecret(t, ns).Data; string(data["a"]) != "b" || len(data) != 1 {
		t.Errorf("somebody else's Secret was changed: %d keys", len(data))
	}
}

// keysOfANewIdP has an operator make an IdentityProvider Ready, and returns the fingerprint of the certificate that it signs with.
func keysOfANewIdP(t *testing.T, ns string) string {
	t.Helper()
	o := newOperator(t, ns)
	idp := identityProvider(ns, "okta", inline(t))
	create(t, serviceProvider(ns), idp)
	newPod(t, ns, "main")
	await(t, idp, "Ready", isTrue, "Serving")
	o.stop()
	return idp.Status.ServiceProvider.Certificates[0].SHA256
}

func keysSecret(t *testing.T, ns string) *corev1.Secret {
	t.Helper()
	var secret corev1.Secret
	if err := k8s.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: "sallyport-keys-okta"}, &secret); err != nil {
		t.Fatal(err)
	}
	return &secret
}
