package identity

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"sallyport.dev/sallyport/internal/snapshot"
)

// Limits on what a mapping takes from one assertion; what is beyond is left out and named in Person.Dropped.
const (
	maxGroups    = 5000
	maxGroupName = 256
	maxName      = 255
	maxSubject   = 1024
	maxAddresses = 16
	// maxMapping bounds the texts of a mapping: it is in a Secret together with those of others, which must not be kept out by the size of one.
	maxMapping = 128 << 10
)

// CompiledMapping is a Mapping with its rules compiled. It is immutable and safe for concurrent use.
type CompiledMapping struct {
	m     snapshot.Mapping
	rules []compiledRule
	used  map[string]bool
}

// CompileMapping checks a mapping and compiles its rules. The error names the field, such as rules[2].when.
func CompileMapping(m snapshot.Mapping) (*CompiledMapping, error) {
	c := &CompiledMapping{m: m, used: map[string]bool{}}
	fields := []struct {
		path string
		from []snapshot.AttributeSource
	}{{"email", m.Email}, {"firstName", m.FirstName}, {"lastName", m.LastName}, {"groups", m.Groups.From}}
	for i, p := range m.Profile {
		if p.Attribute == "" {
			return nil, fmt.Errorf("profile[%d].attribute: a name is required", i)
		}
		fields = append(fields, struct {
			path string
			from []snapshot.AttributeSource
		}{fmt.Sprintf("profile[%d]", i), p.From})
	}
	for _, f := range fields {
		for i, s := range f.from {
			if err := checkSource(s); err != nil {
				return nil, fmt.Errorf("%s.from[%d]: %w", f.path, i, err)
			}
			if s.Name != "" {
				c.used[s.Name] = true
			}
		}
	}
	if n := textsOf(m, c.used); n > maxMapping {
		return nil, fmt.Errorf("rules: together with the names of attributes they have %d bytes, at most %d", n, maxMapping)
	}
	var err error
	c.rules, err = compileRules(m.Rules)
	return c, err
}

// textsOf is how long the texts of a mapping are, in bytes; an attribute that is named twice counts once.
func textsOf(m snapshot.Mapping, used map[string]bool) (all int) {
	for name := range used {
		all += len(name)
	}
	for _, rule := range m.Rules {
		all += len(rule.When)
		for _, group := range rule.AddGroups {
			all += len(group)
		}
	}
	return all
}

var nameIDFormats = map[string]string{
	"EmailAddress": FormatEmailAddress, "Persistent": FormatPersistent, "Transient": FormatTransient, "Unspecified": FormatUnspecified, "Any": "",
}

func checkSource(s snapshot.AttributeSource) error {
	if (s.Name != "") == (s.NameID != "") {
		return fmt.Errorf("exactly one of name, nameID")
	}
	if _, ok := nameIDFormats[s.NameID]; s.NameID != "" && !ok {
		return fmt.Errorf("nameID: %q is none of EmailAddress, Persistent, Transient, Unspecified, Any", s.NameID)
	}
	return nil
}

// Name is the AttributeMapping's, empty for a preset.
func (c *CompiledMapping) Name() string { return c.m.Name }

// Email is the address that Map would give, without the rules: what a refused response claims is not worth their cost.
func (c *CompiledMapping) Email(in Input) (Address, bool) {
	var p Person
	rejection := c.mapEmail(in, &p)
	return p.Email, rejection == nil
}

// Map makes a Person of what an assertion says. The only Rejection is a missing e-mail address: everything else is optional and never fails a sign-in.
func (c *CompiledMapping) Map(in Input) (Person, *Rejection) {
	left := uint64(rulesCost)
	return c.mapWithin(in, &left)
}

// mapWithin is Map with what the rules may cost.
func (c *CompiledMapping) mapWithin(in Input, left *uint64) (Person, *Rejection) {
	var p Person
	if rejection := c.mapEmail(in, &p); rejection != nil {
		return Person{}, rejection
	}
	if in.NameID.Format == FormatPersistent && in.NameID.Value != "" && len(in.NameID.Value) <= maxSubject {
		p.Subject = in.NameID.Value
	}
	p.FirstName = c.mapName(in, "firstName", c.m.FirstName, &p)
	p.LastName = c.mapName(in, "lastName", c.m.LastName, &p)
	c.mapGroups(in, &p)
	c.mapProfile(in, &p)
	c.applyRules(in, &p, left)
	for name := range in.Attributes {
		if !c.used[name] {
			p.Unmapped = append(p.Unmapped, name)
		}
	}
	slices.Sort(p.Unmapped)
	slices.Sort(p.Missing)
	slices.Sort(p.Dropped)
	p.Dropped = slices.Compact(p.Dropped)
	return p, nil
}

// values finds the first source that has any non-blank value. Blank values are left out.
func values(in Input, from []snapshot.AttributeSource) ([]string, bool) {
	for _, s := range from {
		var raw []string
		if s.Name != "" {
			raw = in.Attributes[s.Name]
		} else if matchesFormat(in.NameID.Format, s.NameID) {
			raw = []string{in.NameID.Value}
		}
		var found []string
		for _, v := range raw {
			if v = strings.TrimSpace(v); v != "" {
				found = append(found, v)
			}
		}
		if len(found) > 0 {
			return found, s.NameID != ""
		}
	}
	return nil, false
}

