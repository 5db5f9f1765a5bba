package controllers

import (
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
)

// bound are two domains of one IdP, ready.
func bound(t *testing.T) (o *operator, ns string, idp *v1alpha1.IdentityProvider, bindings []*v1alpha1.DomainBinding) {
	t.Helper()
	ns = namespace(t)
	o = newOperator(t, ns)
	idp = identityProvider(ns, "okta", inline(t))
	bindings = []*v1alpha1.DomainBinding{domainBinding(ns, "acme-com", "acme.example", "okta"), domainBinding(ns, "acme-org", "acme.test", "okta")}
	create(t, serviceProvider(ns), idp, bindings[0], bindings[1])
	newPod(t, ns, "main")
	for _, b := range bindings {
		await(t, b, "Ready", isTrue, "Serving")
	}
	return o, ns, idp, bindings
}

func TestDeletingAnIdPUnderItsDomainsIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	_, ns, idp, _ := bound(t)
	policy(t, ns, "")
	out, err := tryKubectl(t, "-n", ns, "delete", "idp/okta")
	if err == nil {
		t.Fatalf("it was accepted: %s", out)
	}
	mustContain(t, out, "Error from server (Forbidden)", "IdentityProvider okta still has 2 domain bindings (acme-com, acme-org): delete or rebind them first.")
	if get(t, idp); idp.DeletionTimestamp != nil {
		t.Error("it is being deleted all the same")
	}
	// With one binding less it says so, and without any it goes.
	kubectl(t, "-n", ns, "delete", "dbind/acme-org")
	eventually(t, "one is counted", func() bool { get(t, idp); return *idp.Status.Domains.Count == 1 })
	out, _ = tryKubectl(t, "-n", ns, "delete", "idp/okta")
	mustContain(t, out, "IdentityProvider okta still has 1 domain binding (acme-com): delete or rebind it first.")
	kubectl(t, "-n", ns, "delete", "dbind/acme-com")
	eventually(t, "none is counted", func() bool { get(t, idp); return *idp.Status.Domains.Count == 0 })
	kubectl(t, "-n", ns, "delete", "idp/okta", "--timeout=60s")
	awaitGone(t, patience, idp)
}

func TestTheAnnotationLetsADeletionPast(t *testing.T) {
	t.Parallel()
	_, ns, idp, bindings := bound(t)
	policy(t, ns, "")
	kubectl(t, "-n", ns, "annotate", "idp/okta", v1alpha1.AnnotationAllowDelete+"=yes")
	kubectl(t, "-n", ns, "delete", "idp/okta", "--wait=false")
	await(t, idp, "DeletionBlocked", isTrue, "DomainsBound")
	remove(t, bindings[0], bindings[1])
	awaitGone(t, patience, idp)
}

func TestDeletingAnIdPUnderItsDomainsWarns(t *testing.T) {
	t.Parallel()
	_, ns, idp, bindings := bound(t)
	policy(t, ns, "warn")
	out := kubectl(t, "-n", ns, "delete", "idp/okta", "--wait=false")
	mustContain(t, out, "Warning: ", "IdentityProvider okta still has 2 domain bindings (acme-com, acme-org): delete or rebind them first.", `"okta" deleted`)
	await(t, idp, "DeletionBlocked", isTrue, "DomainsBound")
	remove(t, bindings[0], bindings[1])
	awaitGone(t, patience, idp)
}

// TestWithoutThePolicyTheFinalizerHolds: kubectl describe and kubectl get explain, it serves on, and goes by itself within two seconds.
func TestWithoutThePolicyTheFinalizerHolds(t *testing.T) {
	o, ns, idp, bindings := bound(t)
	kubectl(t, "-n", ns, "delete", "idp/okta", "--wait=false")
	message := await(t, idp, "DeletionBlocked", isTrue, "DomainsBound")
	mustContain(t, message, "2 domain bindings still refer to it (acme-com, acme-org): delete or rebind them, and it is then removed automatically. Until then people can still sign in.")
	mustContain(t, await(t, idp, "Ready", isTrue, "DeletionBlocked"), message)
	mustContain(t, kubectl(t, "-n", ns, "get", "idp"), "okta", "True", "DeletionBlocked")
	eventually(t, "there is an Event", func() bool {
		return strings.Contains(kubectl(t, "-n", ns, "describe", "idp/okta"), "Warning  DomainsBound")
	})
	mustContain(t, kubectl(t, "-n", ns, "describe", "idp/okta"), "DeletionBlocked", "2 domain bindings still refer to it (acme-com, acme-org)")
	if s := served(t, ns); len(s.Connections) != 1 || !s.Connections[0].Enabled || len(s.Domains) != 2 || s.Domains[0].Connection != "okta" {
		t.Errorf("it does not serve on: %+v", s.Domains)
	}
	remove(t, bindings[0])
	eventually(t, "one is left", func() bool {
		get(t, idp)
		return strings.Contains(kubectl(t, "-n", ns, "describe", "idp/okta"), "1 domain binding still refers to it (acme-org): delete or rebind it")
	})
	remove(t, bindings[1])
	awaitGone(t, 2*time.Second, idp)
	for recordType, want := range map[audit.Type]int{audit.TypeSAMLIdPDeletionBlocked: 1, audit.TypeSAMLDomainUnbound: 2} {
		if n := o.audit.count(recordType, ""); n != want {
			t.Errorf("%v was recorded %d times, want %d", recordType, n, want)
		}
	}
}

func TestARebindLetsTheOldIdPGo(t *testing.T) {
	t.Parallel()
	_, ns, idp, bindings := bound(t)
	create(t, identityProvider(ns, "entra", inline(t)))
	kubectl(t, "-n", ns, "delete", "idp/okta", "--wait=false")
	await(t, idp, "DeletionBlocked", isTrue, "DomainsBound")
	for _, b := range bindings {
		get(t, b)
		b.Spec.IdentityProviderRef.Name = "entra"
		update(t, b)
	}
	awaitGone(t, patience, idp)
	for _, b := range bindings {
		await(t, b, "Ready", isTrue, "Serving")
	}
}

func TestKubectlGetSaysWhatAnIdPDoesNotDo(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	newOperator(t, ns)
	disabled, terminating := identityProvider(ns, "disabled", inline(t)), identityProvider(ns, "terminating", inline(t))
	disabled.Spec.State = v1alpha1.StateDisabled
	terminating.Finalizers = []string{"example.com/somebody-else"}
	create(t, serviceProvider(ns), disabled, terminating)
	newPod(t, ns, "main")
	await(t, terminating, "Ready", isTrue, "Serving")
	remove(t, terminating)
	await(t, terminating, "Ready", isFalse, "Terminating")
	await(t, disabled, "Ready", isFalse, "Disabled")
	for _, line := range strings.Split(kubectl(t, "-n", ns, "get", "idp", "--no-headers"), "\n") {
		if fields := strings.Fields(line); len(fields) > 0 {
			want := map[string]string{"disabled": "Disabled", "terminating": "Terminating"}[fields[0]]
			mustContain(t, line, want, "False")
		}
	}
	letGo(t, terminating)
	awaitGone(t, patience, terminating)
}
