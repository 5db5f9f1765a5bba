package render_test

import (
	"maps"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
)

// rendered are the objects of one golden file as their types.
type rendered struct {
	sp       *v1alpha1.ServiceProvider
	objects  []*unstructured.Unstructured
	replicas int32
	selector *metav1.LabelSelector
	template corev1.PodTemplateSpec
	service  corev1.Service
	policy   networkingv1.NetworkPolicy
	budget   policyv1.PodDisruptionBudget
	account  corev1.ServiceAccount
	role     rbacv1.Role
	binding  rbacv1.RoleBinding
}

// each runs a test for every golden file.
func each(t *testing.T, test func(t *testing.T, r rendered)) {
	t.Helper()
	all := inputs(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) { test(t, typed(t, all[name])) })
	}
}

func typed(t *testing.T, in render.Input) rendered {
	t.Helper()
	r := rendered{sp: in.ServiceProvider, objects: objects(t, render.Render(in))}
	for kind, object := range map[string]any{"Service": &r.service, "NetworkPolicy": &r.policy, "PodDisruptionBudget": &r.budget, "ServiceAccount": &r.account, "Role": &r.role,
		"RoleBinding": &r.binding} {
		into(t, r.only(t, kind), object)
	}
	if r.kind("Deployment") != nil {
		var workload appsv1.Deployment
		into(t, r.only(t, "Deployment"), &workload)
		r.replicas, r.selector, r.template = *workload.Spec.Replicas, workload.Spec.Selector, workload.Spec.Template
	} else {
		var workload appsv1.StatefulSet
		into(t, r.only(t, "StatefulSet"), &workload)
		r.replicas, r.selector, r.template = *workload.Spec.Replicas, workload.Spec.Selector, workload.Spec.Template
	}
	return r
}

func (r rendered) kind(kind string) (all []*unstructured.Unstructured) {
	for _, o := range r.objects {
		if o.GetKind() == kind {
			all = append(all, o)
		}
	}
	return all
}

func (r rendered) only(t *testing.T, kind string) *unstructured.Unstructured {
	t.Helper()
	all := r.kind(kind)
	if len(all) != 1 {
		t.Fatalf("there are %d of kind %s", len(all), kind)
	}
	return all[0]
}

// container is the only one.
func (r rendered) container(t *testing.T) corev1.Container {
	t.Helper()
	if n := len(r.template.Spec.Containers) + len(r.template.Spec.InitContainers); n != 1 {
		t.Fatalf("a pod has %d containers", n)
	}
	return r.template.Spec.Containers[0]
}

// port is the number of a port of the container that is referred to by name.
func (r rendered) port(t *testing.T, of intstr.IntOrString) int32 {
	t.Helper()
	for _, p := range r.container(t).Ports {
		if of.StrVal == p.Name {
			return p.ContainerPort
		}
	}
	t.Errorf("the container has no port %s", of.String())
	return 0
}

// selectsTheirs fails unless the selector matches the pods of this ServiceProvider, and neither those of another one nor the operator's.
func (r rendered) selectsTheirs(t *testing.T, whose string, selector *metav1.LabelSelector) {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatalf("%s: %v", whose, err)
	}
	if !s.Matches(labels.Set(r.template.Labels)) {
		t.Errorf("%s selects %s, and a pod has %v", whose, s, r.template.Labels)
	}
	for _, other := range []map[string]string{render.Labels("other"), operatorPod(t).Labels, {}} {
		if s.Matches(labels.Set(other)) {
			t.Errorf("%s selects %v too", whose, other)
		}
	}
}
