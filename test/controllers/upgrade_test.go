package controllers

import (
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
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
		return strings.Contains(kubectl(t, "-n", ns, "describe", "sp/main"), "apply the kinds of the operator's release")
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

// install brings the kinds, as their manifests do.
func install(t *testing.T, path string) {
	t.Helper()
	kubectl(t, "apply", "--server-side", "--force-conflicts", "-f", path)
	kubectl(t, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
}
