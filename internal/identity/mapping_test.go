package identity_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/snapshot"
)

func compile(t testing.TB, m snapshot.Mapping) *identity.CompiledMapping {
	t.Helper()
	c, err := identity.CompileMapping(m)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPresetsUseTheNamesThatTheConsolesSend holds the exact names.
func TestPresetsUseTheNamesThatTheConsolesSend(t *testing.T) {
	const ws = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
	for idpType, names := range map[string][4]string{
		"Okta":            {"email", "firstName", "lastName", "groups"},
		"EntraID":         {ws + "emailaddress", ws + "givenname", ws + "surname", "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups"},
		"GoogleWorkspace": {"email", "first_name", "last_name", "groups"},
		"ADFS":            {ws + "emailaddress", ws + "givenname", ws + "surname", "http://schemas.xmlsoap.org/claims/Group"},
		"Keycloak":        {"urn:oid:0.9.2342.19200300.100.1.3", "urn:oid:2.5.4.42", "urn:oid:2.5.4.4", "Role"},
		"Generic":         {"email", "firstName", "lastName", "groups"},
		"Unheard-of":      {"email", "firstName", "lastName", "groups"},
	} {
		p, rejection := compile(t, identity.Preset(idpType)).Map(identity.Input{Attributes: map[string][]string{
			names[0]: {"alice@example.com"}, names[1]: {"Alice"}, names[2]: {"Liddell"}, names[3]: {"ml", "dev"}, "urn:oid:2.5.4.11": {"Research"}, "jobTitle": {"Engineer"},
		}})
		if rejection != nil {
			t.Errorf("%s: %v", idpType, rejection)
			continue
		}
		if p.Email.String() != "alice@example.com" || p.FirstName != "Alice" || p.LastName != "Liddell" || !slices.Equal(p.Groups, []string{"dev", "ml"}) ||
			p.Profile["department"] != "Research" || p.Profile["jobTitle"] != "Engineer" || len(p.Unmapped)+len(p.Missing)+len(p.Dropped) > 0 {
			t.Errorf("%s: %+v", idpType, p)
		}
	}
}

func TestEmailFromTheNameID(t *testing.T) {
	m := compile(t, identity.Preset("Generic"))
	for _, c := range []struct {
		format, value string
		attributes    map[string][]string
		want          string
	}{
		{identity.FormatEmailAddress, "alice@example.com", nil, "alice@example.com"},
		{identity.FormatUnspecified, "alice@example.com", nil, "alice@example.com"},
		{"", "alice@example.com", nil, "alice@example.com"},
		{identity.FormatUnspecified, "alice", nil, ""},
		{identity.FormatEmailAddress, "alice", nil, ""},
		{identity.FormatPersistent, "alice@example.com", nil, ""},
		{identity.FormatTransient, "alice@example.com", nil, ""},
		{"urn:oasis:names:tc:SAML:1.1:nameid-format:X509SubjectName", "alice@example.com", nil, ""},
		// The mapped attribute comes first; a blank one is none.
		{identity.FormatEmailAddress, "other@example.com", map[string][]string{"email": {"alice@example.com"}}, "alice@example.com"},
		{identity.FormatEmailAddress, "alice@example.com", map[string][]string{"email": {" ", ""}}, "alice@example.com"},
	} {
		p, rejection := m.Map(identity.Input{NameID: identity.NameID{Value: c.value, Format: c.format}, Attributes: c.attributes})
		got := p.Email.String()
		if rejection != nil {
			got = ""
			if rejection.Reason != identity.ReasonMissingEmail || rejection.Sentence == "" {
				t.Errorf("%+v: %+v", c, rejection)
			}
		}
		if got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
		if wantFrom := c.want != "" && (c.attributes == nil || c.attributes["email"][0] == " "); p.EmailFromNameID != wantFrom {
			t.Errorf("%+v: EmailFromNameID is %v", c, p.EmailFromNameID)
		}
	}
}

func TestSourcesInOrderAndByFormat(t *testing.T) {
	m := compile(t, snapshot.Mapping{
		Email:     []snapshot.AttributeSource{{Name: "mail"}, {NameID: "EmailAddress"}, {Name: "upn"}},
		FirstName: []snapshot.AttributeSource{{Name: "gn"}, {NameID: "Any"}},
	})
	p, _ := m.Map(identity.Input{NameID: identity.NameID{Value: "nid", Format: identity.FormatPersistent}, Attributes: map[string][]string{"upn": {"upn@example.com"}, "Mail": {"case@example.com"}}})
	if p.Email.String() != "upn@example.com" || p.FirstName != "nid" || p.Subject != "nid" {
		t.Errorf("%+v", p)
	}
	if !slices.Equal(p.Unmapped, []string{"Mail"}) {
		t.Errorf("unmapped %v: names match exactly", p.Unmapped)
	}
}

func TestGroups(t *testing.T) {
	for _, c := range []struct {
		name      string
		groups    snapshot.GroupsMapping
		attribute []string
		want      []string
		keep      bool
	}{
		{"commas are not split", snapshot.GroupsMapping{}, []string{"Sales, EMEA", "dev"}, []string{"Sales, EMEA", "dev"}, false},
		{"unless asked", snapshot.GroupsMapping{Separator: ","}, []string{"a, b,,a", "c"}, []string{"a", "b", "c"}, false},
		{"duplicates and blanks", snapshot.GroupsMapping{}, []string{"b", " b ", "", "a"}, []string{"a", "b"}, false},
		{"empty revokes", snapshot.GroupsMapping{}, []string{""}, nil, false},
		{"absent revokes", snapshot.GroupsMapping{}, nil, nil, false},
		{"absent keeps", snapshot.GroupsMapping{KeepWhenAbsent: true}, nil, nil, true},
		{"control characters and length", snapshot.GroupsMapping{}, []string{"a\nb", strings.Repeat("x", 257), "ok"}, []string{"ok"}, false},
	} {
		c.groups.From = []snapshot.AttributeSource{{Name: "g"}}
		m := compile(t, snapshot.Mapping{Email: []snapshot.AttributeSource{{Name: "email"}}, Groups: c.groups})
		p, rejection := m.Map(identity.Input{Attributes: map[string][]string{"email": {"a@example.com"}, "g": c.attribute}})
		if rejection != nil || !slices.Equal(p.Groups, c.want) || p.KeepGroups != c.keep {
			t.Errorf("%s: %q, keep %v, %v", c.name, p.Groups, p.KeepGroups, rejection)
		}
	}
	many := make([]string, 5100)
	for i := range many {
		many[i] = fmt.Sprintf("g%05d", i)
	}
	m := compile(t, snapshot.Mapping{Email: []snapshot.AttributeSource{{Name: "email"}}, Groups: snapshot.GroupsMapping{From: []snapshot.AttributeSource{{Name: "g"}}}})
	p, _ := m.Map(identity.Input{Attributes: map[string][]string{"email": {"a@example.com"}, "g": many}})
	if len(p.Groups) != 5000 || !slices.Equal(p.Dropped, []string{"groups"}) {
		t.Errorf("%d groups, dropped %v", len(p.Groups), p.Dropped)
	}
}

func TestProfileValues(t *testing.T) {
	for _, c := range []struct{ attribute, in, want string }{
		{"phoneWork", "+44 20 7946 0000", "+44 20 7946 0000"}, {"phoneWork", "(020) 7946", ""}, {"phoneWork", "020 7946 0000 x12", "020 7946 0000 x12"}, {"phoneWork", "call me", ""},
		{"country", "gb", "GB"}, {"country", "GBR", ""}, {"country", "XX", ""}, {"country", "EU", ""}, {"country", "United Kingdom", ""},
		{"preferredLanguage", "en-gb", "en-GB"}, {"preferredLanguage", "de", "de"}, {"preferredLanguage", "zh-hant-tw", "zh-Hant-TW"}, {"preferredLanguage", "klingonish-language", ""}, {"preferredLanguage", "en_GB@x", ""},
		{"postalCode", "OX1 2JD", "OX1 2JD"}, {"postalCode", "123456789012345678901", ""}, {"postalCode", "OX1;DROP", ""},
		{"department", "  Research \n", "Research"}, {"department", strings.Repeat("é", 255), strings.Repeat("é", 255)}, {"department", strings.Repeat("x", 256), ""}, {"department", "a\x00b", ""}, {"department", "a\xffb", ""},
		{"description", strings.Repeat("x", 2000), strings.Repeat("x", 2000)}, {"description", strings.Repeat("x", 2001), ""}, {"description", "two\nlines", "two\nlines"},
		{"costCenter", "4711", "4711"}, {"costCenter", strings.Repeat("x", 1025), ""},
	} {
		got, err := identity.NormaliseProfileValue(c.attribute, c.in)
		if (err != nil) != (c.want == "") || got != c.want {
			t.Errorf("%s %q: got %q, %v, want %q", c.attribute, c.in, got, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), c.in) || !strings.HasPrefix(err.Error(), c.attribute)) {
			t.Errorf("%s: the error %q must name the attribute and keep the value to itself", c.attribute, err)
		}
	}
}

