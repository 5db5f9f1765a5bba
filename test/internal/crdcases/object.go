package crdcases

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// bases are valid objects; each case changes one field of one of them.
var bases = map[string]string{
	"ServiceProvider": `
spec: {url: "https://sso.example.com"}`,
	"IdentityProvider": `
spec:
  serviceProviderRef: {name: main}
  saml: {metadata: {url: "https://idp.example.com/metadata"}}`,
	"DomainBinding": `
spec: {domain: example.com, identityProviderRef: {name: okta}}`,
	"AttributeMapping": `
spec: {identityProviderRef: {name: okta}}`,
}

// Object returns the base of the kind with the field at path (dots between names) set to value, written as YAML. An empty value removes it.
func Object(t testing.TB, kind, path, value string) *unstructured.Unstructured {
	t.Helper()
	content := map[string]any{}
	if err := yaml.Unmarshal([]byte(bases[kind]), &content); err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetAPIVersion("sso.sallyport.dev/v1alpha1")
	u.SetKind(kind)
	u.SetNamespace("default")
	u.SetName("x")
	if path != "" {
		Set(t, u, path, value)
	}
	return u
}

// Set writes one field of an object, or removes it.
func Set(t testing.TB, u *unstructured.Unstructured, path, value string) {
	t.Helper()
	names := strings.Split(path, ".")
	if value == "" {
		unstructured.RemoveNestedField(u.Object, names...)
		return
	}
	var parsed any
	if err := yaml.Unmarshal([]byte(value), &parsed); err != nil {
		t.Fatalf("%s: %v", value, err)
	}
	if number, isNumber := parsed.(float64); isNumber {
		parsed = int64(number)
	}
	if err := unstructured.SetNestedField(u.Object, parsed, names...); err != nil {
		t.Fatal(err)
	}
}
