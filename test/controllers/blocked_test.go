package controllers

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// TestASpecThatCannotBeAppliedHoldsUpNothingElse: the pods go on, everybody sees that they do, and what else is changed is served.
func TestASpecThatCannotBeAppliedHoldsUpNothingElse(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	newOperator(t, ns)
	main, okta := serviceProvider(ns), identityProvider(ns, "okta", inline(t))
	acme := domainBinding(ns, "acme", "acme.example", "okta")
	create(t, main, okta, acme)
	newPod(t, ns, "main")
	await(t, main, "Ready", isTrue, "Serving")
	await(t, acme, "Ready", isTrue, "Serving")

	// This cluster has no Gateway API.
	main.Spec.Expose = &v1alpha1.Exposure{HTTPRoute: &v1alpha1.HTTPRouteExposure{ParentRefs: []v1alpha1.GatewayReference{{Name: "gateway"}}}}
	update(t, main)
	mustContain(t, await(t, main, "Ready", isFalse, "Invalid"), "spec.expose.httpRoute", "no Gateway API")
	await(t, main, "Available", isTrue, "Available")
	if main.Status.ReplicaSummary != "1/1" {
		t.Errorf("pods are %s, want 1/1", main.Status.ReplicaSummary)
	}
	entra, other := identityProvider(ns, "entra", inline(t)), domainBinding(ns, "other", "other.example", "entra")
	create(t, entra, other)
	await(t, entra, "Ready", isTrue, "Serving")
	await(t, other, "Ready", isTrue, "Serving")
	await(t, okta, "Ready", isTrue, "Serving")
	await(t, acme, "Ready", isTrue, "Serving")
	remove(t, other, entra)
	awaitGone(t, patience, entra)
}

// TestAnObjectThatIsForbiddenIsSaid: a quota, a limit or a policy refuses one object of the workload. The others are there, and status has the API server's sentence.
func TestAnObjectThatIsForbiddenIsSaid(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	create(t, &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "small"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
		Type: corev1.LimitTypePersistentVolumeClaim, Max: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}})
	newOperator(t, ns)
	main := serviceProvider(ns)
	main.Spec.Store = &v1alpha1.Store{SQLite: &v1alpha1.SQLiteStore{Size: ptr.To(resource.MustParse("2Gi"))}}
	create(t, main)
	mustContain(t, await(t, main, "Ready", isFalse, "Invalid"), "PersistentVolumeClaim main-sallyport-data", "maximum storage usage", "1Gi")
	kubectl(t, "get", "service,statefulset,networkpolicy", "-n", ns, "main-sallyport")

	main.Spec.Store.SQLite.Size = ptr.To(resource.MustParse("1Gi"))
	update(t, main)
	newPod(t, ns, "main")
	await(t, main, "Ready", isTrue, "Serving")
}