// TestEachStandardAttribute: the 14, each read under its API name and its OID by every preset, kept up to its longest value and dropped, with its name noted,
// beyond, and when it is not what it should be. A sign-in never fails for it.
func TestEachStandardAttribute(t *testing.T) {
	if len(identity.StandardAttributes) != 14 {
		t.Errorf("%d standard attributes", len(identity.StandardAttributes))
	}
	phone, text := "+"+strings.Repeat("1", 49), strings.Repeat("x", 255)
	for _, a := range []struct{ name, oid, longest, bad string }{
		{"phoneWork", "2.5.4.20", phone, "none"}, {"phoneMobile", "0.9.2342.19200300.100.1.41", phone, "none"},
		{"displayName", "2.16.840.1.113730.3.1.241", text, "a\x00b"}, {"jobTitle", "2.5.4.12", text, "a\x00b"}, {"department", "2.5.4.11", text, "a\x00b"},
		{"organization", "2.5.4.10", text, "a\x00b"}, {"employeeId", "2.16.840.1.113730.3.1.3", text, "a\x00b"}, {"streetAddress", "2.5.4.9", text, "a\x00b"},
		{"city", "2.5.4.7", text, "a\x00b"}, {"state", "2.5.4.8", text, "a\x00b"}, {"postalCode", "2.5.4.17", strings.Repeat("1", 20), "?"}, {"country", "2.5.4.6", "FR", "ZZ"},
		{"preferredLanguage", "2.16.840.1.113730.3.1.39", "de-Latn-DE-1996-u-co-phonebk-x-1234", "?"}, {"description", "2.5.4.13", strings.Repeat("x", 2000), "a\x00b"},
	} {
		for _, idpType := range []string{"Okta", "EntraID", "GoogleWorkspace", "ADFS", "Keycloak", "Generic"} {
			m := compile(t, identity.Preset(idpType))
			for _, c := range []struct {
				wire, value   string
				kept, dropped bool
			}{
				{a.name, a.longest, true, false}, {"urn:oid:" + a.oid, a.longest, true, false}, {a.name, a.longest + "1", false, true}, {a.name, a.bad, false, true},
				{strings.ToUpper(a.name), a.longest, false, false}, {a.name, " ", false, false},
			} {
				p, rejection := m.Map(identity.Input{NameID: identity.NameID{Value: "alice@example.com", Format: identity.FormatEmailAddress}, Attributes: map[string][]string{c.wire: {c.value}}})
				got, kept := p.Profile[a.name]
				if rejection != nil || kept != c.kept || slices.Contains(p.Dropped, a.name) != c.dropped || kept && got != a.longest {
					t.Errorf("%s, %s = %q: got %q, dropped %v, %v", idpType, c.wire, c.value, got, p.Dropped, rejection)
				}
			}
		}
	}
}

