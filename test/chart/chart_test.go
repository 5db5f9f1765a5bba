// Package chart holds the Helm chart to what config/ installs, to its own values, and to what a cluster takes. Helm is the real one, built from
// its module (hack/tools/helm).
package chart

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"sallyport.dev/sallyport/test/internal/apiserver"
)

const (
	root  = "../.."
	chart = root + "/charts/sallyport"
)

// helm is the path of the binary.
var helm string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sallyport-helm-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	helm = filepath.Join(dir, "helm")
	build := exec.Command("go", "build", "-o", helm, "helm.sh/helm/v4/cmd/helm")
	build.Dir = filepath.Join(root, "hack", "tools", "helm")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building helm: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// template renders the chart and returns its objects by kind and name.
func template(t *testing.T, arguments ...string) map[string]*unstructured.Unstructured {
	t.Helper()
	var problems bytes.Buffer
	command := exec.Command(helm, append([]string{"template", "sallyport", chart, "--namespace", "sallyport-system"}, arguments...)...)
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		t.Fatalf("helm template: %v\n%s", err, problems.String())
	}
	return objects(t, out)
}

// kustomized are the objects of an overlay over a copy of config/.
func kustomized(t *testing.T, overlay string) map[string]*unstructured.Unstructured {
	t.Helper()
	kubectl, err := filepath.Abs(apiserver.Kubectl())
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.CopyFS(filepath.Join(folder, "config"), os.DirFS(filepath.Join(root, "config"))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(overlay), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(kubectl, "kustomize", folder).CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl kustomize (make assets builds kubectl): %v\n%s", err, out)
	}
	return objects(t, out)
}

// refuses returns what Helm says to values that it must not take.
func refuses(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := exec.Command(helm, append([]string{"template", "sallyport", chart}, arguments...)...).CombinedOutput()
	if err == nil {
		t.Errorf("helm took %v", arguments)
	}
	return string(out)
}

func objects(t *testing.T, manifests []byte) map[string]*unstructured.Unstructured {
	t.Helper()
	all := map[string]*unstructured.Unstructured{}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), 4096)
	for {
		var object map[string]any
		if err := decoder.Decode(&object); err != nil {
			break
		}
		if len(object) == 0 {
			continue
		}
		u := &unstructured.Unstructured{Object: object}
		all[u.GetKind()+"/"+u.GetName()] = u
	}
	return all
}

func TestHelmLintsTheChart(t *testing.T) {
	if out, err := exec.Command(helm, "lint", "--strict", chart).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTheChartInstallsWhatConfigDoes holds that there is one product, whichever way it is installed.
func TestTheChartInstallsWhatConfigDoes(t *testing.T) {
	want, got := kustomized(t, "resources: [config/default]\n"), template(t, "--set", "image.tag=dev")
	delete(want, "Namespace/sallyport-system") // helm install --create-namespace
	if missing, more := difference(want, got), difference(got, want); len(missing)+len(more) > 0 {
		t.Fatalf("the chart lacks %v and has %v besides", missing, more)
	}
	for name := range want {
		a, b := plain(t, want[name]), plain(t, got[name])
		if a != b {
			t.Errorf("%s differs.\nconfig: %s\nchart:  %s", name, a, b)
		}
	}
}

func difference(a, b map[string]*unstructured.Unstructured) []string {
	var only []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if b[name] == nil {
			only = append(only, name)
		}
	}
	return only
}