// matchesFormat says whether a NameID's format is the one that a source asks for. No format at all means unspecified (saml-core 2.2.2).
func matchesFormat(format, want string) bool {
	if format == "" {
		format = FormatUnspecified
	}
	return want == "Any" || format == nameIDFormats[want]
}

// mapEmail takes the mapped address, else the NameID when its format is emailAddress, or when it is unspecified and reads as an address.
// The first of several counts, and the others are kept so that the IdP cannot slip in an address that it may not assert.
func (c *CompiledMapping) mapEmail(in Input, p *Person) *Rejection {
	found, fromNameID := values(in, c.m.Email)
	if len(found) == 0 && in.NameID.Value != "" && (matchesFormat(in.NameID.Format, "EmailAddress") || matchesFormat(in.NameID.Format, "Unspecified")) {
		if _, err := NormaliseAddress(in.NameID.Value); err == nil || matchesFormat(in.NameID.Format, "EmailAddress") {
			found, fromNameID = []string{in.NameID.Value}, true
		}
	}
	if len(found) == 0 {
		return &Rejection{
			Reason: ReasonMissingEmail, Sentence: "The assertion carries no e-mail address: none of the mapped attributes is there, and the NameID is not an address.",
			Expected: describeSources(c.m.Email), Actual: "attributes: " + strings.Join(sortedKeys(in.Attributes), ", "),
		}
	}
	addresses := make([]Address, 0, 1)
	for _, value := range found {
		a, err := NormaliseAddress(value)
		if err != nil {
			return &Rejection{
				Reason: ReasonMissingEmail, Sentence: "The e-mail address in the assertion is not accepted: " + err.Error() + ".",
				Expected: "an address such as alice@example.com", Actual: value,
			}
		}
		if !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	if len(addresses) > maxAddresses {
		return &Rejection{
			Reason: ReasonMissingEmail, Sentence: "The assertion carries too many e-mail addresses: map an attribute that has one.",
			Expected: fmt.Sprintf("at most %d", maxAddresses), Actual: fmt.Sprintf("%d", len(addresses)),
		}
	}
	p.Email, p.OtherEmails, p.EmailFromNameID = addresses[0], addresses[1:], fromNameID
	return nil
}

func (c *CompiledMapping) mapName(in Input, field string, from []snapshot.AttributeSource, p *Person) string {
	found, _ := values(in, from)
	if len(found) == 0 {
		if len(from) > 0 {
			p.Missing = append(p.Missing, field)
		}
		return ""
	}
	name := strings.Join(strings.Fields(found[0]), " ")
	if !cleanText(name) || utf8.RuneCountInString(name) > maxName {
		p.Dropped = append(p.Dropped, field)
		return ""
	}
	return name
}

func (c *CompiledMapping) mapGroups(in Input, p *Person) {
	if len(c.m.Groups.From) == 0 {
		return
	}
	found, _ := values(in, c.m.Groups.From)
	if len(found) == 0 {
		p.Missing = append(p.Missing, "groups")
		p.GroupOverage = overage(in)
		p.KeepGroups = p.GroupOverage || c.m.Groups.KeepWhenAbsent
		return
	}
	for _, v := range found {
		parts := []string{v}
		if c.m.Groups.Separator != "" {
			parts = strings.Split(v, c.m.Groups.Separator)
		}
		for _, g := range parts {
			if g = strings.TrimSpace(g); g == "" {
				continue
			}
			if !cleanText(g) || strings.ContainsAny(g, "\r\n\t") || utf8.RuneCountInString(g) > maxGroupName || len(p.Groups) >= maxGroups {
				p.Dropped = append(p.Dropped, "groups")
				continue
			}
			p.Groups = append(p.Groups, g)
		}
	}
	slices.Sort(p.Groups)
	p.Groups = slices.Compact(p.Groups)
}

// overage says that Entra ID sent a link to its Graph API instead of the groups, because there are more than 150.
func overage(in Input) bool {
	for name := range in.Attributes {
		if name == groupsLink || strings.HasSuffix(name, "/"+linkSuffix) || name == linkSuffix {
			return true
		}
	}
	return false
}

func (c *CompiledMapping) mapProfile(in Input, p *Person) {
	p.Profile = map[string]string{}
	for _, pm := range c.m.Profile {
		found, _ := values(in, pm.From)
		if len(found) == 0 {
			continue
		}
		value, err := NormaliseProfileValue(pm.Attribute, found[0])
		if err != nil {
			p.Dropped = append(p.Dropped, pm.Attribute)
			continue
		}
		p.Profile[pm.Attribute] = value
	}
}

func describeSources(from []snapshot.AttributeSource) string {
	var parts []string
	for _, s := range from {
		if s.Name != "" {
			parts = append(parts, s.Name)
		} else {
			parts = append(parts, "NameID ("+s.NameID+")")
		}
	}
	return strings.Join(parts, ", ")
}

func sortedKeys(m map[string][]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