// TestAnEmptyListTakesNothing: a part without a source is read under no name and is not missed; the address alone may still be the NameID.
func TestAnEmptyListTakesNothing(t *testing.T) {
	m := compile(t, snapshot.Mapping{})
	p, rejection := m.Map(identity.Input{
		NameID:     identity.NameID{Value: "alice@example.com", Format: identity.FormatEmailAddress},
		Attributes: map[string][]string{"email": {"bob@example.com"}, "firstName": {"Bob"}, "lastName": {"Builder"}, "groups": {"admins"}, "department": {"ML"}},
	})
	if rejection != nil || p.Email.String() != "alice@example.com" || !p.EmailFromNameID || p.FirstName+p.LastName != "" || len(p.Groups)+len(p.Profile)+len(p.Missing) > 0 {
		t.Errorf("%+v, %v", p, rejection)
	}
	if want := []string{"department", "email", "firstName", "groups", "lastName"}; !slices.Equal(p.Unmapped, want) {
		t.Errorf("unmapped are %v", p.Unmapped)
	}
	if _, rejection = m.Map(identity.Input{Attributes: map[string][]string{"email": {"bob@example.com"}}}); rejection == nil || rejection.Reason != identity.ReasonMissingEmail {
		t.Errorf("an address came from nowhere: %v", rejection)
	}
}

