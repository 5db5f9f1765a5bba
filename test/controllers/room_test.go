package controllers

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/snapshot"
)

// TestAFullSecretHoldsUpWhatCameLastAlone: what is served stays, others become Ready, and who waits says why and goes on when there is room.
func TestAFullSecretHoldsUpWhatCameLastAlone(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	main := serviceProvider(ns)
	create(t, main)
	newPod(t, ns, "main")
	var idps []*v1alpha1.IdentityProvider
	var late *v1alpha1.IdentityProvider
	for i := 0; late == nil; i++ {
		name := fmt.Sprintf("idp-%d", i)
		if snapshot.ShardOf(name) != 5 {
			continue
		}
		idp := identityProvider(ns, name, inline(t))
		create(t, largestMapping(ns, name), idp)
		if reason := decided(t, idp); reason == v1alpha1.ReasonSnapshotTooLarge {
			late = idp
		} else {
			idps = append(idps, idp)
		}
		if len(idps) > 20 {
			t.Fatal("everything fits: the test fills nothing")
		}
	}

	binding, elsewhere := domainBinding(ns, "late", "late.example", late.Name), identityProvider(ns, "elsewhere", inline(t))
	create(t, binding, elsewhere)
	await(t, elsewhere, "Ready", isTrue, "Serving")
	await(t, main, "Ready", isTrue, "Serving")
	for _, idp := range idps {
		await(t, idp, "Ready", isTrue, "Serving")
	}
	await(t, binding, "Accepted", metav1.ConditionUnknown, "IdentityProviderNotAccepted")
	o.restart()
	mustContain(t, await(t, late, "Ready", isFalse, "SnapshotTooLarge"), "There is no room for it", "to another ServiceProvider", "another name")

	remove(t, idps[0])
	await(t, late, "Ready", isTrue, "Serving")
	await(t, binding, "Ready", isTrue, "Serving")
}

// decided waits until the IdP is accepted or refused, and returns the reason.
func decided(t *testing.T, idp *v1alpha1.IdentityProvider) (reason string) {
	t.Helper()
	eventually(t, idp.Name+" is looked at", func() bool {
		read(t, idp)
		for _, c := range idp.Status.Conditions {
			if c.Type == v1alpha1.ConditionAccepted && c.Status != metav1.ConditionUnknown {
				reason = c.Reason
			}
		}
		return reason != ""
	})
	return reason
}

// largestMapping takes about as much of the snapshot as a mapping can.
func largestMapping(ns, idp string) *v1alpha1.AttributeMapping {
	m := attributeMapping(ns, idp, idp)
	for range 30 {
		rule := v1alpha1.GroupRule{When: "true"}
		for range 16 {
			random := make([]byte, 180)
			_, _ = rand.Read(random)
			rule.AddGroups = append(rule.AddGroups, v1alpha1.Group(base64.StdEncoding.EncodeToString(random)))
		}
		m.Spec.Rules = append(m.Spec.Rules, rule)
	}
	return m
}
