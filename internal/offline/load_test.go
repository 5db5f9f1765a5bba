package offline

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func parseText(t *testing.T, text string) []Document {
	t.Helper()
	documents, problems, err := Load([]string{Stdin}, strings.NewReader(text))
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v %v", problems, err)
	}
	return documents
}

func TestLinesOfFields(t *testing.T) {
	documents := parseText(t, `# a comment
kind: ConfigMap
apiVersion: v1
metadata: {name: first}
---
apiVersion: sso.sallyport.dev/v1alpha1
kind: AttributeMapping
metadata:
  name: a
  annotations:
    sso.sallyport.dev/refresh: "1"
spec:
  email:
    from:
    - name: email
    - name: mail
      nameID: Any
  rules: [{when: "true",
           addGroups: [a]}]
`)
	if len(documents) != 2 {
		t.Fatalf("%d documents", len(documents))
	}
	for path, want := range map[string]int{
		"":                            6,
		"kind":                        7,
		"spec":                        12,
		"spec.email.from[1]":          16,
		"spec.email.from[1].nameID":   17,
		"spec.email.from[9]":          14,
		"spec.email.missing.entirely": 13,
		"spec.rules[0].addGroups[0]":  19,
		"spec.nothing":                12,
		"metadata.annotations[sso.sallyport.dev/refresh]": 11,
		"]]]": 6,
	} {
		if got := documents[1].Line(path); got != want {
			t.Errorf("%q is on line %d, got %d", path, want, got)
		}
	}
}

func TestDirectoriesAreReadInDepthAndHiddenOnesAreNot(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{"a.yaml", "deep/er/b.yml", "c.json", ".git/d.yaml", "notes.txt"} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	documents, _, err := Load([]string{dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, d := range documents {
		files = append(files, strings.TrimPrefix(d.File, dir+"/"))
	}
	if got := strings.Join(files, " "); got != "a.yaml c.json deep/er/b.yml" {
		t.Error(got)
	}
}

func TestAHugeFileIsRefused(t *testing.T) {
	_, _, err := Load([]string{Stdin}, bytes.NewReader(make([]byte, maxFileBytes+1)))
	if err == nil || !strings.Contains(err.Error(), "split it") {
		t.Error(err)
	}
}

func TestOneBadDocumentDoesNotHideTheOnesBefore(t *testing.T) {
	documents, problems, err := Load([]string{Stdin}, strings.NewReader("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\na: [\n"))
	if err != nil || len(documents) != 1 || len(problems) != 1 || problems[0].Reason != "NotYAML" || problems[0].Severity != SeverityError {
		t.Errorf("%v %v %v", documents, problems, err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte("apiVersion: sso.sallyport.dev/v1alpha1\nkind: DomainBinding\nmetadata: {name: a}\nspec: {domain: a.example}\n"))
	f.Add([]byte("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Secret, data: {a: b}}]\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("{\"apiVersion\": \"sso.sallyport.dev/v1alpha1\", \"kind\": \"IdentityProvider\", \"spec\": {\"saml\": 1}}"))
	f.Fuzz(func(t *testing.T, content []byte) {
		documents, _, err := Load([]string{Stdin}, bytes.NewReader(content))
		if err != nil {
			return
		}
		for _, d := range documents {
			d.Line("spec.saml.metadata")
		}
		if _, err := Check(t.Context(), documents, Options{Namespace: "default"}); err != nil {
			t.Fatal(err)
		}
	})
}
