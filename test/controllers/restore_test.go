package controllers

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
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

// TestWhatABackupBringsBackBesidesKeysIsWrittenAnew: a backup of every Secret has also those that are made again, without owners and with labels of its own.
func TestWhatABackupBringsBackBesidesKeysIsWrittenAnew(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	names := []string{"main-signed-header", "main-management", "main-snapshot-index", "sallyport-metadata-okta"}
	for _, name := range names {
		labels := render.Labels("main")
		labels["velero.io/restore-name"] = "monday"
		create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: labels}, Data: map[string][]byte{"old": []byte("old")}})
	}
	newOperator(t, ns)
	server, set := metadataServer(t)
	set(answer(idpMetadata(t, "https://idp.example.com/")))
	okta, ca := fromServer(ns, "okta", server)
	main := withSignedHeader(ns)
	create(t, ca, main, okta)
	newPod(t, ns, "main")
	await(t, main, "Ready", isTrue, "Serving")
	await(t, okta, "Ready", isTrue, "Serving")
	for _, name := range names {
		eventually(t, name+" has an owner", func() bool {
			var secret corev1.Secret
			err := k8s.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: name}, &secret)
			return err == nil && metav1.GetControllerOf(&secret) != nil
		})
	}
}

// TestSecretsOfSomebodyElseBlockWhatTheyAreFor: no name is taken over, and only what needs it waits.
func TestSecretsOfSomebodyElseBlockWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	for _, name := range []string{"main-signed-header", "sallyport-metadata-okta"} {
		create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Data: map[string][]byte{"a": []byte("b")}})
	}
	newOperator(t, ns)
	server, set := metadataServer(t)
	set(answer(idpMetadata(t, "https://idp.example.com/")))
	okta, ca := fromServer(ns, "okta", server)
	main := withSignedHeader(ns)
	create(t, ca, main, okta)
	newPod(t, ns, "main")
	mustContain(t, await(t, main, "Ready", isFalse, "Conflicted"), "main-signed-header", "delete or rename it")
	await(t, okta, "Ready", isTrue, "Serving")
	for _, name := range []string{"main-signed-header", "sallyport-metadata-okta"} {
		var secret corev1.Secret
		if err := k8s.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: name}, &secret); err != nil || len(secret.Data) != 1 || string(secret.Data["a"]) != "b" {
			t.Errorf("somebody else's Secret %s was changed: %v", name, err)
		}
	}
	if err := k8s.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "main-signed-header"}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the keys are made when the name is free", func() bool {
		s, err := tryServed(t, ns)
		return err == nil && s.ServiceProvider.SignedHeader != nil
	})
}

func withSignedHeader(ns string) *v1alpha1.ServiceProvider {
	main := serviceProvider(ns)
	main.Spec.SignedHeader = &v1alpha1.SignedHeaderSettings{State: v1alpha1.StateEnabled}
	return main
}

// TestWhatWasRestoredCanBeDeleted saves and restores the objects as docs/backup.md says: the finalizer that comes back belongs to kubectl, and goes all the same. One of
// somebody else stays.
func TestWhatWasRestoredCanBeDeleted(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	objects := household(t, ns)
	for _, object := range objects {
		create(t, object)
	}
	p := newPod(t, ns, "main")
	o.ready(objects)
	saved := filepath.Join(t.TempDir(), "sallyport-objects.yaml")
	if err := os.WriteFile(saved, []byte(kubectl(t, "-n", ns, "get", "sso", "-o", "yaml")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		remove(t, object)
	}
	o.gone("before the restore", objects, p)
	collectGarbage(t, ns)

	kubectl(t, "apply", "-n", ns, "-f", saved)
	objects = household(t, ns)
	idp := objects["idp"]
	if get(t, idp); !slices.Contains(idp.GetFinalizers(), v1alpha1.FinalizerDomainBindings) {
		t.Fatal("the backup has no finalizer: this test shows nothing")
	}
	p = newPod(t, ns, "main")
	o.ready(objects)
	const foreign = "example.com/other"
	before := idp.DeepCopyObject().(client.Object)
	idp.SetFinalizers(append(idp.GetFinalizers(), foreign))
	if err := k8s.Patch(t.Context(), idp, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	remove(t, idp)
	await(t, idp, "DeletionBlocked", isTrue, "DomainsBound")
	remove(t, objects["binding"], objects["other binding"])
	eventually(t, "only somebody else holds it", func() bool { get(t, idp); return slices.Equal(idp.GetFinalizers(), []string{foreign}) })
	letGo(t, idp)
	remove(t, objects["mapping"], objects["sp"])
	o.gone("after the restore", objects, p)
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
