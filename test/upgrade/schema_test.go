package upgrade

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// TestKindsThatChangedHaveAGreaterSchema: the policy that forbids to put older kinds over newer ones knows them by a number alone. Kinds that say anything else than those of the
// latest release, except in descriptions, need a greater one.
func TestKindsThatChangedHaveAGreaterSchema(t *testing.T) {
	latest := releases[len(releases)-1]
	released, current := kinds(t, filepath.Join("testdata", latest, "crds.yaml")), kinds(t, filepath.Join(root, "config", "crd", "bases", "*.yaml"))
	before, now := schemaNumber(t, released), schemaNumber(t, current)
	if said, says := meanings(t, released), meanings(t, current); !reflect.DeepEqual(said, says) && now <= before {
		for name := range says {
			if !reflect.DeepEqual(said[name], says[name]) {
				t.Errorf("%s is another than in %s, and its schema %d is not greater than %d: raise SCHEMA in hack/generate.mk, run make manifests", name, latest, now, before)
			}
		}
	}
}

// schemaNumber is the one that all of the kinds have.
func schemaNumber(t *testing.T, kinds []apiextensionsv1.CustomResourceDefinition) int {
	t.Helper()
	first := kinds[0].Annotations["sso.sallyport.dev/schema"]
	for _, kind := range kinds {
		if annotation := kind.Annotations["sso.sallyport.dev/schema"]; annotation != first {
			t.Errorf("%s has schema %q and %s has %q", kinds[0].Name, first, kind.Name, annotation)
		}
	}
	number, err := strconv.Atoi(first)
	if err != nil {
		t.Fatalf("%s: %v", kinds[0].Name, err)
	}
	return number
}

// meanings are what the kinds say, by name, without descriptions.
func meanings(t *testing.T, kinds []apiextensionsv1.CustomResourceDefinition) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, kind := range kinds {
		encoded, err := json.Marshal(kind.Spec)
		if err != nil {
			t.Fatal(err)
		}
		var spec any
		if err := json.Unmarshal(encoded, &spec); err != nil {
			t.Fatal(err)
		}
		dropDescriptions(spec)
		all[kind.Name] = spec
	}
	return all
}

func dropDescriptions(value any) {
	switch v := value.(type) {
	case map[string]any:
		if _, isText := v["description"].(string); isText { // a field of that name is no text
			delete(v, "description")
		}
		for _, inner := range v {
			dropDescriptions(inner)
		}
	case []any:
		for _, inner := range v {
			dropDescriptions(inner)
		}
	}
}
