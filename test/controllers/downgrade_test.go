package controllers

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheKindsAreNotDowngraded: with the admission policy, a definition of an older schema does not replace a newer one. Everything here is only tried.
func TestTheKindsAreNotDowngraded(t *testing.T) {
	const crd = "crd/identityproviders.sso.sallyport.dev"
	forbidDowngrades(t)
	try := func(args ...string) string {
		out, err := tryKubectl(t, append(args, "--dry-run=server")...)
		if err != nil {
			return out
		}
		return ""
	}
	current := schemaNumber(t)
	for what, args := range map[string][]string{
		"an older one": {"annotate", crd, "--overwrite", schemaAnnotation + "=0"}, "one of before the first release": {"annotate", crd, schemaAnnotation + "-"}, "one that says nonsense": {"annotate", crd, "--overwrite", schemaAnnotation + "=new"},
	} {
		mustContain(t, try(args...), "identityproviders.sso.sallyport.dev has schema "+current+", and this one", "an older schema drops fields that objects have", "schema-downgrade.sso.sallyport.dev")
		if t.Failed() {
			t.Fatalf("%s was taken, or refused in other words", what)
		}
	}
	for what, args := range map[string][]string{
		"the same": {"annotate", crd, "--overwrite", schemaAnnotation + "=" + current}, "a newer one": {"annotate", crd, "--overwrite", schemaAnnotation + "=99"}, "a label": {"label", crd, "a=b"},
		"the same file": {"apply", "--server-side", "--force-conflicts", "-f", filepath.Join(root, "config", "crd", "bases", "sso.sallyport.dev_identityproviders.yaml")},
		"deletion":      {"delete", crd, "--wait=false"},
	} {
		if out := try(args...); out != "" {
			t.Errorf("%s is refused: %s", what, strings.TrimSpace(out))
		}
	}
}

// TestTheKindsOfAnEarlierReleaseDoNotReplaceThese applies the kinds as they were released, over these and under these. Nothing of these is lost on the way that is refused.
func TestTheKindsOfAnEarlierReleaseDoNotReplaceThese(t *testing.T) {
	current, earlier := filepath.Join(root, "config", "crd", "bases"), filepath.Join(root, "test", "upgrade", "testdata", "v0.1", "crds.yaml")
	const added = "jsonpath={.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.tracing.type}"
	tracing := func() string { return kubectl(t, "get", "crd/serviceproviders.sso.sallyport.dev", "-o", added) }
	number := schemaNumber(t)
	t.Cleanup(func() { install(t, current) })

	forbidDowngrades(t)
	out, err := tryKubectl(t, "apply", "--server-side", "--force-conflicts", "-f", earlier)
	if err == nil {
		t.Fatalf("the kinds of v0.1 were taken:\n%s", out)
	}
	for _, kind := range []string{"serviceproviders", "identityproviders", "domainbindings", "attributemappings"} {
		mustContain(t, out, fmt.Sprintf("%s.sso.sallyport.dev has schema %s, and this one has schema 1: an older schema drops fields that objects have. Install the release that you come from again.", kind, number),
			"To go back anyway, back up the objects and delete the ValidatingAdmissionPolicyBinding schema-downgrade.sso.sallyport.dev first.")
	}
	if tracing() != "object" {
		t.Error("the kinds were refused, and what they lack is gone")
	}

	kubectl(t, "delete", "validatingadmissionpolicybinding", "schema-downgrade.sso.sallyport.dev")
	eventually(t, "without the binding the earlier kinds are taken, as the sentence says", func() bool {
		_, err := tryKubectl(t, "apply", "--server-side", "--force-conflicts", "-f", earlier)
		return err == nil
	})
	if tracing() != "" {
		t.Fatal("the kinds of v0.1 have what was added since")
	}
	forbidDowngrades(t)
	install(t, current)
	if tracing() != "object" || schemaNumber(t) != number {
		t.Errorf("the kinds are not back: schema %s, tracing is %q", schemaNumber(t), tracing())
	}
}

const schemaAnnotation = "sso.sallyport.dev/schema"

// forbidDowngrades installs the policy for the rest of the test, and returns when it is in force.
func forbidDowngrades(t *testing.T) {
	t.Helper()
	file := filepath.Join(root, "config", "admission", "schema-downgrade.yaml")
	kubectl(t, "apply", "-f", file)
	t.Cleanup(func() { kubectl(t, "delete", "--ignore-not-found", "-f", file) })
	eventually(t, "the policy is in force", func() bool {
		_, err := tryKubectl(t, "annotate", "crd/identityproviders.sso.sallyport.dev", "--overwrite", schemaAnnotation+"=0", "--dry-run=server")
		return err != nil
	})
}

// schemaNumber is the one of the kinds that are installed.
func schemaNumber(t *testing.T) string {
	t.Helper()
	return kubectl(t, "get", "crd/identityproviders.sso.sallyport.dev", "-o", `jsonpath={.metadata.annotations.sso\.sallyport\.dev/schema}`)
}
