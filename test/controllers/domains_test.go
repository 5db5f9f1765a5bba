package controllers

import (
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/internal/audit"
)

// TestDomainsAreAcceptedAndRefusedWithTheFormToWrite: some are refused by the schema, with the answer to kubectl apply, and the rest by the operator.
func TestDomainsAreAcceptedAndRefusedWithTheFormToWrite(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	newOperator(t, ns)
	create(t, serviceProvider(ns), identityProvider(ns, "okta", inline(t)))
	newPod(t, ns, "main")
	for domain, refusal := range map[string]string{
		"Acme.Example":      "domain must be lower-case: write acme.example",
		"bücher.example":    "domain must be in its ASCII form (A-label), such as xn--bcher-kva.example for bücher.example: kubectl sso lint prints the form to write",
		"alice@acme.test":   "domain must be the domain alone: write example.com, not alice@example.com",
		"*.acme.example":    "domain must not be a wildcard: write example.com and set subdomains: Included",
		"acme.example.":     "domain must not end with a dot: remove it",
		"com":               "domain must have at least two labels of letters, digits and hyphens: write example.com, without a scheme, port or path",
		"https://acme.test": "domain must have at least two labels of letters, digits and hyphens: write example.com, without a scheme, port or path",
		"acme.example:443":  "domain must have at least two labels of letters, digits and hyphens: write example.com, without a scheme, port or path",
	} {
		err := k8s.Create(t.Context(), domainBinding(ns, "refused", domain, "okta"))
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), refusal) {
			t.Errorf("%s: %v, want %q", domain, err, refusal)
		}
	}
	name := func(domain string) string { return "d-" + domain }
	refused := map[string]struct{ reason, message string }{
		"co.uk":                   {"PublicSuffix", "co.uk is a public suffix: anybody can register a name below it. Bind your own domain, such as example.co.uk"},
		"github.io":               {"PublicSuffix", "github.io is a public suffix"},
		"xn--55qx5d.cn":           {"PublicSuffix", "xn--55qx5d.cn is a public suffix"},
		"xn--zzzzzz99999.example": {"InvalidDomain", "is not a domain name"},
		"xn--abc.example":         {"InvalidDomain", ""},
	}
	accepted := []string{"acme.example", "sub.acme.co.uk", "acme.github.io", "xn--bcher-kva.example", "xn--fa-hia.example", "acme.internal", "a-b.example", "1.example"}
	for domain := range refused {
		create(t, domainBinding(ns, name(domain), domain, "okta"))
	}
	for _, domain := range accepted {
		create(t, domainBinding(ns, name(domain), domain, "okta"))
	}
	for domain, want := range refused {
		mustContain(t, await(t, domainBinding(ns, name(domain), "", ""), "Accepted", isFalse, want.reason), "spec.domain: ", want.message)
	}
	for _, domain := range accepted {
		await(t, domainBinding(ns, name(domain), "", ""), "Ready", isTrue, "Serving")
	}
	if got := served(t, ns).Domains; len(got) != len(accepted) {
		t.Errorf("served are %+v", got)
	}
	moved := domainBinding(ns, name("acme.example"), "", "")
	get(t, moved)
	moved.Spec.Domain = "other.example"
	if err := k8s.Update(t.Context(), moved); err == nil || !strings.Contains(err.Error(), "domain is immutable: create another DomainBinding for the other domain and delete this one") {
		t.Errorf("the domain could be changed: %v", err)
	}
}

func get(t testing.TB, object client.Object) {
	t.Helper()
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		t.Fatal(err)
	}
}

func TestTheOlderBindingWinsAndTheOtherTakesOver(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	create(t, serviceProvider(ns), identityProvider(ns, "okta", inline(t)), identityProvider(ns, "entra", inline(t)))
	newPod(t, ns, "main")
	older, newer := domainBinding(ns, "older", "acme.example", "okta"), domainBinding(ns, "newer", "acme.example", "entra")
	create(t, older)
	await(t, older, "Ready", isTrue, "Serving")
	time.Sleep(time.Until(older.CreationTimestamp.Add(time.Second))) // times of creation have no fractions of a second
	create(t, newer)
	mustContain(t, await(t, newer, "Accepted", isFalse, "Conflicted"), "acme.example is bound by DomainBinding older", "This one takes over when the other goes")
	await(t, newer, "Ready", isFalse, "Conflicted")
	await(t, older, "Ready", isTrue, "Serving")
	if got := served(t, ns).Domains; len(got) != 1 || got[0].Connection != "okta" {
		t.Errorf("served are %+v", got)
	}
	remove(t, older)
	await(t, newer, "Ready", isTrue, "Serving")
	if got := served(t, ns).Domains; len(got) != 1 || got[0].Connection != "entra" {
		t.Errorf("served are %+v", got)
	}
	if n := o.audit.count(audit.TypeSAMLDomainConflicted, "newer"); n != 1 {
		t.Errorf("the conflict was recorded %d times", n)
	}
	if n := o.audit.count(audit.TypeSAMLDomainUnbound, "older"); n != 1 {
		t.Errorf("the deletion was recorded %d times", n)
	}
}

// TestABindingIsReadyOnlyUnderAnIdPThatIsHeld kills the operator after each of its writes: at no moment is there a binding that is Ready while its
// IdentityProvider could be deleted, by the admission policy's count or by the finalizer.
func TestABindingIsReadyOnlyUnderAnIdPThatIsHeld(t *testing.T) {
	t.Parallel()
	writes := afterEachWrite(t, func(t *testing.T) func(*testing.T, int) bool {
		ns := namespace(t)
		o := newOperator(t, ns)
		create(t, serviceProvider(ns))
		newPod(t, ns, "main")
		return func(t *testing.T, k int) bool { return o.bindsAndCrashes(t, k) }
	})
	if writes < 3 {
		t.Errorf("a binding took %d writes: the test proves nothing", writes)
	}
}

// bindsAndCrashes makes an IdentityProvider and its binding, lets the operator die after its k-th write, and watches the binding all the time.
func (o *operator) bindsAndCrashes(t *testing.T, k int) (died bool) {
	t.Helper()
	crashed := o.wire.crash(k)
	idp, binding := identityProvider(o.ns, "okta", inline(t)), domainBinding(o.ns, "acme", "acme.example", "okta")
	create(t, binding, idp)
	safe := func() (ready bool) {
		t.Helper()
		// The binding is read first: what it promises must hold afterwards.
		get(t, binding)
		get(t, idp)
		ready = meta.IsStatusConditionTrue(binding.Status.Conditions, "Ready")
		if ready && (idp.Status.Domains == nil || *idp.Status.Domains.Count != 1 || len(idp.Finalizers) != 1) {
			t.Errorf("the binding is Ready under an IdentityProvider with %v and %+v", idp.Finalizers, idp.Status.Domains)
		}
		return ready
	}
	eventually(t, "the operator has crashed or the binding is Ready", func() bool {
		select {
		case <-crashed:
			died = true
			safe()
			return true
		default:
			return safe()
		}
	})
	if died {
		o.restart()
	} else {
		o.wire.revive()
	}
	eventually(t, "the binding is Ready", safe)
	remove(t, binding, idp)
	awaitGone(t, patience, idp)
	return died
}