func TestRules(t *testing.T) {
	rules := []snapshot.Rule{
		{When: "'ML' in attributes.department", AddGroups: []string{"ml-team"}},
		{When: "email.endsWith('@example.com') && !('contractor' in attributes.type)", AddGroups: []string{"staff"}},
		{When: "has(attributes.department)", AddGroups: []string{"sorted", "ml-team"}},
		{When: "groups.exists(g, g.startsWith('ml-'))", AddGroups: []string{"sees-claimed-groups-only"}},
		{When: "nameID == 'n1'", AddGroups: []string{"n1"}},
		{When: "attributes['urn:oid:2.5.4.11'].exists(d, d.matches('^R.D$'))", AddGroups: []string{"rd"}},
		{When: "sets.intersects(groups, ['dev', 'ops'])", AddGroups: []string{"tech"}},
	}
	m := compile(t, snapshot.Mapping{Email: []snapshot.AttributeSource{{Name: "email"}}, Groups: snapshot.GroupsMapping{From: []snapshot.AttributeSource{{Name: "groups"}}}, Rules: rules})
	for _, c := range []struct {
		attributes map[string][]string
		want       []string
	}{
		{map[string][]string{"department": {"Sales", "ML"}, "type": {"employee"}}, []string{"ml-team", "n1", "sorted", "staff"}},
		{map[string][]string{"department": {"Sales"}, "type": {"contractor"}}, []string{"ml-team", "n1", "sorted"}},
		// An attribute that is not there never grants a group, also not by a negation.
		{map[string][]string{}, []string{"n1"}},
		{map[string][]string{"urn:oid:2.5.4.11": {"R&D"}, "groups": {"dev", "ml-x"}}, []string{"n1", "rd", "sees-claimed-groups-only", "tech"}},
	} {
		c.attributes["email"] = []string{"alice@example.com"}
		p, rejection := m.Map(identity.Input{NameID: identity.NameID{Value: "n1"}, Attributes: c.attributes})
		if rejection != nil || !slices.Equal(p.RuleGroups, c.want) || len(p.FailedRules) > 0 {
			t.Errorf("%v: %v, errors %v, want %v", c.attributes, p.RuleGroups, p.FailedRules, c.want)
		}
	}
}