// plain is the object without what belongs to the way of installing it.
func plain(t *testing.T, object *unstructured.Unstructured) string {
	t.Helper()
	o := object.DeepCopy()
	labels := o.GetLabels()
	maps.DeleteFunc(labels, func(name, _ string) bool {
		return strings.HasPrefix(name, "app.kubernetes.io/") || strings.HasPrefix(name, "helm.sh/")
	})
	o.SetLabels(labels)
	if len(labels) == 0 {
		unstructured.RemoveNestedField(o.Object, "metadata", "labels")
	}
	annotations := o.GetAnnotations()
	delete(annotations, "helm.sh/resource-policy")
	o.SetAnnotations(annotations)
	if len(annotations) == 0 {
		unstructured.RemoveNestedField(o.Object, "metadata", "annotations")
	}
	text, err := json.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheKindsAreKeptWhenTheReleaseGoes(t *testing.T) {
	kinds := 0
	for name, object := range template(t) {
		if object.GetKind() != "CustomResourceDefinition" {
			continue
		}
		kinds++
		if object.GetAnnotations()["helm.sh/resource-policy"] != "keep" {
			t.Errorf("%s goes with the release, and every object of its kind with it", name)
		}
	}
	if kinds != 4 {
		t.Errorf("%d kinds, want 4", kinds)
	}
	for name, object := range template(t, "--set", "crds.enabled=false") {
		if object.GetKind() == "CustomResourceDefinition" {
			t.Errorf("%s is there although crds.enabled is false", name)
		}
	}
}

func TestValuesReachTheObjects(t *testing.T) {
	all := template(t, "--set", "image.repository=registry.example.com/sallyport,image.digest=sha256:"+strings.Repeat("ab", 32),
		"--set", "operator.replicas=2,operator.allowPrivateMetadata=true", "--set", "operator.namespaces={sso,apps}", "--set", "operator.dnsResolvers={192.0.2.53}",
		"--set", "admission.identityProviderInUse=Warn", "--set", "serviceMonitor.enabled=true,prometheusRule.enabled=true,dashboards.enabled=true", "--set", "prometheusRule.runbooks=https://runbooks.example.com/sso")
	deployment, err := json.Marshal(all["Deployment/sallyport-operator"])
	if err != nil {
		t.Fatal(err)
	}
	image := "registry.example.com/sallyport@sha256:" + strings.Repeat("ab", 32)
	for _, part := range []string{`"image":"` + image + `"`, `"value":"` + image + `"`, `"replicas":2`, "--allow-private-metadata", "--namespaces=sso,apps", "--dns-resolver=192.0.2.53"} {
		if !strings.Contains(string(deployment), part) {
			t.Errorf("the operator has no %s:\n%s", part, deployment)
		}
	}
	guards(t, all)
	observability(t, all)
	for name, object := range all {
		if object.GetKind() == "ValidatingAdmissionPolicyBinding" && strings.Contains(name, "identity-provider-in-use") {
			if actions, _, _ := unstructured.NestedStringSlice(object.Object, "spec", "validationActions"); !slices.Equal(actions, []string{"Warn", "Audit"}) {
				t.Errorf("%s does %v", name, actions)
			}
		}
	}
	for name := range template(t, "--set", "admission.identityProviderInUse=Off") {
		if strings.Contains(name, "identity-provider-in-use") {
			t.Errorf("%s is there although the policy is off", name)
		}
	}
}

func TestWrongValuesAreRefusedByName(t *testing.T) {
	for set, named := range map[string]string{
		"operator.replica=2":                   "replica",
		"admission.identityProviderInUse=deny": "identityProviderInUse",
		"image.digest=abc":                     "digest",
		"operator.namespaces={A_B}":            "namespaces",
		"operator.replicas=0":                  "replicas",
		"operator.resources.limit.memory=1Gi":  "limit",
		"operator.env[0].nmae=HTTPS_PROXY":     "nmae",
		"operator.tolerations[0].efect=x":      "efect",
		"imagePullSecrets[0]=registry":         "imagePullSecrets",
	} {
		if said := refuses(t, "--set", set); !strings.Contains(said, named) {
			t.Errorf("%s: the refusal does not name %s:\n%s", set, named, said)
		}
	}
}

// observability holds what the chart brings for Prometheus and Grafana to the files that config/ has.
func observability(t *testing.T, all map[string]*unstructured.Unstructured) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "config", "prometheus", "prometheus-rule.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.ReplaceAll(string(content), "https://sallyport.dev/docs/runbooks", "https://runbooks.example.com/sso")
	want := objects(t, []byte(moved))["PrometheusRule/sallyport"]
	if got := all["PrometheusRule/sallyport"]; got == nil || plain(t, got) != plain(t, want) {
		t.Errorf("the alerts of the chart are not those of config/: %v", got)
	}
	for _, name := range []string{"sign-in", "operator"} {
		board, err := os.ReadFile(filepath.Join(root, "config", "grafana", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		got := all["ConfigMap/sallyport-dashboard-"+name]
		if got == nil || got.GetLabels()["grafana_dashboard"] != "1" {
			t.Fatalf("the dashboard %s has no ConfigMap with the sidecar's label", name)
		}
		if text, _, _ := unstructured.NestedString(got.Object, "data", name+".json"); strings.TrimSpace(text) != strings.TrimSpace(string(board)) {
			t.Errorf("the dashboard %s is not that of config/", name)
		}
	}
}
