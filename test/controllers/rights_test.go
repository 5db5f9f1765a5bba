package controllers

import (
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const itself = "system:serviceaccount:sallyport-system:sallyport-operator"

// asItself lets the operator be who it is in a cluster, with the rights of config/rbac.
func asItself(t *testing.T) option {
	t.Helper()
	home := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "sallyport-system"}}
	if err := client.IgnoreAlreadyExists(k8s.Create(t.Context(), home)); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "apply", "-k", filepath.Join(root, "config", "rbac"))
	return func(o *operator) {
		o.as = rest.ImpersonationConfig{UserName: itself, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:sallyport-system", "system:authenticated"}}
	}
}

// TestTheOperatorDeletesNothingThatItNeverDeletes: what somebody who has its token could do is no more than what it does itself.
func TestTheOperatorDeletesNothingThatItNeverDeletes(t *testing.T) {
	asItself(t)
	for _, resource := range []string{"services", "serviceaccounts", "persistentvolumeclaims", "pods", "configmaps", "roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io",
		"poddisruptionbudgets.policy", "networkpolicies.networking.k8s.io", "identityproviders.sso.sallyport.dev"} {
		if out, err := tryKubectl(t, "auth", "can-i", "delete", resource, "--as="+itself); err == nil || !strings.Contains(out, "no") {
			t.Errorf("it may delete %s: %s", resource, out)
		}
	}
	for _, resource := range []string{"secrets", "deployments.apps", "statefulsets.apps", "ingresses.networking.k8s.io"} {
		if out, err := tryKubectl(t, "auth", "can-i", "delete", resource, "--as="+itself); err != nil {
			t.Errorf("it may not delete %s: %s", resource, out)
		}
	}
}

// TestTheOperatorsRoleSuffices lets the operator be who it is in a cluster, with the rights of config/rbac and no others: it serves, holds, shows refused sign-ins
// and lets go.
func TestTheOperatorsRoleSuffices(t *testing.T) {
	ns := namespace(t)
	newOperator(t, ns, asItself(t))
	idp, binding := okta(t, ns)
	entra, evil := connected(t, ns, "entra"), domainBinding(ns, "evil", "evil.example", "entra")
	create(t, withPeople(ns), idp, binding, entra, evil)
	p := newServing(t, ns)
	await(t, binding, "Ready", isTrue, "Serving")
	await(t, evil, "Ready", isTrue, "Serving")
	mallory := p.visitor(t)
	name, request := mallory.sent("mallory@evil.example")
	if mallory.comeBack(name, request, asserting("ceo@acme.example")) {
		t.Fatal("mallory is signed in")
	}
	eventually(t, "the refusal and what went before are Events", func() bool {
		story := kubectl(t, "-n", ns, "describe", "idp/entra")
		return strings.Contains(story, "SignInRejected") && strings.Contains(story, "Serving")
	})
	if out, err := tryKubectl(t, "-n", ns, "delete", "idp/entra", "--as="+itself); err == nil || !strings.Contains(out, "Forbidden") {
		t.Errorf("the API server asks nobody for rights, or the operator has too many: %s", out)
	}
	remove(t, idp)
	await(t, idp, "DeletionBlocked", isTrue, "DomainsBound")
	remove(t, binding)
	awaitGone(t, patience, idp)
	eventually(t, "what it left is undone", func() bool { return len(p.deletions(t)) == 1 })
}
