package controllers

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
)

// TestTheCABundleOfTheStoreIsFollowed: what is wrong with it shows on the ServiceProvider, what is made or changed afterwards counts without any other change, and the pods,
// which mount it, are not replaced for that.
func TestTheCABundleOfTheStoreIsFollowed(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	newOperator(t, ns)
	sp := serviceProvider(ns)
	sp.Spec.Store = &v1alpha1.Store{Postgres: &v1alpha1.PostgresStore{ConnectionSecretRef: v1alpha1.SecretKeyReference{Name: "sso-db"},
		CABundle: &v1alpha1.CABundleSource{ConfigMapRef: &v1alpha1.ConfigMapKeyReference{Name: "db-ca"}}}}
	create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "sso-db"}, Data: map[string][]byte{"uri": []byte("postgres://x")}}, sp)
	problem := func(reason, part string) {
		t.Helper()
		eventually(t, part, func() bool { return strings.Contains(await(t, sp, v1alpha1.ConditionAccepted, isFalse, reason), part) })
	}
	const field = "spec.store.postgres.caBundle: "
	problem(v1alpha1.ReasonReferenceNotFound, field+"there is no ConfigMap db-ca in this namespace: create it, or correct the name.")
	eventually(t, "Available names what the pods wait for", func() bool {
		get(t, sp)
		return strings.Contains(message(t, sp, v1alpha1.ConditionAvailable), "No pod is ready. "+field+"there is no ConfigMap db-ca")
	})
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: render.WorkloadName("main")}}
	mounts := func() (bundle corev1.Volume) {
		t.Helper()
		get(t, deployment)
		pod := deployment.Spec.Template.Spec
		at := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == "store-ca" })
		if at < 0 || !slices.Contains(pod.Containers[0].Args, "--store-ca-file=/store-ca/ca.crt") {
			t.Fatalf("the pods do not get the bundle: %v %v", pod.Volumes, pod.Containers[0].Args)
		}
		return pod.Volumes[at]
	}
	if v := mounts().ConfigMap; v == nil || v.Name != "db-ca" || len(v.Items) != 1 || v.Items[0].Key != "ca.crt" || v.Optional != nil {
		t.Errorf("mounted is %+v", v)
	}

	ca := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "db-ca"}, Data: map[string]string{"other": certificatePEM(t)}}
	create(t, ca)
	problem(v1alpha1.ReasonReferenceNotFound, field+"ConfigMap db-ca has no key ca.crt: add it, or name another key.")
	ca.Data = map[string]string{"ca.crt": "nonsense"}
	update(t, ca)
	problem(v1alpha1.ReasonInvalidCertificate, field+"ConfigMap db-ca, key ca.crt, has no certificate in it")
	ca.Data["ca.crt"] = certificatePEM(t)
	update(t, ca)
	await(t, sp, v1alpha1.ConditionAccepted, isTrue, v1alpha1.ReasonAccepted)
	newPod(t, ns, "main")
	await(t, sp, "Ready", isTrue, "Serving")

	// It goes away and comes back under pods that run, and nothing is made anew.
	generation := deployment.Generation
	remove(t, ca)
	problem(v1alpha1.ReasonReferenceNotFound, field+"there is no ConfigMap db-ca")
	get(t, sp)
	mustContain(t, message(t, sp, v1alpha1.ConditionAvailable), "pods are ready")
	create(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "db-ca"}, Data: map[string]string{"ca.crt": strings.Repeat(certificatePEM(t), 150)}})
	await(t, sp, "Ready", isTrue, "Serving")
	if mounts(); deployment.Generation != generation {
		t.Error("the pods are replaced for another bundle: they read it themselves")
	}

	// A Secret takes its place, and then the system's authorities do.
	create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "cluster-ca"}, Data: map[string][]byte{"root.crt": []byte(certificatePEM(t))}})
	change := func(bundle *v1alpha1.CABundleSource) {
		t.Helper()
		patch := client.MergeFrom(sp.DeepCopy())
		sp.Spec.Store.Postgres.CABundle = bundle
		if err := k8s.Patch(t.Context(), sp, patch); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the Deployment follows", func() bool { get(t, deployment); return deployment.Generation != generation })
		generation = deployment.Generation
	}
	change(&v1alpha1.CABundleSource{SecretRef: &v1alpha1.SecretKeyReference{Name: "cluster-ca", Key: "root.crt"}})
	if v := mounts().Secret; v == nil || v.SecretName != "cluster-ca" || len(v.Items) != 1 || v.Items[0].Key != "root.crt" || v.Items[0].Path != "ca.crt" {
		t.Errorf("mounted is %+v", v)
	}
	change(nil)
	if pod := deployment.Spec.Template.Spec; slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == "store-ca" }) || slices.Contains(pod.Containers[0].Args, "--store-ca-file=/store-ca/ca.crt") {
		t.Errorf("the pods still get the bundle: %v", pod.Volumes)
	}
}
