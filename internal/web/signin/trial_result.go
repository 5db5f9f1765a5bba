package signin

import (
	"maps"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/saml"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/site"
)

// shownNames bounds a list of names in a sentence.
const shownNames = 20

func join(names []string) string {
	if len(names) > shownNames {
		return strings.Join(names[:shownNames], ", ") + ", and more"
	}
	return strings.Join(names, ", ")
}

func checkOf(c saml.Checked) manageapi.TrialCheck {
	out := manageapi.TrialCheck{Name: c.Name, Verdict: string(c.Verdict)}
	if r := c.Refusal; r != nil {
		out.Sentence, out.Advice, out.Expected, out.Actual = r.Sentence, r.Advice, r.Expected, r.Actual
	}
	return out
}

// describeTrial adds what was sent and what the mapping makes of it.
func describeTrial(a *arrival, into *manageapi.Trial, refusal *saml.Refusal, assertion *saml.Assertion) {
	var nameID saml.NameID
	var values map[string][]string
	switch {
	case assertion != nil:
		into.Verified, into.Issuer, nameID, values = true, assertion.Issuer, assertion.NameID, assertion.Values()
	case refusal != nil && refusal.Unverified != nil:
		into.Issuer, nameID, values = refusal.Unverified.Issuer, refusal.Unverified.NameID, (&saml.Assertion{Attributes: refusal.Unverified.Attributes}).Values()
	}
	into.NameID, into.NameIDFormat = nameID.Value, nameID.Format
	uses := usesOf(a.c)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		into.Attributes = append(into.Attributes, manageapi.TrialAttribute{Name: name, Values: values[name], Use: strings.Join(uses[name], ", ")})
	}
	if person, rejection := a.c.Mapping.Map(identity.Input{NameID: identity.NameID(nameID), Attributes: values}); rejection == nil {
		into.Missing, into.Dropped = person.Missing, person.Dropped
	}
	if refusal != nil {
		into.Outcome = []string{"Refuse: " + refusal.Sentence}
		into.Passed = false
	}
}

// usesOf says what the mapping reads from each attribute.
func usesOf(c *site.Connection) map[string][]string {
	uses := map[string][]string{}
	add := func(use string, from []snapshot.AttributeSource) {
		for _, s := range from {
			if s.Name != "" {
				uses[s.Name] = append(uses[s.Name], use)
			}
		}
	}
	m := c.Connection.Mapping
	add("e-mail", m.Email)
	add("first name", m.FirstName)
	add("last name", m.LastName)
	add("groups", m.Groups.From)
	for _, p := range m.Profile {
		add(strings.ToLower(pages.Words(p.Attribute)), p.From)
	}
	return uses
}
