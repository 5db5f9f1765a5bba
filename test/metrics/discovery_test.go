package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
)

// deadEnd is where nothing listens: what is scraped there is down.
const deadEnd = "127.0.0.1:1"

// discovered are the targets that Prometheus finds in a cluster: one for every port of every pod, of whichever application.
func discovered(t *testing.T, w *world) (all []any) {
	t.Helper()
	stranger := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{render.LabelName: "other", render.LabelComponent: "operator"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "metrics"}}}}}}
	for _, p := range []struct {
		namespace, name, metrics string
		corev1.PodTemplateSpec
	}{
		{"sallyport-system", "sallyport-operator-0", w.operatorAddr, operatorPod(t)},
		{"sso", "main-0", w.providerAddr, providerPod(t)},
		{"default", "stranger-0", deadEnd, stranger},
	} {
		for _, port := range p.Spec.Containers[0].Ports {
			labels := map[string]string{"__meta_kubernetes_namespace": p.namespace, "__meta_kubernetes_pod_name": p.name, "__meta_kubernetes_pod_container_port_name": port.Name}
			for name, value := range p.Labels {
				labels["__meta_kubernetes_pod_label_"+strings.NewReplacer(".", "_", "/", "_", "-", "_").Replace(name)] = value
			}
			address := deadEnd
			if port.Name == "metrics" {
				address = p.metrics
			}
			all = append(all, map[string]any{"targets": []string{address}, "labels": labels})
		}
	}
	return all
}

// operatorPod is that of config/manager.
func operatorPod(t *testing.T) corev1.PodTemplateSpec {
	t.Helper()
	var operator appsv1.Deployment
	read(t, filepath.Join(root, "config", "manager", "operator.yaml"), &operator)
	return operator.Spec.Template
}

// providerPod is that of the ServiceProvider main.
func providerPod(t *testing.T) (pod corev1.PodTemplateSpec) {
	t.Helper()
	sp := &v1alpha1.ServiceProvider{ObjectMeta: metav1.ObjectMeta{Namespace: "sso", Name: "main"}}
	for _, object := range render.Render(render.Input{ServiceProvider: sp, Image: "none"}).Apply {
		text, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		var workload appsv1.StatefulSet
		if json.Unmarshal(text, &workload) == nil && workload.Kind == "StatefulSet" {
			return workload.Spec.Template
		}
	}
	t.Fatal("a ServiceProvider has no pods")
	return pod
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	full, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return full
}

// TestTheOperatorListensWhereItsPodSays: its manifests do not name the addresses, so that they are the program's own.
func TestTheOperatorListensWhereItsPodSays(t *testing.T) {
	help, _ := exec.Command(filepath.Join(machine.Programs, "operator"), "-help").CombinedOutput()
	for _, port := range operatorPod(t).Spec.Containers[0].Ports {
		_, said, found := strings.Cut(string(help), "-"+port.Name+"-listen ")
		said, _, _ = strings.Cut(said, "\n  -")
		if want := fmt.Sprintf(`(default ":%d")`, port.ContainerPort); !found || !strings.Contains(said, want) {
			t.Errorf("the port %s is %d, and the program says %q", port.Name, port.ContainerPort, said)
		}
	}
}