func TestMappingErrorsNameTheField(t *testing.T) {
	email := []snapshot.AttributeSource{{Name: "email"}}
	for want, m := range map[string]snapshot.Mapping{
		"email.from[1]: exactly one of name, nameID":                      {Email: []snapshot.AttributeSource{{Name: "email"}, {}}},
		"firstName.from[0]: nameID: \"Kerberos\" is none of":              {Email: email, FirstName: []snapshot.AttributeSource{{NameID: "Kerberos"}}},
		"groups.from[0]: exactly one of":                                  {Email: email, Groups: snapshot.GroupsMapping{From: []snapshot.AttributeSource{{Name: "a", NameID: "Any"}}}},
		"profile[0].from[0]: exactly one of":                              {Email: email, Profile: []snapshot.ProfileMapping{{Attribute: "city", From: []snapshot.AttributeSource{{}}}}},
		"profile[0].attribute: a name is required":                        {Email: email, Profile: []snapshot.ProfileMapping{{}}},
		"rules[1].when: column 1: undeclared reference to 'emial'":        {Rules: []snapshot.Rule{{When: "true"}, {When: "emial == 'x'"}}},
		"rules[0].when: must be true or false, but is a string":           {Rules: []snapshot.Rule{{When: "email"}}},
		"rules[0].when: column 4: Syntax error: mismatched input '<EOF>'": {Rules: []snapshot.Rule{{When: "1 +"}}},
		"rules[0].when: costs too much":                                   {Rules: []snapshot.Rule{{When: "groups.exists(a, groups.exists(b, groups.exists(c, a + b == c)))"}}},
		"rules[0].when: column":                                           {Rules: []snapshot.Rule{{When: strings.Repeat("true && ", 2000) + "true"}}},
		"rules[0].addGroups[0]: a group has":                              {Rules: []snapshot.Rule{{When: "true", AddGroups: []string{"a,b"}}}},
		"rules[34].when: the rules up to this one cost too much together": {Rules: slices.Repeat([]snapshot.Rule{{When: "groups.exists(g, g.matches('^a.*b$'))"}}, 64)},
		"rules: together with the names of attributes they have":          {Rules: slices.Repeat([]snapshot.Rule{{When: "true", AddGroups: slices.Repeat([]string{strings.Repeat("g", 256)}, 10)}}, 60)},
		"rules: 65, at most 64":                                           {Rules: slices.Repeat([]snapshot.Rule{{When: "true"}}, 65)},
	} {
		_, err := identity.CompileMapping(m)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s...", err, want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%q is more than one line", err)
		}
	}
}

func TestExamples(t *testing.T) {
	m := identity.Preset("Generic")
	m.Rules = []snapshot.Rule{{When: "'ML' in attributes.department", AddGroups: []string{"ml-team"}}}
	c := compile(t, m)
	attributes := map[string][]string{"email": {"a@example.com"}, "department": {"ML"}, "groups": {"dev"}}
	got := c.RunExamples([]identity.Example{
		{Attributes: attributes, Expect: identity.Expectation{Email: "A@example.com", Groups: []string{"ml-team", "dev"}, Profile: map[string]string{"department": "ML"}}},
		{Attributes: attributes, Expect: identity.Expectation{Email: "b@example.com", FirstName: "Alice", Groups: []string{}, Profile: map[string]string{"city": "Oxford"}}},
		{Attributes: map[string][]string{"department": {"ML"}}, Expect: identity.Expectation{Email: "a@example.com"}},
		{NameID: identity.NameID{Value: "a@example.com", Format: identity.FormatEmailAddress}, Expect: identity.Expectation{Email: "a@example.com"}},
	})
	want := []identity.ExampleFailure{
		{Index: 1, Message: `email: want "b@example.com", got "a@example.com"; firstName: want "Alice", got ""; groups: want "", got "dev, ml-team"; profile.city: want "Oxford", got ""`},
		{Index: 2, Message: "The assertion carries no e-mail address: none of the mapped attributes is there, and the NameID is not an address."},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func FuzzRule(f *testing.F) {
	f.Add("'ML' in attributes.department")
	f.Add("groups.exists(g, g.matches('a*b*'))")
	f.Fuzz(func(t *testing.T, when string) {
		m, err := identity.CompileMapping(snapshot.Mapping{Email: []snapshot.AttributeSource{{Name: "email"}}, Rules: []snapshot.Rule{{When: when, AddGroups: []string{"g"}}}})
		if err != nil {
			return
		}
		if _, rejection := m.Map(identity.Input{Attributes: map[string][]string{"email": {"a@example.com"}}}); rejection != nil {
			t.Fatalf("%q: a rule failed a sign-in: %v", when, rejection)
		}
	})
}

// BenchmarkMap is a sign-in with 1,000 groups and ten rules over them.
func BenchmarkMap(b *testing.B) {
	m := identity.Preset("Generic")
	for i := range 10 {
		m.Rules = append(m.Rules, snapshot.Rule{When: fmt.Sprintf("groups.exists(g, g == 'group-%d')", 990+i), AddGroups: []string{"x"}})
	}
	c := compile(b, m)
	in := identity.Input{Attributes: map[string][]string{"email": {"a@example.com"}}}
	for i := range 1000 {
		in.Attributes["groups"] = append(in.Attributes["groups"], fmt.Sprintf("group-%d", i))
	}
	for b.Loop() {
		if _, rejection := c.Map(in); rejection != nil {
			b.Fatal(rejection)
		}
	}
}
