package compile

import (
	"fmt"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/snapshot"
)

// attributeMappings gives every connection its mapping: the oldest AttributeMapping of its IdentityProvider, or the preset of its type.
func (p *pass) attributeMappings(sp *snapshot.ServiceProvider) {
	for _, c := range p.connections {
		c.Mapping = preset(c.Type)
	}
	var mappings []*v1alpha1.AttributeMapping
	for i := range p.in.AttributeMappings {
		if !p.others[string(p.in.AttributeMappings[i].Spec.IdentityProviderRef.Name)] {
			mappings = append(mappings, &p.in.AttributeMappings[i])
		}
	}
	winners := map[string]string{}
	for _, m := range byAge(mappings) {
		f := p.finding(v1alpha1.KindAttributeMapping, m)
		f.set(v1alpha1.ConditionExamplesPassed, metav1.ConditionUnknown, v1alpha1.ReasonDependent, "The examples are run once the mapping is accepted.")
		idp := string(m.Spec.IdentityProviderRef.Name)
		switch {
		case terminating(m):
			f.refuse(v1alpha1.ReasonTerminating, "The object is being deleted.")
		case winners[idp] != "":
			f.refuse(v1alpha1.ReasonConflicted, "spec.identityProviderRef: IdentityProvider %s has AttributeMapping %s, which is older: delete one of the two. This one takes over when the other goes.", idp, winners[idp])
			f.Winner = winners[idp]
		case p.own[idp] == nil:
			f.refuse(v1alpha1.ReasonIdentityProviderNotFound, "spec.identityProviderRef: there is no IdentityProvider %q in this namespace: create it, or name another.", idp)
		case p.connections[idp] == nil:
			f.waitForIdentityProvider(idp)
			winners[idp] = m.Name
		default:
			winners[idp] = m.Name
			p.attributeMapping(f, m, p.connections[idp], sp)
		}
	}
}

// presets are made once: every connection of a type shares its lists, and nobody changes those.
var presets = sync.OnceValue(func() map[string]snapshot.Mapping {
	all := map[string]snapshot.Mapping{}
	for _, t := range []v1alpha1.IdentityProviderType{v1alpha1.TypeOkta, v1alpha1.TypeEntraID, v1alpha1.TypeGoogleWorkspace, v1alpha1.TypeADFS, v1alpha1.TypeKeycloak, v1alpha1.TypeGeneric} {
		all[string(t)] = identity.Preset(string(t))
	}
	return all
})

func preset(idpType string) snapshot.Mapping {
	if known, ok := presets()[idpType]; ok {
		return known
	}
	return identity.Preset(idpType)
}

// attributeMapping puts the mapping into its connection when it is good. Otherwise the last good form of the same mapping
// stays in service; where there is none, the preset does.
func (p *pass) attributeMapping(f *Finding, m *v1alpha1.AttributeMapping, c *snapshot.Connection, sp *snapshot.ServiceProvider) {
	mapping := mappingOf(m, c.Mapping)
	if p.checkMapping(f, m, mapping, sp) {
		f.Serving = ServingCurrent
		c.Mapping = mapping
		return
	}
	f.Serving = ServingNothing
	if last := p.previous[c.Name]; last != nil && last.UID == c.UID && last.Mapping.Name == m.Name && last.Mapping.UID == uid(m.UID) {
		f.Serving = ServingLastGood
		c.Mapping = last.Mapping
	}
}

func (p *pass) checkMapping(f *Finding, m *v1alpha1.AttributeMapping, mapping snapshot.Mapping, sp *snapshot.ServiceProvider) bool {
	if unknown := unknownProfileAttributes(mapping, sp); len(unknown) > 0 {
		f.refuse(v1alpha1.ReasonUnknownProfileAttribute, "spec.profile: %s: neither a standard attribute nor one that ServiceProvider %s names in spec.profileAttributes: add it there, or correct the name.", few(unknown, ", "), p.in.Name)
		return false
	}
	c := p.check(mapping, m.Spec.Examples)
	if c.invalid != nil {
		f.refuse(v1alpha1.ReasonInvalidRule, "spec.%v", c.invalid)
		return false
	}
	f.accept()
	f.Examples = c.failures
	switch {
	case len(m.Spec.Examples) == 0:
		f.set(v1alpha1.ConditionExamplesPassed, metav1.ConditionTrue, v1alpha1.ReasonNoExamples, "There are no examples.")
	case len(f.Examples) == 0:
		f.set(v1alpha1.ConditionExamplesPassed, metav1.ConditionTrue, v1alpha1.ReasonPassed, "Every example came out as expected.")
	default:
		f.set(v1alpha1.ConditionExamplesPassed, metav1.ConditionFalse, v1alpha1.ReasonExampleFailed, "%s", summary(f.Examples))
	}
	return len(f.Examples) == 0
}

func summary(failures []ExampleFailure) string {
	var lines []string
	for _, failure := range failures {
		lines = append(lines, fmt.Sprintf("examples[%d]: %s", failure.Index, failure.Message))
	}
	return few(lines, "; ")
}

func unknownProfileAttributes(mapping snapshot.Mapping, sp *snapshot.ServiceProvider) []string {
	var unknown []string
	for _, profile := range mapping.Profile {
		named := slices.ContainsFunc(sp.ProfileAttributes, func(a snapshot.ProfileAttribute) bool { return a.Name == profile.Attribute })
		if !named && !identity.IsStandardAttribute(profile.Attribute) {
			unknown = append(unknown, profile.Attribute)
		}
	}
	return unknown
}

// mappingOf lays the parts that the AttributeMapping has over the preset.
func mappingOf(m *v1alpha1.AttributeMapping, preset snapshot.Mapping) snapshot.Mapping {
	mapping := preset
	mapping.Name, mapping.UID, mapping.Generation = m.Name, uid(m.UID), m.Generation
	if m.Spec.Email != nil {
		mapping.Email = sources(m.Spec.Email.From)
	}
	if m.Spec.FirstName != nil {
		mapping.FirstName = sources(m.Spec.FirstName.From)
	}
	if m.Spec.LastName != nil {
		mapping.LastName = sources(m.Spec.LastName.From)
	}
	if m.Spec.Groups != nil {
		mapping.Groups = snapshot.GroupsMapping{
			From:           sources(m.Spec.Groups.From),
			KeepWhenAbsent: m.Spec.Groups.WhenAbsent == v1alpha1.WhenAbsentKeep,
			Separator:      m.Spec.Groups.Separator,
		}
	}
	if len(m.Spec.Profile) > 0 {
		mapping.Profile = nil
		for _, profile := range m.Spec.Profile {
			mapping.Profile = append(mapping.Profile, snapshot.ProfileMapping{Attribute: string(profile.Attribute), From: sources(profile.From)})
		}
	}
	mapping.Rules = nil
	for _, rule := range m.Spec.Rules {
		mapping.Rules = append(mapping.Rules, snapshot.Rule{When: rule.When, AddGroups: plain(rule.AddGroups)})
	}
	return mapping
}

func sources(from []v1alpha1.AttributeSource) []snapshot.AttributeSource {
	var out []snapshot.AttributeSource
	for _, source := range from {
		out = append(out, snapshot.AttributeSource{Name: string(source.Name), NameID: string(source.NameID)})
	}
	return out
}
