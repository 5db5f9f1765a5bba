package compile

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// random makes a set with conflicts, dangling references and every type, the same for the same seed.
func random(seed uint64) Input {
	r := rand.New(rand.NewPCG(seed, 7))
	meta := func(kind string, i int) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "sso", Name: fmt.Sprintf("%s-%d", kind, i), UID: types.UID(fmt.Sprintf("%s-uid-%d", kind, i)), Generation: 1 + r.Int64N(5),
			CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 1+r.IntN(5), 0, 0, 0, 0, time.UTC))}
	}
	reference := func() v1alpha1.IdentityProviderReference {
		return v1alpha1.IdentityProviderReference{Name: v1alpha1.ObjectName(fmt.Sprintf("idp-%d", r.IntN(8)))}
	}
	state := func() v1alpha1.State {
		return []v1alpha1.State{v1alpha1.StateEnabled, v1alpha1.StateDisabled, ""}[r.IntN(3)]
	}
	in := Input{Name: "main", Resolved: map[string]Resolved{}, Verified: map[string]Verification{}, ServiceProvider: &v1alpha1.ServiceProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sso", Name: "main"}, Spec: v1alpha1.ServiceProviderSpec{URL: "https://sso.example.com"}}}
	kinds := []v1alpha1.IdentityProviderType{v1alpha1.TypeOkta, v1alpha1.TypeEntraID, v1alpha1.TypeGeneric}
	for i := range 6 {
		idp := v1alpha1.IdentityProvider{ObjectMeta: meta("idp", i)}
		idp.Spec.ServiceProviderRef.Name = []v1alpha1.ObjectName{"main", "main", "main", "other"}[r.IntN(4)]
		idp.Spec.Type, idp.Spec.State, idp.Spec.CatchAll = kinds[r.IntN(3)], state(), state()
		in.IdentityProviders = append(in.IdentityProviders, idp)
		in.Resolved[idp.Name] = resolved(idp.Name, []string{"", "", "none", "fetching", "invalid"}[r.IntN(5)])
	}
	for i := range 12 {
		b := v1alpha1.DomainBinding{ObjectMeta: meta("binding", i)}
		b.Spec.Domain = []string{"a.example", "b.example", "c.example", "sub.a.example", "com", "B.example"}[r.IntN(6)]
		b.Spec.IdentityProviderRef = reference()
		if r.IntN(4) == 0 {
			b.Spec.Verification.Method = v1alpha1.VerificationDNS
			in.Verified[b.Name] = Verification{Verified: r.IntN(2) == 0, Message: "Looked up."}
		}
		in.DomainBindings = append(in.DomainBindings, b)
	}
	for i := range 6 {
		m := v1alpha1.AttributeMapping{ObjectMeta: meta("mapping", i)}
		m.Spec.IdentityProviderRef = reference()
		m.Spec.Email = &v1alpha1.AttributeSources{From: []v1alpha1.AttributeSource{{Name: v1alpha1.AttributeName(fmt.Sprintf("mail-%d", i))}}}
		in.AttributeMappings = append(in.AttributeMappings, m)
	}
	return in
}

func shuffled(r *rand.Rand, in Input) Input {
	out := in
	out.IdentityProviders = append([]v1alpha1.IdentityProvider{}, in.IdentityProviders...)
	out.DomainBindings = append([]v1alpha1.DomainBinding{}, in.DomainBindings...)
	out.AttributeMappings = append([]v1alpha1.AttributeMapping{}, in.AttributeMappings...)
	r.Shuffle(len(out.IdentityProviders), func(i, j int) {
		out.IdentityProviders[i], out.IdentityProviders[j] = out.IdentityProviders[j], out.IdentityProviders[i]
	})
	r.Shuffle(len(out.DomainBindings), func(i, j int) {
		out.DomainBindings[i], out.DomainBindings[j] = out.DomainBindings[j], out.DomainBindings[i]
	})
	r.Shuffle(len(out.AttributeMappings), func(i, j int) {
		out.AttributeMappings[i], out.AttributeMappings[j] = out.AttributeMappings[j], out.AttributeMappings[i]
	})
	return out
}

