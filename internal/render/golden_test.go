// Package render_test holds what the operator applies for a ServiceProvider to golden files, and all of those to what is promised of every pod.
package render_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/offline"
	"sallyport.dev/sallyport/internal/render"
)

var update = flag.Bool("update", false, "write what comes out into testdata/*.out.yaml")

// TestGolden renders testdata/X.in.yaml and compares with X.out.yaml: every object in the order in which they are applied, and what must not be there.
func TestGolden(t *testing.T) {
	for name, in := range inputs(t) {
		t.Run(name, func(t *testing.T) {
			got := marshal(t, render.Render(in))
			golden := filepath.Join("testdata", name+".out.yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s differs; go test -update writes it anew\n%s", golden, diff)
			}
		})
	}
}

// inputs are the ServiceProviders of testdata by name of the file, with the defaults that the API server gives them. One that it would refuse proves nothing.
func inputs(t *testing.T) map[string]render.Input {
	t.Helper()
	files, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	all := map[string]render.Input{}
	for _, file := range files {
		documents, problems, err := offline.Load([]string{file}, nil)
		if err != nil || len(problems) > 0 || len(documents) != 1 {
			t.Fatalf("%s: %d objects, %v %v", file, len(documents), problems, err)
		}
		if problems, err = offline.Validate(documents[0]); err != nil || len(problems) > 0 {
			t.Fatalf("%s: %v %v", file, problems, err)
		}
		sp := &v1alpha1.ServiceProvider{}
		into(t, documents[0].Object, sp)
		sp.UID = "6f1b8a52-4a0f-4c8e-9d6e-2f3a7c5b1e90"
		all[strings.TrimSuffix(filepath.Base(file), ".in.yaml")] = render.Input{ServiceProvider: sp, Image: "registry.example.com/sallyport:1.0.0",
			OperatorNamespace: "sallyport-system", AuditKeyID: "3q2-7wAA"}
	}
	return all
}

func marshal(t *testing.T, out render.Output) []byte {
	t.Helper()
	var text strings.Builder
	for _, absent := range out.Absent {
		fmt.Fprintf(&text, "# There must be no %s %s (%s).\n", absent.Kind, absent.Name, absent.APIVersion)
	}
	for _, object := range objects(t, out) {
		one, err := yaml.Marshal(object.Object)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString("---\n" + string(one))
	}
	return []byte(text.String())
}

// objects are those that are applied, in that order.
func objects(t *testing.T, out render.Output) (all []*unstructured.Unstructured) {
	t.Helper()
	for _, applied := range out.Apply {
		encoded, err := json.Marshal(applied)
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(encoded); err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
	if out.HTTPRoute != nil {
		all = append(all, out.HTTPRoute)
	}
	return all
}

// into reads an object as its type; a field that the type does not have is a mistake.
func into(t *testing.T, u *unstructured.Unstructured, object any) {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, object, true); err != nil {
		t.Fatalf("%s %s: %v", u.GetKind(), u.GetName(), err)
	}
}
