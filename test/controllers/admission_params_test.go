package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/utils/ptr"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// count writes into the status of an IdentityProvider what the operator would.
func count(t testing.TB, idp *v1alpha1.IdentityProvider, n int, names ...string) {
	t.Helper()
	idp.Status.Domains = &v1alpha1.BoundDomains{Count: ptr.To(int32(n)), Names: names}
	if err := k8s.Status().Update(t.Context(), idp); err != nil {
		t.Fatal(err)
	}
}

// TestABindingCountsFromTheMomentItIsMade: no operator has seen the new one, or runs at all. Bindings of other namespaces do not count.
func TestABindingCountsFromTheMomentItIsMade(t *testing.T) {
	t.Parallel()
	ns, elsewhere := namespace(t), namespace(t)
	okta, entra := identityProvider(ns, "okta", inline(t)), identityProvider(ns, "entra", inline(t))
	create(t, okta, entra, domainBinding(ns, "acme-com", "acme.example", "okta"), domainBinding(elsewhere, "other", "other.example", "entra"))
	policy(t, ns, "")
	refused := func(what, sentence string) {
		t.Helper()
		out, err := tryKubectl(t, "-n", ns, "delete", "idp/okta")
		if err == nil {
			t.Fatalf("%s: it was accepted: %s", what, out)
		}
		mustContain(t, out, "Error from server (Forbidden)", sentence)
	}
	refused("nothing is counted", "IdentityProvider okta still has 1 domain binding (acme-com): delete or rebind it first.")
	count(t, okta, 1, "acme-old")
	refused("another is counted", "IdentityProvider okta still has 2 domain bindings (acme-old, acme-com): delete or rebind them first.")
	get(t, okta)
	count(t, okta, 12, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
	refused("many are counted", "IdentityProvider okta still has 12 domain bindings (a, b, c, d, e, f, g, h, i, j and 2 more): delete or rebind them first.")
	// What the operator has counted holds nothing without a binding.
	count(t, entra, 1, "acme-gone")
	kubectl(t, "-n", ns, "delete", "idp/entra", "--timeout=60s")
	// In the moment of a new binding.
	create(t, identityProvider(ns, "entra", inline(t)))
	kubectl(t, "-n", ns, "patch", "dbind/acme-com", "--type=merge", "-p", `{"spec":{"identityProviderRef":{"name":"entra"}}}`)
	if out, err := tryKubectl(t, "-n", ns, "delete", "idp/entra"); err == nil {
		t.Errorf("a rebind does not count: %s", out)
	}
	kubectl(t, "-n", ns, "delete", "idp/okta", "--timeout=60s")
}

// TestWhoMayNotReadBindingsGetsTheSameAnswer: the API server reads them, not the person.
func TestWhoMayNotReadBindingsGetsTheSameAnswer(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	create(t, identityProvider(ns, "okta", inline(t)), domainBinding(ns, "acme-com", "acme.example", "okta"))
	policy(t, ns, "")
	kubectl(t, "-n", ns, "create", "role", "deleter", "--verb=get,delete", "--resource=identityproviders.sso.sallyport.dev")
	kubectl(t, "-n", ns, "create", "rolebinding", "deleter", "--role=deleter", "--user=bob")
	if out, err := tryKubectl(t, "-n", ns, "--as=bob", "get", "dbind"); err == nil {
		t.Fatalf("bob reads the bindings: %s", out)
	}
	out, err := tryKubectl(t, "-n", ns, "--as=bob", "delete", "idp/okta")
	if err == nil {
		t.Fatalf("it was accepted: %s", out)
	}
	mustContain(t, out, "IdentityProvider okta still has 1 domain binding (acme-com): delete or rebind it first.")
	kubectl(t, "-n", ns, "delete", "dbind/acme-com")
	kubectl(t, "-n", ns, "--as=bob", "delete", "idp/okta", "--wait=false")
}

// TestADeletionAmongManyBindingsIsJudgedInTime: the cost of CEL is bounded for each binding and not for all together, and 5,000 of them take the API server no
// time that would matter, whether none of them refers to the IdentityProvider, one, or nearly all.
func TestADeletionAmongManyBindingsIsJudgedInTime(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 5,000 objects")
	}
	const bindings, patient = 5000, 15 * time.Second // of the 60 that a request may take, on a machine with other things to do
	ns := namespace(t)
	create(t, identityProvider(ns, "okta", inline(t)), identityProvider(ns, "one", inline(t)), identityProvider(ns, "free", inline(t)), domainBinding(ns, "one", "one.example", "one"))
	makers, ctx := errgroup.WithContext(t.Context())
	makers.SetLimit(16)
	for i := range bindings - 1 {
		makers.Go(func() error {
			return k8s.Create(ctx, domainBinding(ns, fmt.Sprintf("tenant-%04d", i), fmt.Sprintf("tenant-%04d.example", i), "okta"))
		})
	}
	if err := makers.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, component := range []string{"", "warn"} {
		t.Run("policy "+component, func(t *testing.T) {
			policy(t, ns, component)
			for idp, sentence := range map[string]string{"okta": "IdentityProvider okta still has 1 domain binding (tenant-", "one": "IdentityProvider one still has 1 domain binding (one)", "free": ""} {
				start := time.Now()
				out, err := tryKubectl(t, "-n", ns, "delete", "idp/"+idp, "--dry-run=server")
				took := time.Since(start)
				t.Logf("%s: %v", idp, took)
				if took > patient {
					t.Errorf("%s took %v", idp, took)
				}
				if denied := err != nil; denied != (component == "" && sentence != "") || !strings.Contains(out, sentence) || strings.Contains(out, "budget") {
					t.Errorf("%s: %v %.2000s", idp, err, out)
				}
			}
		})
	}
}
