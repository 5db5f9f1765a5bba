package compile

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/identity"
)

// FuzzAttributeMapping compiles a mapping and maps an assertion with it. Neither panics; what comes out are a normalised address,
// bounded clean groups and names, the same each time; an error names its field.
func FuzzAttributeMapping(f *testing.F) {
	for _, seed := range []string{
		"{}", "email: {from: [{name: mail}, {nameID: EmailAddress}]}", "email: {from: [{name: mail, nameID: Any}]}", "email: {from: [{nameID: Persistant}]}",
		"groups: {from: [{name: groups}], separator: \";\", whenAbsent: Keep}", "firstName: {from: [{name: email}]}\nlastName: {from: []}",
		"profile: [{attribute: department, from: [{name: groups}]}, {attribute: \"\", from: []}]",
		"profile: [{attribute: locale, from: [{name: email}]}]",
		"rules: [{when: \"'ML' in attributes.department\", addGroups: [ml]}]", "rules: [{when: \"groups.exists(g, g.matches('a*b*'))\", addGroups: [g, 'a,b']}]",
		"rules: [{when: 'true', addGroups: [everyone]}, {when: 'attributes.size() > 0', addGroups: []}]", "rules: [{when: \"nameID.endsWith('x') || email == ''\", addGroups: [x]}]",
		"examples: [{attributes: {email: [a@example.com]}, expect: {email: a@example.com, groups: []}}]",
		"examples: [{nameID: {value: a@example.com, format: EmailAddress}, expect: {email: b@example.com, profile: {department: ML}}}]",
	} {
		f.Add(seed, "alice@example.com", "dev;ml-team")
	}
	f.Add("groups: {from: [{name: groups}]}", "a@example.com, b@victim.example", "a\nb\x00")
	f.Add("email: {from: [{name: email}]}", "\"alice\"@example.com", "")
	f.Fuzz(func(t *testing.T, spec, email, group string) {
		m := &v1alpha1.AttributeMapping{}
		if yaml.Unmarshal([]byte(spec), &m.Spec) != nil {
			return
		}
		compiled, err := identity.CompileMapping(mappingOf(m, identity.Preset("Generic")))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "rules") && !strings.Contains(err.Error(), "[") {
				t.Fatalf("%q: the error names no field: %v", spec, err)
			}
			return
		}
		runExamples(compiled, m.Spec.Examples)
		in := identity.Input{NameID: identity.NameID{Value: email}, Attributes: map[string][]string{"email": {email}, "mail": {email}, "groups": {group, group}, "department": {group}}}
		person, rejection := compiled.Map(in)
		if rejection != nil {
			if rejection.Reason != identity.ReasonMissingEmail || rejection.Sentence == "" {
				t.Fatalf("%q refused with %+v", spec, rejection)
			}
			return
		}
		if again, err := identity.NormaliseAddress(person.Email.String()); err != nil || again != person.Email {
			t.Fatalf("%q makes the address %q", email, person.Email)
		}
		all := person.AllGroups()
		for _, g := range append(all, person.FirstName, person.LastName) {
			if utf8.RuneCountInString(g) > 256 || strings.ContainsFunc(g, unicode.IsControl) || !utf8.ValidString(g) {
				t.Fatalf("%q comes through", g)
			}
		}
		if second, rejection := compiled.Map(in); rejection != nil || !slices.Equal(second.AllGroups(), all) || second.Email != person.Email {
			t.Fatalf("%q: another result the second time", spec)
		}
	})
}