func TestTheOrderOfObjectsDoesNotMatter(t *testing.T) {
	for seed := range uint64(300) {
		in := random(seed)
		want := string(marshal(t, Compile(in)))
		r := rand.New(rand.NewPCG(seed, 11))
		for range 3 {
			if got := string(marshal(t, Compile(shuffled(r, in)))); got != want {
				t.Fatalf("seed %d: another order gives another output\n%s", seed, cmp.Diff(want, got))
			}
		}
	}
}

func TestCompilingChangesNothingItWasGiven(t *testing.T) {
	for seed := range uint64(50) {
		in := random(seed)
		in.Previous = Compile(in).Snapshot
		before := random(seed)
		before.Previous = Compile(before).Snapshot
		Compile(in)
		if diff := cmp.Diff(before, in); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

// TestOneBadObjectChangesNothingElse adds one object that is younger than all others and wrong in some way.
func TestOneBadObjectChangesNothingElse(t *testing.T) {
	young := metav1.ObjectMeta{Namespace: "sso", Name: "zz-bad", UID: "bad", CreationTimestamp: metav1.NewTime(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))}
	deleted := young
	deleted.DeletionTimestamp = &metav1.Time{Time: time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC)}
	okta := v1alpha1.IdentityProviderReference{Name: "idp-0"}
	bad := map[string]func(*Input){
		"a domain that is taken": func(in *Input) {
			taken := Compile(*in).Snapshot.Domains[0].Domain
			in.DomainBindings = append(in.DomainBindings, v1alpha1.DomainBinding{ObjectMeta: young, Spec: v1alpha1.DomainBindingSpec{Domain: taken, IdentityProviderRef: okta}})
		},
		"a public suffix": func(in *Input) {
			in.DomainBindings = append(in.DomainBindings, v1alpha1.DomainBinding{ObjectMeta: young, Spec: v1alpha1.DomainBindingSpec{Domain: "co.uk", IdentityProviderRef: okta}})
		},
		"a binding that goes": func(in *Input) {
			in.DomainBindings = append(in.DomainBindings, v1alpha1.DomainBinding{ObjectMeta: deleted, Spec: v1alpha1.DomainBindingSpec{Domain: "new.example", IdentityProviderRef: v1alpha1.IdentityProviderReference{Name: "nobody"}}})
		},
		"a second mapping": func(in *Input) {
			first := in.AttributeMappings[0].Spec
			in.AttributeMappings = append(in.AttributeMappings, v1alpha1.AttributeMapping{ObjectMeta: young, Spec: v1alpha1.AttributeMappingSpec{IdentityProviderRef: first.IdentityProviderRef}})
		},
		"a mapping of nobody": func(in *Input) {
			in.AttributeMappings = append(in.AttributeMappings, v1alpha1.AttributeMapping{ObjectMeta: young, Spec: v1alpha1.AttributeMappingSpec{IdentityProviderRef: v1alpha1.IdentityProviderReference{Name: "nobody"}}})
		},
		"an IdP of another service provider": func(in *Input) {
			in.IdentityProviders = append(in.IdentityProviders, v1alpha1.IdentityProvider{ObjectMeta: young, Spec: v1alpha1.IdentityProviderSpec{ServiceProviderRef: v1alpha1.ServiceProviderReference{Name: "other"}}})
		},
		"an IdP that goes": func(in *Input) {
			in.IdentityProviders = append(in.IdentityProviders, v1alpha1.IdentityProvider{ObjectMeta: deleted, Spec: v1alpha1.IdentityProviderSpec{ServiceProviderRef: v1alpha1.ServiceProviderReference{Name: "main"}}})
		},
	}
	for name, add := range bad {
		for seed := range uint64(40) {
			in := random(seed)
			want := Compile(in)
			add(&in)
			got := Compile(in)
			if diff := cmp.Diff(want.Snapshot, got.Snapshot); diff != "" {
				t.Fatalf("%s, seed %d: the snapshot changed\n%s", name, seed, diff)
			}
			for _, f := range want.Findings() {
				other := *got.Finding(f.Kind, f.Name)
				// That a binding refers to an IdP is a fact about the IdP, whatever the binding is worth.
				other.Bindings = f.Bindings
				if diff := cmp.Diff(*f, other); diff != "" {
					t.Fatalf("%s, seed %d: %s %s changed\n%s", name, seed, f.Kind, f.Name, diff)
				}
			}
			if finding := got.Finding(kindOf(in), "zz-bad"); finding != nil && finding.Accepted() {
				t.Fatalf("%s, seed %d: accepted", name, seed)
			}
		}
	}
}

