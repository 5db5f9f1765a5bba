package identity

import (
	"fmt"
	"slices"
	"strings"
)

// Example is a person as the IdP would assert them, and what must come out.
type Example struct {
	NameID     NameID
	Attributes map[string][]string
	Expect     Expectation
}

// Expectation compares only what is set: empty strings and nil lists do not count, an empty non-nil Groups expects none.
type Expectation struct {
	Email     string
	FirstName string
	LastName  string
	Groups    []string
	Profile   map[string]string
}

// ExampleFailure says what came out instead.
type ExampleFailure struct {
	Index   int
	Message string
}

// RunExamples runs every example through the mapping and returns those that failed, in order.
func (c *CompiledMapping) RunExamples(examples []Example) []ExampleFailure {
	var failures []ExampleFailure
	left := uint64(rulesCost)
	for i, e := range examples {
		if message := c.runExample(e, &left); message != "" {
			failures = append(failures, ExampleFailure{i, message})
		}
	}
	return failures
}

func (c *CompiledMapping) runExample(e Example, left *uint64) string {
	p, rejection := c.mapWithin(Input{NameID: e.NameID, Attributes: e.Attributes}, left)
	if rejection != nil {
		return rejection.Sentence
	}
	var wrong []string
	compare := func(field, want, got string) {
		if want != got {
			wrong = append(wrong, fmt.Sprintf("%s: want %q, got %q", field, want, got))
		}
	}
	if e.Expect.Email != "" {
		want := e.Expect.Email
		if a, err := NormaliseAddress(want); err == nil {
			want = a.String()
		}
		compare("email", want, p.Email.String())
	}
	if e.Expect.FirstName != "" {
		compare("firstName", e.Expect.FirstName, p.FirstName)
	}
	if e.Expect.LastName != "" {
		compare("lastName", e.Expect.LastName, p.LastName)
	}
	if e.Expect.Groups != nil {
		want := slices.Sorted(slices.Values(e.Expect.Groups))
		compare("groups", strings.Join(slices.Compact(want), ", "), strings.Join(p.AllGroups(), ", "))
	}
	for _, name := range sortedNames(e.Expect.Profile) {
		compare("profile."+name, e.Expect.Profile[name], p.Profile[name])
	}
	for _, f := range p.FailedRules {
		wrong = append(wrong, f.Field()+".when: "+f.Detail)
	}
	return strings.Join(wrong, "; ")
}

func sortedNames(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
