package controllers

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// policy installs the admission policy for the namespace until the end of the test, as Deny or with the component warn. It is in force when it answers.
func policy(t *testing.T, ns string, component string) {
	t.Helper()
	policyInForce(t, ns, component, "okta")
}

// policyInForce waits until it answers about that IdentityProvider, which has a binding, as it is installed: with a refusal or with a warning.
func policyInForce(t *testing.T, ns, component, idp string) {
	t.Helper()
	installed(t, ns, "identity-provider-in-use", component)
	warned := &warnings{}
	config := rest.CopyConfig(apiServer)
	config.WarningHandler = warned
	trying, err := client.New(config, client.Options{Scheme: objects})
	if err != nil {
		t.Fatal(err)
	}
	// The API server takes a moment to compile it: a deletion that is only tried shows when it has.
	eventually(t, "the policy is in force", func() bool {
		err := trying.Delete(t.Context(), identityProvider(ns, idp, v1alpha1.MetadataSource{}), client.DryRunAll)
		if component == "warn" {
			return err == nil && warned.have("still has")
		}
		return err != nil && strings.Contains(err.Error(), "still has")
	})
}

// installed applies a policy of config/admission, with the component or without it (""), for the one namespace and under names of its own: no test meets the policy of another.
func installed(t *testing.T, ns, policy, component string) (uninstall func()) {
	t.Helper()
	admission, err := filepath.Abs(filepath.Join(root, "config", "admission"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	relative, err := filepath.Rel(dir, admission)
	if err != nil {
		t.Fatal(err)
	}
	content := "resources: [" + relative + "]\n"
	if component != "" {
		content += "components: [" + filepath.Join(relative, component) + "]\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	parts := narrowed(t, kubectl(t, "kustomize", dir), ns, policy)
	for _, part := range parts {
		create(t, part)
	}
	uninstall = sync.OnceFunc(func() {
		for _, part := range parts {
			if err := k8s.Delete(context.WithoutCancel(t.Context()), part); err != nil { // also when the test is over
				t.Errorf("deleting %s: %v", part.GetName(), err)
			}
		}
	})
	t.Cleanup(uninstall)
	return uninstall
}

// narrowed are the policy among the manifests and its binding, as they count for the one namespace.
func narrowed(t *testing.T, manifests, ns, policy string) (parts []client.Object) {
	t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifests), 4096)
	for {
		part := &unstructured.Unstructured{}
		if err := decoder.Decode(&part.Object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if part.GetName() != policy+".sso.sallyport.dev" {
			continue
		}
		part.SetName(part.GetName() + "." + ns)
		if of, binds, _ := unstructured.NestedString(part.Object, "spec", "policyName"); binds {
			err := errors.Join(unstructured.SetNestedField(part.Object, of+"."+ns, "spec", "policyName"),
				unstructured.SetNestedField(part.Object, ns, "spec", "matchResources", "namespaceSelector", "matchLabels", "kubernetes.io/metadata.name"))
			if err != nil {
				t.Fatal(err)
			}
		}
		parts = append(parts, part)
	}
	if len(parts) != 2 {
		t.Fatalf("%s has %d parts in\n%s", policy, len(parts), manifests)
	}
	return parts
}

// warnings are what the API server has said beside its answers.
type warnings struct {
	mutex sync.Mutex
	said  strings.Builder
}

// HandleWarningHeader keeps one.
func (w *warnings) HandleWarningHeader(_ int, _ string, text string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.said.WriteString(text + "\n")
}

func (w *warnings) have(part string) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return strings.Contains(w.said.String(), part)
}
