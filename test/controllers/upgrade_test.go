package controllers

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/api/v1alpha1"
	apply "sallyport.dev/sallyport/api/v1alpha1/applyconfiguration/api/v1alpha1"
)

// TestAnUpgradeOfTheOperatorWaitsForTheKinds: while the kinds are those of an earlier release, everything is served, and the ServiceProvider says what to do, since its status has
// fields that they do not know. With the new kinds it is written, nothing that was written before changes, and nothing is told twice.
func TestAnUpgradeOfTheOperatorWaitsForTheKinds(t *testing.T) {
	current := filepath.Join(root, "config", "crd", "bases")
	t.Cleanup(func() { install(t, current) })
	install(t, filepath.Join(root, "test", "upgrade", "testdata", "v0.1", "crds.yaml"))

	ns := namespace(t)
	o := newOperator(t, ns)
	sp, idp := serviceProvider(ns), identityProvider(ns, "okta", inline(t))
	sp.Spec.SignedHeader = &v1alpha1.SignedHeaderSettings{State: v1alpha1.StateEnabled}
	others := []client.Object{idp, domainBinding(ns, "acme", "acme.example", "okta"), attributeMapping(ns, "okta", "okta")}
	all := append(others, sp)
	create(t, all...)
	newPod(t, ns, "main")
	since := map[client.Object]metav1.Time{}
	for _, object := range others {
		await(t, object, "Ready", isTrue, "Serving")
		since[object] = meta.FindStatusCondition(conditionsOf(t, object), "Ready").LastTransitionTime
	}
	eventually(t, "the ServiceProvider says what to do", func() bool {
		return strings.Contains(kubectl(t, "-n", ns, "describe", "sp/main"), "apply the CRDs of the operator's release")
	})
	if s := served(t, ns); len(s.Connections) != 1 || len(s.Domains) != 1 || s.ServiceProvider.SignedHeader == nil {
		t.Errorf("served are %+v", s)
	}

	install(t, current)
	kubectl(t, "-n", ns, "annotate", "sp/main", "example.com/nudge=1") // it looks again by itself, a little later
	await(t, sp, "Ready", isTrue, "Serving")
	o.restart()
	o.atRest(t)
	for _, object := range others {
		if now := meta.FindStatusCondition(conditionsOf(t, object), "Ready"); now.Status != isTrue || now.LastTransitionTime != since[object] {
			t.Errorf("%s was Ready since %s, and is %+v", object.GetName(), since[object], now)
		}
	}
	if get(t, sp); len(sp.Status.HeaderKeys) == 0 {
		t.Error("what the new kinds have more is not written")
	}
	stories := map[string]int{}
	for _, story := range o.audit.stories(all...) {
		if stories[story]++; stories[story] > 1 {
			t.Errorf("told twice: %s", story)
		}
	}
}

// TestNoBindingIsReadyWhileTheKindsKeepItsNameFromItsIdentityProvider: an IdentityProvider whose kind has no room for the names of its bindings could be deleted under a domain,
// so its binding waits for the newer kind, although the pods serve it already.
func TestNoBindingIsReadyWhileTheKindsKeepItsNameFromItsIdentityProvider(t *testing.T) {
	current := filepath.Join(root, "config", "crd", "bases")
	t.Cleanup(func() { install(t, current) })
	install(t, withoutDomains(t, current))

	ns := namespace(t)
	sp, idp, binding := serviceProvider(ns), identityProvider(ns, "okta", inline(t)), domainBinding(ns, "acme", "acme.example", "okta")
	create(t, sp, idp, binding)
	eventually(t, "the API server has the older kind", func() bool {
		status := apply.IdentityProvider("okta", ns).WithStatus(apply.IdentityProviderStatus().WithDomains(apply.BoundDomains().WithCount(1)))
		return k8s.Status().Apply(t.Context(), status, client.FieldOwner("somebody"), client.DryRunAll) != nil
	})
	o := newOperator(t, ns)
	p := newPod(t, ns, "main")
	eventually(t, "the pod serves the domain", func() bool {
		now, _, _ := p.current()
		return len(now.Domains) == 1
	})
	tries, told := 0, false
	o.wire.take()
	eventually(t, "the status of the IdentityProvider is tried twice more", func() bool {
		for _, write := range o.wire.take() {
			tries += strings.Count(write, "/identityproviders/okta/status")
			told = told || strings.Contains(write, "/domainbindings/acme/status")
		}
		return tries > 1
	})
	if get(t, binding); told || isReady(t, binding) {
		t.Errorf("its name is not on its IdentityProvider, and the binding says %+v", binding.Status.Conditions)
	}
	mustContain(t, kubectl(t, "-n", ns, "describe", "idp/okta"), "apply the CRDs of the operator's release")

	install(t, current)
	await(t, binding, "Ready", isTrue, "Serving")
	if get(t, idp); idp.Status.Domains == nil || !slices.Equal(idp.Status.Domains.Names, []string{"acme"}) {
		t.Errorf("it is Ready, and its IdentityProvider knows of %+v", idp.Status.Domains)
	}
}

// withoutDomains are the kinds at path with an IdentityProvider whose status has no domains.
func withoutDomains(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path, "sso.sallyport.dev_identityproviders.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var kind apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(content, &kind); err != nil {
		t.Fatal(err)
	}
	status := kind.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["status"].Properties
	if _, ok := status["domains"]; !ok {
		t.Fatal("the status of an IdentityProvider has no domains")
	}
	delete(status, "domains")
	if content, err = yaml.Marshal(kind); err != nil {
		t.Fatal(err)
	}
	older := filepath.Join(t.TempDir(), "older.yaml")
	if err := os.WriteFile(older, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return older
}

// install brings the kinds, as their manifests do.
func install(t *testing.T, path string) {
	t.Helper()
	kubectl(t, "apply", "--server-side", "--force-conflicts", "-f", path)
	kubectl(t, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
}
