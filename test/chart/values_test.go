package chart

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// podOf is the specification of the operator's pods.
func podOf(t *testing.T, arguments ...string) map[string]any {
	t.Helper()
	pod, found, err := unstructured.NestedMap(template(t, arguments...)["Deployment/sallyport-operator"].Object, "spec", "template", "spec")
	if err != nil || !found {
		t.Fatal("the operator has no pods", err)
	}
	return pod
}

func TestSeveralReplicasAreSpread(t *testing.T) {
	if constraints := podOf(t)["topologySpreadConstraints"]; constraints != nil {
		t.Errorf("one replica is spread: %v", constraints)
	}
	constraints, _, _ := unstructured.NestedSlice(podOf(t, "--set", "operator.replicas=2"), "topologySpreadConstraints")
	if len(constraints) != 1 {
		t.Fatalf("two replicas are spread by %v", constraints)
	}
	// A cluster of one node must be able to run both.
	first := constraints[0].(map[string]any)
	if first["topologyKey"] != "kubernetes.io/hostname" || first["whenUnsatisfiable"] != "ScheduleAnyway" {
		t.Errorf("two replicas are spread by %v", first)
	}
	selected, _, _ := unstructured.NestedStringMap(first, "labelSelector", "matchLabels")
	if selected["app.kubernetes.io/name"] != "sallyport" || selected["app.kubernetes.io/component"] != "operator" {
		t.Errorf("the spread counts pods with %v", selected)
	}
	own, _, _ := unstructured.NestedSlice(podOf(t, "--set", "operator.replicas=2", "--set-json", `operator.topologySpreadConstraints=[{"maxSkew":2,"topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule"}]`),
		"topologySpreadConstraints")
	if len(own) != 1 || own[0].(map[string]any)["topologyKey"] != "zone" {
		t.Errorf("the constraints that were given became %v", own)
	}
}

// arguments are those of the operator.
func arguments(t *testing.T, values ...string) []string {
	t.Helper()
	containers, _, _ := unstructured.NestedSlice(podOf(t, values...), "containers")
	list, _, err := unstructured.NestedStringSlice(containers[0].(map[string]any), "args")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestTheLogLevelReachesTheOperator(t *testing.T) {
	if got := arguments(t, "--set", "operator.logLevel=debug"); !slices.Contains(got, "--log-level=debug") {
		t.Errorf("the arguments are %v", got)
	}
	if said := refuses(t, "--set", "operator.logLevel=loud"); !strings.Contains(said, "logLevel") || !strings.Contains(said, "debug") {
		t.Errorf("the refusal names neither the value nor what it may be:\n%s", said)
	}
}

// TestEveryObjectIsOfTheRelease holds what people who look after many releases rely on.
func TestEveryObjectIsOfTheRelease(t *testing.T) {
	for name, object := range template(t, "--set", "operator.replicas=2,serviceMonitor.enabled=true", "--namespace", "platform-sso") {
		if object.GetKind() == "CustomResourceDefinition" {
			continue // shared by all, and kept
		}
		labels := object.GetLabels()
		if labels["app.kubernetes.io/name"] != "sallyport" || labels["app.kubernetes.io/instance"] != "sallyport" || labels["helm.sh/chart"] == "" {
			t.Errorf("%s has the labels %v", name, labels)
		}
		if ns := object.GetNamespace(); ns != "" && ns != "platform-sso" {
			t.Errorf("%s is in namespace %s", name, ns)
		}
		if subjects, _, _ := unstructured.NestedSlice(object.Object, "subjects"); strings.HasSuffix(object.GetKind(), "RoleBinding") {
			for _, subject := range subjects {
				if subject.(map[string]any)["namespace"] != "platform-sso" {
					t.Errorf("%s binds %v", name, subject)
				}
			}
		}
	}
}

// TestDashboardsNeedNoLabel: whoever has no sidecar sets the label to null, and Helm takes it out.
func TestDashboardsNeedNoLabel(t *testing.T) {
	for _, set := range []string{"dashboards.labels=null", "dashboards.labels.grafana_dashboard=null"} {
		n := 0
		for name, object := range template(t, "--set", "dashboards.enabled=true", "--set", set) {
			if !strings.HasPrefix(name, "ConfigMap/sallyport-dashboard-") {
				continue
			}
			if n++; object.GetLabels()["grafana_dashboard"] != "" || object.GetLabels()["app.kubernetes.io/instance"] == "" {
				t.Errorf("%s: the labels of %s are %v", set, name, object.GetLabels())
			}
		}
		if n == 0 {
			t.Errorf("%s: no dashboard", set)
		}
	}
}
