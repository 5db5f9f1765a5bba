package controllers

import (
	"testing"

	"k8s.io/utils/ptr"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/snapshot"
)

// TestAFailingExampleKeepsTheLastGoodMapping: an edit of a mapping whose example comes out otherwise is not served, before and after a restart of the operator; status
// says which and why. A younger mapping of the same IdP waits, says for whom, and takes over.
func TestAFailingExampleKeepsTheLastGoodMapping(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	idp, mapping := identityProvider(ns, "okta", inline(t)), attributeMapping(ns, "okta", "okta")
	mapping.Spec.Rules = []v1alpha1.GroupRule{{When: "'ML' in attributes.department", AddGroups: []v1alpha1.Group{"ml-team"}}}
	mapping.Spec.Examples[0].Attributes["department"] = v1alpha1.AttributeValues{"ML"}
	mapping.Spec.Examples[0].Expect.Groups = []v1alpha1.Group{"ml-team"}
	create(t, serviceProvider(ns), idp, mapping)
	newPod(t, ns, "main")
	await(t, mapping, "Ready", isTrue, "Serving")
	serves := func() snapshot.Mapping { return served(t, ns).Connections[0].Mapping }

	mapping.Spec.Rules[0].When = "'Sales' in attributes.department"
	update(t, mapping)
	check := func() {
		t.Helper()
		mustContain(t, await(t, mapping, "ExamplesPassed", isFalse, "ExampleFailed"), `examples[0]: groups: want "ml-team", got ""`)
		await(t, mapping, "Programmed", isFalse, "ServingLastGood")
		await(t, idp, "Ready", isTrue, "Serving")
		if read(t, mapping); len(mapping.Status.Examples) != 1 || ptr.Deref(mapping.Status.Examples[0].Index, -1) != 0 {
			t.Errorf("the status names %+v", mapping.Status.Examples)
		}
		if now := serves(); len(now.Rules) != 1 || now.Rules[0].When != "'ML' in attributes.department" {
			t.Errorf("served are the rules %+v", now.Rules)
		}
	}
	check()
	o.restart()
	check()

	younger := attributeMapping(ns, "younger", "okta")
	create(t, younger)
	mustContain(t, await(t, younger, "Accepted", isFalse, "Conflicted"), "has AttributeMapping okta, which is older")
	if now := serves(); now.Name != "okta" {
		t.Errorf("served is the mapping %s", now.Name)
	}
	if err := k8s.Delete(t.Context(), mapping); err != nil {
		t.Fatal(err)
	}
	await(t, younger, "Ready", isTrue, "Serving")
	if now := serves(); now.Name != "younger" || len(now.Rules) != 0 {
		t.Errorf("served is the mapping %s with %d rules", now.Name, len(now.Rules))
	}
}
