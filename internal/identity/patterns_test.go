package identity_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/snapshot"
)

func rules(n int, when string) snapshot.Mapping {
	return snapshot.Mapping{Email: []snapshot.AttributeSource{{Name: "email"}}, Rules: slices.Repeat([]snapshot.Rule{{When: when, AddGroups: []string{"g"}}}, n)}
}

// A short text can stand for a program of megabytes, and 64 of those for more than a pod or the operator has.
func TestARegularExpressionIsAsLargeAsItsProgram(t *testing.T) {
	for when, want := range map[string]string{
		`nameID.matches('` + strings.Repeat(`(a?){999}`, 100) + `')`:      "rules[0].when: matches: the regular expression makes",
		`matches(nameID, '.{900}')`:                                       "rules[0].when: matches: the regular expression makes",
		`groups.exists(g, g.matches('x{999}'))`:                           "rules[0].when: matches: the regular expression makes",
		`nameID.matches(email)`:                                           "rules[0].when: matches: the regular expression must be written out",
		`nameID.matches('a' + 'b')`:                                       "rules[0].when: matches: the regular expression must be written out",
		`nameID.matches('^[a-z0-9._-]{1,64}@(corp|lab)[.]example$')`:      "",
		`groups.exists(g, g.matches('^(team|squad)-[a-z0-9-]{1,40}$'))`:   "",
		`attributes.memberOf.exists(v, v.matches('(?i)cn=.*,ou=staff,'))`: "",
	} {
		_, err := identity.CompileMapping(rules(64, when))
		if want == "" && err != nil && !strings.Contains(err.Error(), "cost too much together") || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%.60s: got %v, want %q...", when, err, want)
		}
	}
}

// What a match costs depends on the program too: rules that are made to take long end, together and over all examples, where others do.
func TestSlowRegularExpressionsEnd(t *testing.T) {
	m := compile(t, rules(20, `attributes.a.exists(v, v.matches('(a?){60}b'))`))
	attributes := map[string][]string{"email": {"alice@example.com"}, "a": slices.Repeat([]string{strings.Repeat("a", 1000)}, 200)}
	p, rejection := m.Map(identity.Input{Attributes: attributes})
	if rejection != nil || len(p.FailedRules) != 20 || p.FailedRules[0].Reason != identity.RuleTooExpensive || p.FailedRules[19].Reason != identity.RuleTooExpensiveTogether {
		t.Errorf("%v, errors %v", rejection, p.FailedRules)
	}
	failed := m.RunExamples(slices.Repeat([]identity.Example{{Attributes: attributes, Expect: identity.Expectation{Email: "alice@example.com"}}}, 32))
	if len(failed) != 32 || strings.Contains(failed[31].Message, "cost limit") {
		t.Errorf("%d examples failed; the last one says %.300v", len(failed), failed[len(failed)-1])
	}
}

// Patterns as people write them work over the groups of the largest directories.
func TestRegularExpressionsOverManyGroups(t *testing.T) {
	mapping := rules(3, `groups.exists(g, g.matches('^(team|squad)-[a-z]+-admins$'))`)
	mapping.Groups.From = []snapshot.AttributeSource{{Name: "groups"}}
	groups := []string{"squad-north-admins"}
	for i := range 1999 {
		groups = append(groups, fmt.Sprintf("team-of-the-northern-region-readers-%04d", i))
	}
	slices.Reverse(groups)
	p, rejection := compile(t, mapping).Map(identity.Input{Attributes: map[string][]string{"email": {"alice@example.com"}, "groups": groups}})
	if rejection != nil || len(p.FailedRules) > 0 || !slices.Equal(p.RuleGroups, []string{"g"}) {
		t.Errorf("%v, %v, errors %v", rejection, p.RuleGroups, p.FailedRules)
	}
}
