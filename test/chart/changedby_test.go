package chart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhoChangedItIsStampedWhereTheAPIServerCan: by itself, the chart brings the policy where there is a kind for it, and nowhere else.
func TestWhoChangedItIsStampedWhereTheAPIServerCan(t *testing.T) {
	const (
		value = "admission.changedBy="
		kind  = "--api-versions=admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
	)
	content, err := os.ReadFile(filepath.Join(root, "config", "admission", "changed-by", "changed-by.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	policy := objects(t, content)
	if len(policy) != 2 {
		t.Fatalf("config/admission/changed-by has %d objects, want the policy and its binding", len(policy))
	}
	for _, c := range []struct {
		arguments []string
		want      int
	}{
		{nil, 0},
		{[]string{kind}, 2},
		{[]string{"--set", value + "Auto"}, 0},
		{[]string{"--set", value + "Auto", kind}, 2},
		{[]string{"--set", value + "Enabled"}, 2},
		{[]string{"--set", value + "Disabled", kind}, 0},
		{[]string{"--set", "admission.identityProviderInUse=Off", kind}, 2},
	} {
		rendered, found := template(t, c.arguments...), 0
		for name, object := range rendered {
			if !strings.HasPrefix(object.GetKind(), "MutatingAdmissionPolicy") {
				continue
			}
			found++
			if want := policy[name]; want == nil || plain(t, object) != plain(t, want) {
				t.Errorf("%v: %s is not that of config/: %v", c.arguments, name, object)
			}
			if object.GetAnnotations()["helm.sh/resource-policy"] == "keep" {
				t.Errorf("%v: %s stays when the release goes", c.arguments, name)
			}
		}
		if found != c.want {
			t.Errorf("%v: %d of its objects are rendered, want %d", c.arguments, found, c.want)
		}
	}
	if said := refuses(t, "--set", value+"enabled"); !strings.Contains(said, "changedBy") || !strings.Contains(said, "Enabled") {
		t.Errorf("the refusal names neither the value nor what it may be:\n%s", said)
	}
}

// TestTheDefaultInstallsOnEverySupportedKubernetes: the kind of the policy is unknown before 1.36, and one unknown kind fails all of kubectl apply. Whoever has it names
// the component.
func TestTheDefaultInstallsOnEverySupportedKubernetes(t *testing.T) {
	kinds := func(components string) (count int) {
		t.Helper()
		for name := range kustomized(t, "resources: [config/default]\n"+components) {
			if strings.HasPrefix(name, "MutatingAdmissionPolicy") {
				count++
			}
		}
		return count
	}
	if n := kinds(""); n != 0 {
		t.Errorf("config/default has %d objects that Kubernetes 1.34 does not know", n)
	}
	if n := kinds("components: [config/admission/changed-by, config/admission/warn]\n"); n != 2 {
		t.Errorf("the component adds %d objects, want the policy and its binding", n)
	}
}
