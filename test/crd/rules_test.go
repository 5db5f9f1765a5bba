package crd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/test/internal/crdcases"
)

// refusals returns what the API server says against the object: field and message of each cause. Empty: nothing.
func refusals(t *testing.T, u *unstructured.Unstructured) []metav1.StatusCause {
	t.Helper()
	err := kube.Create(context.Background(), u.DeepCopy(), client.DryRunAll)
	if err == nil {
		return nil
	}
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || status.ErrStatus.Details == nil {
		t.Fatalf("not a refusal: %v", err)
	}
	return status.ErrStatus.Details.Causes
}

func TestFieldsAreAcceptedAndRefusedWithASentence(t *testing.T) {
	covered := map[string]bool{}
	for _, c := range crdcases.All() {
		t.Run(fmt.Sprintf("%s %s=%s", c.Kind, c.Path, shorten(c.Value)), func(t *testing.T) {
			causes := refusals(t, crdcases.Object(t, c.Kind, c.Path, c.Value))
			if c.Message == "" {
				if len(causes) > 0 {
					t.Fatalf("refused: %+v", causes)
				}
				return
			}
			found, told := false, 0
			for _, cause := range causes {
				if strings.Contains(cause.Message, "some validation rules were not checked") {
					continue // the API server's own remark
				}
				told++
				if strings.Contains(cause.Message, c.Message) {
					found = true
					covered[c.Kind+" "+normalise(cause.Field)+": "+c.Message] = true
				}
			}
			if !found {
				t.Fatalf("want a refusal with %q, got %+v", c.Message, causes)
			}
			if told > 1 && !c.More {
				t.Errorf("one mistake, %d sentences: %+v", len(causes), causes)
			}
		})
	}
	for _, rule := range rules(t) {
		// A message that is computed begins with the fixed one.
		refused := slices.ContainsFunc(slices.Collect(maps.Keys(covered)), func(c string) bool { return strings.HasPrefix(c, rule) })
		if !refused && !updateRules[rule] {
			t.Errorf("no case is refused by the rule %q", rule)
		}
	}
}

func shorten(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

var index = regexp.MustCompile(`\[[^\]]*\]`)

func normalise(field string) string {
	if field == "<nil>" {
		return ""
	}
	return index.ReplaceAllString(field, "[]")
}

// rules returns every rule in the CRDs as "Kind field: message".
func rules(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../config/crd/bases/*.yaml")
	if err != nil || len(files) != 4 {
		t.Fatalf("%d CRDs: %v", len(files), err)
	}
	var all []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(content, &definition); err != nil {
			t.Fatal(err)
		}
		walk(definition.Spec.Names.Kind, "", definition.Spec.Versions[0].Schema.OpenAPIV3Schema, &all)
	}
	return all
}

func walk(kind, path string, schema *apiextensionsv1.JSONSchemaProps, all *[]string) {
	for _, rule := range schema.XValidations {
		*all = append(*all, kind+" "+path+": "+rule.Message)
	}
	for name, property := range schema.Properties {
		walk(kind, strings.TrimPrefix(path+"."+name, "."), &property, all)
	}
	if schema.Items != nil {
		walk(kind, path+"[]", schema.Items.Schema, all)
	}
	if schema.AdditionalProperties != nil {
		walk(kind, path+"[]", schema.AdditionalProperties.Schema, all)
	}
}

// updateRules need an older object: they are tested by TestImmutableFields.
var updateRules = map[string]bool{
	"DomainBinding spec.domain: " + domainImmutable:                  true,
	"IdentityProvider spec.serviceProviderRef: " + providerImmutable: true,
}

const (
	domainImmutable   = "domain is immutable: create another DomainBinding for the other domain and delete this one"
	providerImmutable = "serviceProviderRef is immutable: create another IdentityProvider for the other ServiceProvider, move the domain bindings to it, then delete this one"
)

func TestImmutableFields(t *testing.T) {
	for _, c := range []struct{ kind, path, value, message string }{
		{"DomainBinding", "spec.domain", "example.org", domainImmutable},
		{"IdentityProvider", "spec.serviceProviderRef.name", "other", providerImmutable},
	} {
		u := crdcases.Object(t, c.kind, "", "")
		u.SetName("immutable")
		create(t, u)
		changed := u.DeepCopy()
		if err := unstructured.SetNestedField(changed.Object, c.value, strings.Split(c.path, ".")...); err != nil {
			t.Fatal(err)
		}
		if err := kube.Update(context.Background(), changed); err == nil || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s %s: %v", c.kind, c.path, err)
		}
		same := u.DeepCopy()
		same.SetLabels(map[string]string{"a": "b"})
		if err := kube.Update(context.Background(), same); err != nil {
			t.Errorf("%s: a label cannot be set: %v", c.kind, err)
		}
	}
}

func TestReboundIsAllowed(t *testing.T) {
	u := crdcases.Object(t, "DomainBinding", "", "")
	u.SetName("rebound")
	create(t, u)
	if err := unstructured.SetNestedField(u.Object, "other", "spec", "identityProviderRef", "name"); err != nil {
		t.Fatal(err)
	}
	if err := kube.Update(context.Background(), u); err != nil {
		t.Error(err)
	}
}

// create makes the object and takes it away after the test.
func create(t *testing.T, u client.Object) {
	t.Helper()
	if err := kube.Create(context.Background(), u); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kube.Delete(context.Background(), u); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
}
