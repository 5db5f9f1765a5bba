package compile

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// mapped is a ServiceProvider with as many IdPs, each with a mapping with rules and an example.
func mapped(idps int) Input {
	in := large()
	in.IdentityProviders, in.AttributeMappings, in.DomainBindings = in.IdentityProviders[:idps], in.AttributeMappings[:idps], nil
	in.ServiceProvider.Spec.ProfileAttributes = nil
	return in
}

// slow makes the rules and examples of a mapping cost as much as they may.
func slow(m *v1alpha1.AttributeMapping) {
	m.Spec.Rules = slices.Repeat([]v1alpha1.GroupRule{{When: `attributes.a.exists(v, v.matches('(a?){60}b'))`, AddGroups: []v1alpha1.Group{"g"}}}, 20)
	values := v1alpha1.AttributeValues(slices.Repeat([]string{strings.Repeat("a", 1000)}, 64))
	m.Spec.Examples = slices.Repeat([]v1alpha1.MappingExample{{Attributes: map[string]v1alpha1.AttributeValues{"email": {"alice@acme.example"}, "a": values},
		Expect: v1alpha1.MappingExpectation{Email: "alice@acme.example"}}}, 20)
}

// TestAnUnchangedMappingIsCheckedOnce: the next pass does not compile its rules and run its examples again, that after a change does, and nothing is remembered of a mapping
// that is gone. What is allocated shows what is done.
func TestAnUnchangedMappingIsCheckedOnce(t *testing.T) {
	in := mapped(2)
	in.Checks = &Checks{}
	for i := range in.AttributeMappings {
		in.AttributeMappings[i].Spec.Rules = slices.Repeat(in.AttributeMappings[i].Spec.Rules, 20)
	}
	passes := 0
	work := func(prepare func()) float64 {
		return testing.AllocsPerRun(2, func() {
			passes++
			prepare()
			Compile(in)
		})
	}
	change := func(i int) {
		in.AttributeMappings[i].Spec.Rules[7].AddGroups = []v1alpha1.Group{v1alpha1.Group(fmt.Sprintf("g%d", passes))}
	}
	both := work(func() { change(0); change(1) })
	one := work(func() { change(1) })
	none := work(func() {})
	t.Logf("allocations: %.0f with two mappings that have changed, %.0f with one, %.0f with none", both, one, none)
	if none > both/10 || one < both/3 || one > both*2/3 {
		t.Errorf("allocations: %.0f with two mappings that have changed, %.0f with one, %.0f with none", both, one, none)
	}
	in.AttributeMappings = in.AttributeMappings[:1]
	Compile(in)
	if n := len(in.Checks.known); n != 1 {
		t.Errorf("what %d mappings came to is remembered, there is one", n)
	}
}

// TestWhatIsRememberedChangesNothing: whatever decides what a mapping comes to is changed, one after the other, and there and back.
func TestWhatIsRememberedChangesNothing(t *testing.T) {
	in := mapped(3)
	in.Checks = &Checks{}
	m, example := &in.AttributeMappings[1].Spec, &in.AttributeMappings[1].Spec.Examples[0]
	sp, idp := &in.ServiceProvider.Spec, &in.IdentityProviders[1].Spec
	results := map[string]bool{}
	for i, change := range []func(){
		func() {},
		func() { example.Expect.Groups = []v1alpha1.Group{} },
		func() { example.Attributes["department"] = v1alpha1.AttributeValues{"ML"} },
		func() { example.Expect.Groups = nil },
		func() { example.Expect.Groups = []v1alpha1.Group{"ml-team"} },
		func() { m.Rules[0].AddGroups = []v1alpha1.Group{"others"} },
		func() { example.Expect.Groups = []v1alpha1.Group{"others"} },
		func() { m.Rules[0].When = "'ML' in attributes.division" },
		func() { m.Rules[0].When = "'ML' in attribute" },
		func() { m.Rules[0].When = "'ML' in attributes.department" },
		func() {
			m.Profile = []v1alpha1.ProfileSource{{Attribute: "shoeSize", From: []v1alpha1.AttributeSource{{Name: "size"}}}}
		},
		func() { sp.ProfileAttributes = []v1alpha1.ProfileAttribute{{Name: "shoeSize"}} },
		func() { sp.ProfileAttributes = nil },
		func() { m.Profile = nil },
		// The example's address is under the name of the presets of some types alone.
		func() { idp.Type = v1alpha1.TypeEntraID },
		func() { idp.Type = v1alpha1.TypeOkta },
		func() { m.Email = &v1alpha1.AttributeSources{From: []v1alpha1.AttributeSource{{Name: "mail"}}} },
		func() { example.NameID = &v1alpha1.ExampleNameID{Value: "alice@acme.example"} },
		func() { example.NameID.Format = v1alpha1.NameIDPersistent },
		func() { m.Email = nil },
	} {
		change()
		fresh := in
		fresh.Checks = nil
		want, got := string(marshal(t, Compile(fresh))), string(marshal(t, Compile(in)))
		if want != got {
			t.Errorf("change %d: what was remembered gives something else\n%s", i, cmp.Diff(want, got))
		}
		results[fmt.Sprint(Compile(fresh).Finding(v1alpha1.KindAttributeMapping, in.AttributeMappings[1].Name))] = true
	}
	if len(results) < 6 {
		t.Errorf("the changes come to %d results: %v", len(results), results)
	}
}

// BenchmarkCompileAgain is what a pass costs in which no mapping has changed.
func BenchmarkCompileAgain(b *testing.B) {
	in := large()
	in.Checks = &Checks{}
	Compile(in)
	for b.Loop() {
		Compile(in)
	}
}

func BenchmarkSlowMapping(b *testing.B) {
	in := mapped(1)
	slow(&in.AttributeMappings[0])
	for b.Loop() {
		Compile(in)
	}
}

func BenchmarkSlowMappingAgain(b *testing.B) {
	in := mapped(1)
	slow(&in.AttributeMappings[0])
	in.Checks = &Checks{}
	Compile(in)
	for b.Loop() {
		Compile(in)
	}
}
