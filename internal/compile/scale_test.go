package compile

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/snapshot"
)

// large is a ServiceProvider with 1,000 IdPs, a mapping with a rule and an example for each, and 5,000 domains.
func large() Input {
	in := Input{Name: "main", Resolved: map[string]Resolved{}, ServiceProvider: &v1alpha1.ServiceProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sso", Name: "main"}, Spec: v1alpha1.ServiceProviderSpec{URL: "https://sso.example.com"}}}
	meta := func(kind string, i int) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "sso", Name: fmt.Sprintf("%s-%d", kind, i), UID: types.UID(fmt.Sprintf("%s-uid-%d", kind, i))}
	}
	for i := range 1000 {
		idp := v1alpha1.IdentityProvider{ObjectMeta: meta("idp", i)}
		idp.Spec.ServiceProviderRef.Name = "main"
		in.IdentityProviders = append(in.IdentityProviders, idp)
		in.Resolved[idp.Name] = resolved(idp.Name, "")
		m := v1alpha1.AttributeMapping{ObjectMeta: meta("mapping", i)}
		m.Spec.IdentityProviderRef.Name = v1alpha1.ObjectName(idp.Name)
		m.Spec.Rules = []v1alpha1.GroupRule{{When: "'department' in attributes && 'ML' in attributes.department", AddGroups: []v1alpha1.Group{"ml-team"}}}
		m.Spec.Examples = []v1alpha1.MappingExample{{Attributes: map[string]v1alpha1.AttributeValues{"email": {"alice@acme.example"}}, Expect: v1alpha1.MappingExpectation{Email: "alice@acme.example"}}}
		in.AttributeMappings = append(in.AttributeMappings, m)
	}
	for i := range 5000 {
		b := v1alpha1.DomainBinding{ObjectMeta: meta("binding", i)}
		b.Spec.Domain = fmt.Sprintf("d%d.example", i)
		b.Spec.IdentityProviderRef.Name = v1alpha1.ObjectName(fmt.Sprintf("idp-%d", i%1000))
		in.DomainBindings = append(in.DomainBindings, b)
	}
	return in
}

// BenchmarkCompile and BenchmarkEncode are the two halves of what the operator does after each change.
func BenchmarkCompile(b *testing.B) {
	in := large()
	for b.Loop() {
		if out := Compile(in); len(out.Snapshot.Domains) != 5000 || len(out.Snapshot.Connections) != 1000 {
			b.Fatal("not everything is served")
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	s := Compile(large()).Snapshot
	before, err := snapshot.Encode(*s)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s.Connections[0].Generation++
		if _, err := snapshot.EncodeAfter(before, *s); err != nil {
			b.Fatal(err)
		}
	}
}
