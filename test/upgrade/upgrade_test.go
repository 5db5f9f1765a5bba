// Package upgrade takes objects of earlier releases to this one on a real API server. testdata has the kinds of each release as they were, objects made with them, and the
// estate of a service provider, which test/replicas and internal/store go on with: nothing in there is ever changed.
package upgrade

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/test/internal/apiserver"
)

var (
	root     = filepath.Join("..", "..")
	releases = []string{"v0.1"}
)

// cluster is an API server, asked with kubectl.
type cluster struct {
	t          *testing.T
	kubeconfig string
}

func start(t *testing.T) *cluster {
	t.Helper()
	environment := &envtest.Environment{BinaryAssetsDirectory: apiserver.Assets()}
	if _, err := environment.Start(); err != nil {
		t.Fatal("starting the API server (make assets builds it):", err)
	}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Error(err)
		}
	})
	c := &cluster{t, filepath.Join(t.TempDir(), "kubeconfig")}
	if err := os.WriteFile(c.kubeconfig, environment.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) kubectl(args ...string) string {
	c.t.Helper()
	command := exec.Command(apiserver.Kubectl(), append([]string{"--kubeconfig", c.kubeconfig}, args...)...)
	command.Env = append(os.Environ(), "HOME="+c.t.TempDir())
	out, err := command.CombinedOutput()
	if err != nil {
		c.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// install brings the kinds of a release, as its manifests do.
func (c *cluster) install(path string) {
	c.t.Helper()
	c.kubectl("apply", "--server-side", "-f", path)
	c.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
}

// objects are all of our objects, by kind, without what the API server counts.
func (c *cluster) objects() map[string]string {
	c.t.Helper()
	var list unstructured.UnstructuredList
	if err := json.Unmarshal([]byte(c.kubectl("get", "sso", "-n", "default", "-o", "json")), &list); err != nil {
		c.t.Fatal(err)
	}
	all := map[string]string{}
	for _, o := range list.Items {
		encoded, err := json.Marshal(map[string]any{"spec": o.Object["spec"], "status": o.Object["status"], "generation": o.GetGeneration(), "uid": o.GetUID()})
		if err != nil {
			c.t.Fatal(err)
		}
		all[o.GetKind()] = string(encoded)
	}
	return all
}

// TestObjectsOfEarlierReleasesStayAsTheyAre installs the kinds of this release over those of an earlier one: every object is as it was, with its status, and can be applied as
// it stands in git.
func TestObjectsOfEarlierReleasesStayAsTheyAre(t *testing.T) {
	for _, release := range releases {
		t.Run(release, func(t *testing.T) {
			c := start(t)
			dir := filepath.Join("testdata", release)
			c.install(filepath.Join(dir, "crds.yaml"))
			c.kubectl("apply", "--server-side", "-f", filepath.Join(dir, "objects.yaml"))
			for _, kind := range []string{"sp/main", "idp/okta", "dbind/example-com", "amap/okta"} {
				c.kubectl("patch", "-n", "default", kind, "--subresource=status", "--type=merge", "-p",
					`{"status":{"observedGeneration":1,"conditions":[{"type":"Ready","status":"True","reason":"Serving","message":"","lastTransitionTime":"2026-01-01T00:00:00Z","observedGeneration":1}]}}`)
			}
			before := c.objects()
			if len(before) != 4 {
				t.Fatalf("there are %d objects", len(before))
			}

			c.install(filepath.Join(root, "config", "crd", "bases"))
			check := func(when string) {
				t.Helper()
				for kind, now := range c.objects() {
					if now != before[kind] {
						t.Errorf("%s: %s was\n%s\nand is\n%s", when, kind, before[kind], now)
					}
				}
			}
			check("after the upgrade of the kinds")
			c.kubectl("wait", "-n", "default", "sso", "--all", "--for=condition=Ready", "--timeout=10s")
			c.kubectl("apply", "--server-side", "-f", filepath.Join(dir, "objects.yaml"))
			check("after applying them again")
			for stored := range strings.FieldsSeq(c.kubectl("get", "crd", "-o", "jsonpath={.items[*].status.storedVersions[*]}")) {
				if stored != "v1alpha1" {
					t.Errorf("objects are stored as %s", stored)
				}
			}
		})
	}
}

// TestNoFieldOfAnEarlierReleaseIsGone: every field is still there, of the same type and with the same default. An object in git means the same with every release.
func TestNoFieldOfAnEarlierReleaseIsGone(t *testing.T) {
	current := fields(kinds(t, filepath.Join(root, "config", "crd", "bases", "*.yaml")))
	for _, release := range releases {
		old := fields(kinds(t, filepath.Join("testdata", release, "crds.yaml")))
		if len(old) < 100 {
			t.Fatalf("%s has %d fields", release, len(old))
		}
		for path, meaning := range old {
			if current[path] != meaning {
				t.Errorf("%s: %s was %s and is %q", release, path, meaning, current[path])
			}
		}
	}
}

func kinds(t *testing.T, pattern string) (all []apiextensionsv1.CustomResourceDefinition) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for document := range bytes.SplitSeq(content, []byte("---\n")) {
			var definition apiextensionsv1.CustomResourceDefinition
			if err := yaml.Unmarshal(document, &definition); err != nil {
				t.Fatal(err)
			}
			if definition.Name != "" {
				all = append(all, definition)
			}
		}
	}
	if len(all) != 4 {
		t.Fatalf("%s has %d kinds", pattern, len(all))
	}
	return all
}

// fields are type and default of every field, and every value of an enumeration, by version, kind and path.
func fields(kinds []apiextensionsv1.CustomResourceDefinition) map[string]string {
	all := map[string]string{}
	everyField(kinds, func(path string, schema *apiextensionsv1.JSONSchemaProps) {
		all[path] = schema.Type
		if schema.Default != nil {
			all[path] += " with default " + string(schema.Default.Raw)
		}
		for _, value := range schema.Enum {
			all[path+"="+string(value.Raw)] = "allowed"
		}
	})
	return all
}

// everyField visits the fields of the kinds, by version, kind and path.
func everyField(kinds []apiextensionsv1.CustomResourceDefinition, visit func(path string, schema *apiextensionsv1.JSONSchemaProps)) {
	for _, kind := range kinds {
		for _, version := range kind.Spec.Versions {
			walk(version.Name+" "+kind.Spec.Names.Kind, version.Schema.OpenAPIV3Schema, visit)
		}
	}
}

func walk(path string, schema *apiextensionsv1.JSONSchemaProps, visit func(path string, schema *apiextensionsv1.JSONSchemaProps)) {
	visit(path, schema)
	for name, property := range schema.Properties {
		walk(path+"."+name, &property, visit)
	}
	if schema.Items != nil {
		walk(path+"[]", schema.Items.Schema, visit)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		walk(path+"{}", schema.AdditionalProperties.Schema, visit)
	}
}
