package controllers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// TestAStampedNameIsNoDifference: whoever applies the same files again changes nothing, with each way of applying, and the tools that compare see no difference.
func TestAStampedNameIsNoDifference(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	stamping(t, ns)
	sp := serviceProvider(ns)
	file := filepath.Join(t.TempDir(), "sp.yaml")
	write := func(lifetime string) {
		t.Helper()
		content := fmt.Sprintf("apiVersion: sso.sallyport.dev/v1alpha1\nkind: ServiceProvider\nmetadata: {name: main, namespace: %s}\nspec: {url: 'https://sso.example.com', session: {lifetime: %s}}\n", ns, lifetime)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stamped := func(who, when string) string {
		t.Helper()
		if get(t, sp); sp.Annotations[v1alpha1.AnnotationChangedBy] != who {
			t.Errorf("%s: stamped is %q, want %q", when, sp.Annotations[v1alpha1.AnnotationChangedBy], who)
		}
		return sp.ResourceVersion
	}
	as := func(user string, arguments ...string) []string {
		return append(arguments, "-f", file, "--as="+user, "--as-group=system:masters")
	}
	for _, way := range [][]string{{"--server-side"}, {"--server-side", "--field-manager=kustomize-controller"}, nil} {
		when := fmt.Sprintf("kubectl apply %v", way)
		apply, diff := append([]string{"apply"}, way...), append([]string{"diff"}, way...)
		write("2h")
		kubectl(t, as("alice@acme.example", apply...)...)
		stamped("alice@acme.example", when)
		// The API server writes the defaults of the status down with the first update of an object.
		kubectl(t, as("alice@acme.example", apply...)...)
		first := stamped("alice@acme.example", when)
		for range 2 {
			kubectl(t, as("alice@acme.example", apply...)...)
			if again := stamped("alice@acme.example", when+" again"); again != first {
				t.Errorf("%s: the same file changes the object", when)
			}
		}
		if out, err := tryKubectl(t, as("alice@acme.example", diff...)...); err != nil {
			t.Errorf("kubectl diff %v sees a difference: %v\n%s", way, err, out)
		}
		// What somebody else changes is theirs, and what is put back is of who puts it back; then it rests again.
		kubectl(t, "patch", "sp/main", "-n", ns, "--type=merge", "-p", `{"spec":{"session":{"lifetime":"3h"}}}`, "--as=mallory@acme.example", "--as-group=system:masters")
		stamped("mallory@acme.example", when+", changed")
		force := apply
		if way != nil {
			force = append(force, "--force-conflicts")
		}
		kubectl(t, as("carol@acme.example", force...)...)
		first = stamped("carol@acme.example", when+", put back")
		kubectl(t, as("carol@acme.example", force...)...)
		if again := stamped("carol@acme.example", when+", put back again"); again != first {
			t.Errorf("%s: what was put back changes with every further time", when)
		}
		remove(t, sp)
		eventually(t, "it is gone", func() bool { return !exists(t, sp) })
	}
}

// TestTheStampIsInNobodysWay: objects of any shape and size pass or are refused by the schema alone, and without the policy everything goes on.
func TestTheStampIsInNobodysWay(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	as, uninstall := stamping(t, ns)
	alice := as("alice@acme.example")
	sp, idp := serviceProvider(ns), identityProvider(ns, "okta", inline(t))
	idp.Spec.SAML.Metadata.Inline += "<!--" + strings.Repeat("a", 200_000) + "-->"
	for _, object := range []client.Object{sp, idp} {
		if err := alice.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	idp.Spec.DisplayName = "Acme again"
	if err := alice.Update(t.Context(), idp); err != nil || idp.Annotations[v1alpha1.AnnotationChangedBy] != "alice@acme.example" {
		t.Errorf("a large object: %v %v", err, idp.Annotations)
	}
	if out, err := tryKubectl(t, "patch", "sp/main", "-n", ns, "--type=json", "-p", `[{"op":"remove","path":"/spec"}]`); err == nil || !strings.Contains(out, "spec: Required value") {
		t.Errorf("an object without a spec: %v %s", err, out)
	}
	uninstall()
	eventually(t, "the policy is gone", func() bool {
		try := serviceProvider(ns)
		try.Name = "other"
		err := alice.Create(t.Context(), try, client.DryRunAll)
		return err == nil && try.Annotations[v1alpha1.AnnotationChangedBy] == ""
	})
	if err := alice.Delete(t.Context(), idp); err != nil {
		t.Error(err)
	}
	kubectl(t, "patch", "sp/main", "-n", ns, "--type=merge", "-p", `{"spec":{"session":{"lifetime":"3h"}}}`)
}
