package crd

import (
	"bytes"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/internal/offline"
	"sallyport.dev/sallyport/test/internal/crdcases"
)

// TestLintAgreesWithTheAPIServer gives every case to the offline validation too: the same verdict, and the same sentence where we wrote it.
func TestLintAgreesWithTheAPIServer(t *testing.T) {
	for _, c := range crdcases.All() {
		u := crdcases.Object(t, c.Kind, c.Path, c.Value)
		causes := refusals(t, u)
		text, err := yaml.Marshal(u.Object)
		if err != nil {
			t.Fatal(err)
		}
		documents, problems, err := offline.Load([]string{offline.Stdin}, bytes.NewReader(text))
		if err != nil || len(problems) > 0 || len(documents) != 1 {
			t.Fatalf("%s: %v %v", text, problems, err)
		}
		if problems, err = offline.Validate(documents[0]); err != nil {
			t.Fatal(err)
		}
		if (len(causes) > 0) != (len(problems) > 0) {
			t.Errorf("%s %s=%s: the API server says %+v, lint says %+v", c.Kind, c.Path, shorten(c.Value), causes, problems)
			continue
		}
		for _, problem := range problems {
			agreed := false
			for _, cause := range causes {
				agreed = agreed || (normalise(cause.Field) == normalise(problem.Field) && (strings.Contains(cause.Message, problem.Message) || problem.Message == "required"))
			}
			if !agreed {
				t.Errorf("%s %s=%s: lint says %q at %q, the API server %+v", c.Kind, c.Path, shorten(c.Value), problem.Message, problem.Field, causes)
			}
		}
	}
}