func kindOf(in Input) string {
	if in.IdentityProviders[len(in.IdentityProviders)-1].Name == "zz-bad" {
		return v1alpha1.KindIdentityProvider
	}
	if in.DomainBindings[len(in.DomainBindings)-1].Name == "zz-bad" {
		return v1alpha1.KindDomainBinding
	}
	return v1alpha1.KindAttributeMapping
}

// TestEveryBoundDomainIsSafe: whatever the set, a domain that somebody rightly claimed is never left to the catch-all, is in the snapshot
// once, and names an existing connection or none.
func TestEveryBoundDomainIsSafe(t *testing.T) {
	for seed := range uint64(300) {
		in := random(seed)
		out := Compile(in)
		connections, domains := map[string]bool{"": true}, map[string]bool{}
		for _, c := range out.Snapshot.Connections {
			connections[c.Name] = true
		}
		for _, d := range out.Snapshot.Domains {
			if domains[d.Domain] {
				t.Errorf("seed %d: %s is bound twice", seed, d.Domain)
			}
			domains[d.Domain] = true
			if !connections[d.Connection] {
				t.Errorf("seed %d: %s is bound to %q, which is not there", seed, d.Domain, d.Connection)
			}
		}
		for _, b := range in.DomainBindings {
			f := out.Finding(v1alpha1.KindDomainBinding, b.Name)
			_, problem := domainProblem(b.Spec.Domain)
			if f != nil && problem == "" && !domains[b.Spec.Domain] {
				t.Errorf("seed %d: %s is left to the catch-all", seed, b.Spec.Domain)
			}
			if f != nil && f.Serving == ServingCurrent && !f.Accepted() {
				t.Errorf("seed %d: %s is served and not accepted", seed, b.Name)
			}
		}
	}
}

// TestTheLoserTakesOverWhenTheWinnerGoes removes each winner of testdata/conflicts.in.yaml in turn.
func TestTheLoserTakesOverWhenTheWinnerGoes(t *testing.T) {
	in := load(t, "testdata/conflicts.in.yaml")
	before := Compile(in)
	for _, loser := range before.Findings() {
		if loser.Winner == "" {
			continue
		}
		without := in
		without.IdentityProviders, without.DomainBindings, without.AttributeMappings = nil, nil, nil
		for _, idp := range in.IdentityProviders {
			if loser.Kind == v1alpha1.KindIdentityProvider && idp.Name == loser.Winner {
				idp.Spec.CatchAll = v1alpha1.StateDisabled
			}
			without.IdentityProviders = append(without.IdentityProviders, idp)
		}
		for _, b := range in.DomainBindings {
			if b.Name != loser.Winner {
				without.DomainBindings = append(without.DomainBindings, b)
			}
		}
		for _, m := range in.AttributeMappings {
			if m.Name != loser.Winner {
				without.AttributeMappings = append(without.AttributeMappings, m)
			}
		}
		if f := Compile(without).Finding(loser.Kind, loser.Name); !f.Accepted() || f.Serving != ServingCurrent || f.Winner != "" {
			t.Errorf("%s %s did not take over: %+v", loser.Kind, loser.Name, f)
		}
	}
}
