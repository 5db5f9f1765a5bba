package chart

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
)

// pod is one that there is in the cluster.
type pod struct {
	namespace, name string
	corev1.PodTemplateSpec
}

// monitor is what is looked at of a PodMonitor or a ServiceMonitor.
type monitor struct {
	NamespaceSelector struct {
		Any        bool
		MatchNames []string
	}
	Selector                       metav1.LabelSelector
	PodMetricsEndpoints, Endpoints []endpoint
}

// endpoint is one of its endpoints; what is not here would change what is scraped in a way that this test knows nothing of.
type endpoint struct {
	Port, Interval string
	HonorLabels    bool
	Relabelings    []struct {
		SourceLabels []string
		TargetLabel  string
	}
}

// target is what Prometheus scrapes.
type target struct {
	pod         string
	port        int32
	labels      string
	honorLabels bool
}

// as reads an object as a type; strictly, a field that the type does not have is a mistake.
func as[T any](t *testing.T, object *unstructured.Unstructured, path ...string) (typed T) {
	t.Helper()
	if object == nil {
		t.Fatal("it is not there")
	}
	part, _, err := unstructured.NestedFieldNoCopy(object.Object, path...)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&typed); err != nil {
		t.Fatalf("%s %s: %v", object.GetKind(), object.GetName(), err)
	}
	return typed
}

// pods are the operator's, as it is installed, and those of a ServiceProvider in each of two namespaces.
func pods(t *testing.T, installed map[string]*unstructured.Unstructured) []pod {
	t.Helper()
	operator := as[appsv1.Deployment](t, installed["Deployment/sallyport-operator"])
	all := []pod{{operator.Namespace, "operator-0", operator.Spec.Template}}
	for _, namespace := range []string{"sso", "other"} {
		sp := &v1alpha1.ServiceProvider{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "main"}}
		for _, object := range render.Render(render.Input{ServiceProvider: sp, Image: "none"}).Apply {
			text, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			var workload appsv1.StatefulSet
			if err := json.Unmarshal(text, &workload); err != nil || workload.Kind != "StatefulSet" {
				continue
			}
			all = append(all, pod{namespace, "main-0", workload.Spec.Template})
		}
	}
	if len(all) != 3 {
		t.Fatalf("there are %d pods", len(all))
	}
	return all
}

// port is the number of a port of the pod that is referred to by name, 0 when it has none.
func (p pod) port(name string) int32 {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == name && name != "" {
				return port.ContainerPort
			}
		}
	}
	return 0
}

func (m monitor) matches(t *testing.T, home, namespace string, of map[string]string) bool {
	t.Helper()
	here := m.NamespaceSelector.Any || slices.Contains(m.NamespaceSelector.MatchNames, namespace) || len(m.NamespaceSelector.MatchNames) == 0 && namespace == home
	return here && selects(t, &m.Selector, of)
}

func selects(t *testing.T, selector *metav1.LabelSelector, of map[string]string) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return s.Matches(labels.Set(of))
}

// labels are those of the target: namespace and pod, which the Prometheus operator always gives it, and what the relabelings make of the pod's own.
func (e endpoint) labels(t *testing.T, p pod) string {
	t.Helper()
	discovered := map[string]string{}
	for name, value := range p.Labels {
		discovered["__meta_kubernetes_pod_label_"+strings.NewReplacer(".", "_", "/", "_", "-", "_").Replace(name)] = value
	}
	made := map[string]string{"namespace": p.namespace, "pod": p.name}
	for _, r := range e.Relabelings {
		var values []string
		for _, source := range r.SourceLabels {
			values = append(values, discovered[source])
		}
		made[r.TargetLabel] = strings.Join(values, ";")
	}
	return fmt.Sprint(made)
}

