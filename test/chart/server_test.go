package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"sallyport.dev/sallyport/test/internal/apiserver"
)

// cluster is a real API server, without a node.
type cluster struct{ kubeconfig string }

func newCluster(t *testing.T) cluster {
	t.Helper()
	environment := &envtest.Environment{BinaryAssetsDirectory: apiserver.Assets()}
	if _, err := environment.Start(); err != nil {
		t.Fatalf("starting the API server (make assets builds it): %v", err)
	}
	t.Cleanup(func() { _ = environment.Stop() })
	c := cluster{kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	if err := os.WriteFile(c.kubeconfig, environment.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c cluster) run(stdin, program string, arguments ...string) (string, error) {
	command := exec.Command(program, append(arguments, "--kubeconfig", c.kubeconfig)...)
	command.Stdin = strings.NewReader(stdin)
	out, err := command.CombinedOutput()
	return string(out), err
}

func (c cluster) kubectl(stdin string, arguments ...string) (string, error) {
	return c.run(stdin, apiserver.Kubectl(), arguments...)
}

// documented are the arguments for each row of the guide's table of values, and for what several of them make together.
func documented(t *testing.T) [][]string {
	t.Helper()
	guide, err := os.ReadFile(filepath.Join(root, "docs", "guides", "install.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := [][]string{nil}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-zA-Z.]+): ?([^`]*)` \\|").FindAllStringSubmatch(string(guide), -1) {
		all = append(all, []string{"--set-json", row[1] + "=" + quoted(row[2])})
	}
	if len(all) < 8 {
		t.Fatalf("the guide names only %d values", len(all)-1)
	}
	return append(all, []string{"--set", "operator.replicas=3,operator.priorityClassName=system-cluster-critical,dashboards.enabled=true,admission.changedBy=Enabled",
		"--set", "imagePullSecrets[0].name=registry,operator.env[0].name=HTTPS_PROXY,operator.env[0].value=http://proxy.example.com:3128",
		"--set", "operator.tolerations[0].key=infra,operator.tolerations[0].operator=Exists,operator.nodeSelector.disk=ssd,operator.podAnnotations.team=platform"},
		[]string{"--set", "admission.identityProviderInUse=Off,networkPolicy.enabled=false,admission.changedBy=Disabled"},
		[]string{"--set", "serviceMonitor.enabled=true,serviceMonitor.interval=15s,serviceMonitor.labels.release=prometheus,operator.namespaces={sso,apps}",
			"--set", "prometheusRule.enabled=true,prometheusRule.labels.release=prometheus"})
}

// quoted makes JSON of a short YAML value.
func quoted(value string) string {
	switch {
	case value == "true" || value == "false" || regexp.MustCompile(`^\d+$`).MatchString(value):
		return value
	case strings.HasPrefix(value, "["):
		return `["` + strings.Trim(value, "[]") + `"]`
	}
	return `"` + value + `"`
}

// TestTheAPIServerTakesWhatIsRendered: a field of the wrong name or type passes every test that only reads YAML.
func TestTheAPIServerTakesWhatIsRendered(t *testing.T) {
	c := newCluster(t)
	if out, err := c.kubectl("", "create", "namespace", "sallyport-system"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c.bringMonitoring(t)
	for _, values := range documented(t) {
		rendered, err := exec.Command(helm, append([]string{"template", "sallyport", chart, "--namespace", "sallyport-system"}, values...)...).Output()
		if err != nil {
			t.Errorf("%v: helm template: %v", values, err)
			continue
		}
		if out, err := c.dryRun(string(rendered), "-"); err != nil {
			t.Errorf("%v: %v\n%s", values, err, out)
		}
	}
	for _, file := range []string{"monitors.yaml", "prometheus-rule.yaml"} {
		if out, err := c.dryRun("", filepath.Join(root, "config", "prometheus", file)); err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
	if out, err := c.dryRun(`{"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": {"name": "wrong"}, "spec": {"selector": {}, "podMetricsEndpoints": [{"ports": "metrics"}]}}`, "-"); err == nil {
		t.Errorf("a field that a PodMonitor does not have is taken:\n%s", out)
	}
}

// dryRun tells what the API server makes of the objects in a file: a field that it does not know is an error.
func (c cluster) dryRun(stdin, file string) (string, error) {
	return c.kubectl(stdin, "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", file)
}

// bringMonitoring gives the API server those kinds of the Prometheus operator that objects of ours are of, as its release has them.
func (c cluster) bringMonitoring(t *testing.T) {
	t.Helper()
	files, err := apiserver.MonitoringKinds()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if out, err := c.kubectl("", "apply", "--server-side", "-f", file); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if out, err := c.kubectl("", "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestAFirstInstallation is what somebody sees who has read nothing: what is missing is named before anything is installed, and what comes next is said after.
func TestAFirstInstallation(t *testing.T) {
	c := newCluster(t)
	install := []string{"install", "sallyport", chart, "--namespace", "sallyport-system", "--create-namespace"}
	out, err := c.run("", helm, append(install, "--set", "serviceMonitor.enabled=true")...)
	if err == nil || !strings.Contains(out, `"ServiceMonitor"`) || !strings.Contains(out, "ensure CRDs are installed first") {
		t.Errorf("without the Prometheus operator's kinds, Helm says (%v):\n%s", err, out)
	}
	if left, err := c.kubectl("", "get", "clusterroles,customresourcedefinitions", "-o", "name"); err != nil || strings.Contains(left, "sallyport") {
		t.Errorf("a refused release leaves (%v):\n%s", err, left)
	}
	out, err = c.run("", helm, install...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, part := range []string{"in the namespace sallyport-system, from sallyport.dev/sallyport:dev", "image.repository=", "kubectl rollout status deployment/sallyport-operator -n sallyport-system",
		"kubectl wait --for=condition=Ready idp/NAME", "keeps the kinds"} {
		if !strings.Contains(out, part) {
			t.Errorf("the notes do not say %q:\n%s", part, out)
		}
	}
	out, err = c.run("", helm, "upgrade", "sallyport", chart, "--namespace", "sallyport-system", "--set", "image.repository=registry.example.com/sallyport,operator.namespaces={sso,apps}")
	if err != nil || strings.Contains(out, "image.repository=") || !strings.Contains(out, "alone: sso, apps.") {
		t.Errorf("with an image and namespaces of one's own, the notes are (%v):\n%s", err, out)
	}
}
