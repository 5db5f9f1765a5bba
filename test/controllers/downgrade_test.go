package controllers

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestTheKindsAreNotDowngraded: with the admission policy, a definition of an older schema does not replace a newer one. Everything here is only tried.
func TestTheKindsAreNotDowngraded(t *testing.T) {
	const crd, schema = "crd/identityproviders.sso.sallyport.dev", "sso.sallyport.dev/schema"
	file := filepath.Join(root, "config", "admission", "schema-downgrade.yaml")
	kubectl(t, "apply", "-f", file)
	t.Cleanup(func() { kubectl(t, "delete", "-f", file) })
	try := func(args ...string) string {
		out, err := tryKubectl(t, append(args, "--dry-run=server")...)
		if err != nil {
			return out
		}
		return ""
	}
	eventually(t, "the policy is in force", func() bool { return try("annotate", crd, "--overwrite", schema+"=0") != "" })
	for what, args := range map[string][]string{
		"an older one": {"annotate", crd, "--overwrite", schema + "=0"}, "one of before the first release": {"annotate", crd, schema + "-"}, "one that says nonsense": {"annotate", crd, "--overwrite", schema + "=new"},
	} {
		mustContain(t, try(args...), "identityproviders.sso.sallyport.dev has schema 1, and this one", "an older schema drops fields that objects have", "schema-downgrade.sso.sallyport.dev")
		if t.Failed() {
			t.Fatalf("%s was taken, or refused in other words", what)
		}
	}
	for what, args := range map[string][]string{
		"the same": {"annotate", crd, "--overwrite", schema + "=1"}, "a newer one": {"annotate", crd, "--overwrite", schema + "=2"}, "a label": {"label", crd, "a=b"},
		"the same file": {"apply", "--server-side", "--force-conflicts", "-f", filepath.Join(root, "config", "crd", "bases", "sso.sallyport.dev_identityproviders.yaml")},
		"deletion":      {"delete", crd, "--wait=false"},
	} {
		if out := try(args...); out != "" {
			t.Errorf("%s is refused: %s", what, strings.TrimSpace(out))
		}
	}
}
