package compile

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/identity"
)

// owner is the reference: of the bindings that stand (the oldest of each domain), the longest name that covers the domain; it speaks for the domain if its IdP
// is there and the domain is proved. A domain that no binding covers belongs to the oldest catch-all.
func owner(in Input, domain string) string {
	best, taken := v1alpha1.DomainBinding{}, map[string]bool{"com": true}
	for _, b := range oldestFirst(in.DomainBindings) {
		if name := b.Spec.Domain; b.DeletionTimestamp == nil && !taken[name] {
			taken[name] = true
			if covers := name == domain || b.Spec.Subdomains == v1alpha1.Included && strings.HasSuffix(domain, "."+name); covers && len(name) > len(best.Spec.Domain) {
				best = b
			}
		}
	}
	proved := best.Spec.Verification.Method != v1alpha1.VerificationDNS || in.Verified[best.Name].Verified
	for _, idp := range oldestFirst(in.IdentityProviders) {
		if best.Name == "" && idp.Spec.CatchAll == v1alpha1.StateEnabled || idp.Name == string(best.Spec.IdentityProviderRef.Name) && proved {
			return idp.Name
		}
	}
	return ""
}

type dated interface {
	v1alpha1.DomainBinding | v1alpha1.IdentityProvider
}

func oldestFirst[T dated](objects []T) []T {
	return slices.SortedStableFunc(slices.Values(objects), func(a, b T) int {
		x, y := metaOf(a), metaOf(b)
		return cmp.Or(x.CreationTimestamp.Compare(y.CreationTimestamp.Time), cmp.Compare(x.Name, y.Name))
	})
}

func metaOf(object any) metav1.ObjectMeta {
	switch o := object.(type) {
	case v1alpha1.DomainBinding:
		return o.ObjectMeta
	case v1alpha1.IdentityProvider:
		return o.ObjectMeta
	}
	return metav1.ObjectMeta{}
}

// estate draws bindings and IdPs of one ServiceProvider: conflicts, missing IdPs, domains within domains, proofs, deletions, several catch-alls.
func estate(r *rand.Rand, domain func() string) Input {
	in := Input{Name: "main", Resolved: map[string]Resolved{}, Verified: map[string]Verification{}, ServiceProvider: &v1alpha1.ServiceProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sso", Name: "main"}, Spec: v1alpha1.ServiceProviderSpec{URL: "https://sso.example.com"}}}
	made := func(kind string, i int) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "sso", Name: fmt.Sprintf("%s-%d", kind, i), UID: types.UID(fmt.Sprint(kind, i)), Generation: 1,
			CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 1+r.IntN(5), 0, 0, 0, 0, time.UTC))}
	}
	for i := range 1 + r.IntN(5) {
		idp := v1alpha1.IdentityProvider{ObjectMeta: made("idp", i)}
		idp.Spec.ServiceProviderRef.Name = "main"
		if r.IntN(3) == 0 {
			idp.Spec.CatchAll = v1alpha1.StateEnabled
		}
		in.IdentityProviders = append(in.IdentityProviders, idp)
		in.Resolved[idp.Name] = resolved(idp.Name, "")
	}
	for i := range r.IntN(30) {
		b := v1alpha1.DomainBinding{ObjectMeta: made("binding", i)}
		b.Spec.Domain = domain()
		b.Spec.IdentityProviderRef.Name = v1alpha1.ObjectName(fmt.Sprintf("idp-%d", r.IntN(6)))
		b.Spec.Subdomains = []v1alpha1.Inclusion{v1alpha1.Included, v1alpha1.Excluded}[r.IntN(2)]
		if r.IntN(8) == 0 {
			b.DeletionTimestamp = &metav1.Time{Time: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)}
		}
		if r.IntN(5) == 0 {
			b.Spec.Verification.Method = v1alpha1.VerificationDNS
			in.Verified[b.Name] = Verification{Verified: r.IntN(2) == 0}
		}
		in.DomainBindings = append(in.DomainBindings, b)
	}
	return in
}

// TestRoutingAndEnforcementAgreeWithTheModel goes from objects to what the service provider decides about addresses in random spellings: an address is sent to
// its owner, and its owner alone may assert it.
func TestRoutingAndEnforcementAgreeWithTheModel(t *testing.T) {
	owned, held := 0, 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 5))
		labels := []string{"a", "b", "example", "xn--bcher-kva"}
		domain := func() string {
			name := labels[r.IntN(len(labels))] + ".com"
			for r.IntN(2) == 0 && len(name) < 60 {
				name = labels[r.IntN(len(labels))] + "." + name
			}
			if r.IntN(20) == 0 {
				return "com"
			}
			return name
		}
		in := estate(r, domain)
		s := Compile(in).Snapshot
		table := identity.NewDomainTable(s.Domains, s.Connections)
		for range 100 {
			asked := domain()
			if asked == "com" {
				continue
			}
			spelled := strings.ReplaceAll(asked, "xn--bcher-kva", "Bücher")
			if r.IntN(2) == 0 {
				spelled = strings.ToUpper(spelled)
			}
			address, err := identity.NormaliseAddress("Alice@" + spelled)
			if err != nil {
				t.Fatal(err)
			}
			want := owner(in, asked)
			if got, _, _ := table.Route(address); got != want {
				t.Fatalf("seed %d: %s is sent to %q, want %q", seed, address, got, want)
			}
			for _, idp := range in.IdentityProviders {
				if got := table.MayAssert(idp.Name, address); got != (idp.Name == want) {
					t.Fatalf("seed %d: may %s assert %s: %v, its owner is %q", seed, idp.Name, address, got, want)
				}
			}
			if want != "" {
				owned++
			} else {
				held++
			}
		}
	}
	if owned < 1000 || held < 1000 {
		t.Errorf("%d addresses have an owner and %d have none: the test proves little", owned, held)
	}
}
