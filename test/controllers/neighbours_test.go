package controllers

import (
	"testing"
)

// TestOneServiceProviderTellsOfWhatRefersToNothing: two of a namespace find different things about a binding whose IdentityProvider does not exist. One of them says so, and
// they do not take turns.
func TestOneServiceProviderTellsOfWhatRefersToNothing(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	main, other := serviceProvider(ns), serviceProvider(ns)
	other.Name, other.Spec.URL = "other", "https://sso.example.org"
	older, lost, mapping := domainBinding(ns, "a-bound", "acme.example", "okta"), domainBinding(ns, "b-lost", "acme.example", "nobody"), attributeMapping(ns, "lost", "nobody")
	create(t, main, other, identityProvider(ns, "okta", inline(t)), older, lost, mapping)
	newPod(t, ns, "main")
	newPod(t, ns, "other")
	await(t, older, "Ready", isTrue, "Serving")
	await(t, lost, "Accepted", isFalse, "Conflicted")
	await(t, mapping, "Accepted", isFalse, "IdentityProviderNotFound")
	o.atRest(t)
	for range 3 {
		nudge(t, lost)
		o.atRest(t)
		await(t, lost, "Accepted", isFalse, "Conflicted")
	}
	if events := told(t, lost, "IdentityProviderNotFound"); len(events) != 0 {
		t.Errorf("the other ServiceProvider has told its own: %v", events)
	}
	remove(t, main)
	await(t, lost, "Accepted", isFalse, "IdentityProviderNotFound")
}