// scraped resolves all monitors to what Prometheus scrapes.
func scraped(t *testing.T, installed map[string]*unstructured.Unstructured) (all []target) {
	t.Helper()
	there := pods(t, installed)
	for _, name := range slices.Sorted(maps.Keys(installed)) {
		object := installed[name]
		switch object.GetKind() {
		case "PodMonitor":
			m := as[monitor](t, object, "spec")
			for _, p := range there {
				for _, e := range m.PodMetricsEndpoints {
					if m.matches(t, object.GetNamespace(), p.namespace, p.Labels) {
						all = append(all, target{p.namespace + "/" + p.name, p.port(e.Port), e.labels(t, p), e.HonorLabels})
					}
				}
			}
		case "ServiceMonitor":
			m := as[monitor](t, object, "spec")
			for _, service := range installed {
				if service.GetKind() == "Service" && m.matches(t, object.GetNamespace(), service.GetNamespace(), service.GetLabels()) {
					all = append(all, m.behind(t, as[corev1.Service](t, service), there)...)
				}
			}
		}
	}
	return all
}

// behind are the targets behind a Service.
func (m monitor) behind(t *testing.T, service corev1.Service, there []pod) (all []target) {
	t.Helper()
	for _, e := range m.Endpoints {
		for _, port := range service.Spec.Ports {
			for _, p := range there {
				if port.Name == e.Port && p.namespace == service.Namespace && selects(t, &metav1.LabelSelector{MatchLabels: service.Spec.Selector}, p.Labels) {
					all = append(all, target{p.namespace + "/" + p.name, p.port(port.TargetPort.String()), e.labels(t, p), e.HonorLabels})
				}
			}
		}
	}
	return all
}

// TestMonitorsFindThePods: a selector, a port or a label that is wrong in a monitor would silence every alert, and nothing else would tell.
func TestMonitorsFindThePods(t *testing.T) {
	operator := target{"sallyport-system/operator-0", 8080, "map[namespace:sallyport-system pod:operator-0]", true}
	providers := []target{
		{"sso/main-0", render.MetricsPort, "map[namespace:sso pod:main-0 serviceprovider:main]", false},
		{"other/main-0", render.MetricsPort, "map[namespace:other pod:main-0 serviceprovider:main]", false},
	}
	for _, c := range []struct {
		name      string
		installed map[string]*unstructured.Unstructured
		want      []target
	}{
		{"config", kustomized(t, "resources: [config/default, config/prometheus]\n"), append([]target{operator}, providers...)},
		{"chart", template(t, "--set", "serviceMonitor.enabled=true"), append(slices.Clone(providers), operator)},
		{"chart for one namespace", template(t, "--set", "serviceMonitor.enabled=true,operator.namespaces={sso}"), []target{providers[0], operator}},
	} {
		if got := scraped(t, c.installed); !slices.Equal(got, c.want) {
			t.Errorf("%s: scraped are\n%+v\nwant\n%+v", c.name, got, c.want)
		}
	}
}

// guards holds the operator's NetworkPolicy and PodDisruptionBudget to its pods.
func guards(t *testing.T, installed map[string]*unstructured.Unstructured) {
	t.Helper()
	there := pods(t, installed)
	policy := as[networkingv1.NetworkPolicy](t, installed["NetworkPolicy/sallyport-operator"])
	budget := as[policyv1.PodDisruptionBudget](t, installed["PodDisruptionBudget/sallyport-operator"])
	for whose, selector := range map[string]*metav1.LabelSelector{"the NetworkPolicy": &policy.Spec.PodSelector, "the PodDisruptionBudget": budget.Spec.Selector} {
		if !selects(t, selector, there[0].Labels) || selects(t, selector, there[1].Labels) {
			t.Errorf("%s selects %s, and the operator's pods have %v", whose, metav1.FormatLabelSelector(selector), there[0].Labels)
		}
	}
	var admitted []int32
	for _, rule := range policy.Spec.Ingress {
		for _, p := range rule.Ports {
			admitted = append(admitted, there[0].port(p.Port.String()))
		}
	}
	if !slices.Equal(admitted, []int32{8080, 8081}) {
		t.Errorf("the NetworkPolicy admits to %v", admitted)
	}
	if n := budget.Spec.MaxUnavailable; n == nil || n.IntValue() != 1 {
		t.Errorf("the PodDisruptionBudget lets %v go", n)
	}
}
