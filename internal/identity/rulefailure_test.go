package identity_test

import (
	"slices"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/snapshot"
)

// TestARuleThatFailsIsNamedWithItsReason, and the others add what they add. An attribute that is not there is no failure.
func TestARuleThatFailsIsNamedWithItsReason(t *testing.T) {
	attributes := map[string][]string{"email": {"alice@example.com"}, "since": {"secret"}, "level": {}, "many": slices.Repeat([]string{strings.Repeat("a", 1000)}, 50)}
	for when, want := range map[string]identity.RuleReason{
		`attributes.many.exists(v, v.matches('^b(a?){60}$'))`:                            identity.RuleTooExpensive,
		`timestamp(attributes.since[0]) < timestamp('2026-01-01T00:00:00Z')`:             identity.RuleNotEvaluated,
		`attributes.level[0] == 'high'`:                                                  identity.RuleNotEvaluated,
		`attributes.department[0] == 'ML'`:                                               "",
		`!('contractor' in attributes.type)`:                                             "",
		`attributes.many.exists(v, v == 'b')`:                                            "",
		`timestamp(attributes.since[0]) < timestamp('2026-01-01T00:00:00Z') || 1/0 == 1`: identity.RuleNotEvaluated,
	} {
		m := compile(t, snapshot.Mapping{Email: []snapshot.AttributeSource{{Name: "email"}},
			Rules: []snapshot.Rule{{When: "true", AddGroups: []string{"everyone"}}, {When: when, AddGroups: []string{"g"}}, {When: "email != ''", AddGroups: []string{"known"}}}})
		p, rejection := m.Map(identity.Input{Attributes: attributes})
		if rejection != nil || !slices.Equal(p.RuleGroups, []string{"everyone", "known"}) {
			t.Errorf("%s: %v, %v", when, p.RuleGroups, rejection)
		}
		if want == "" && len(p.FailedRules) == 0 {
			continue
		}
		if len(p.FailedRules) != 1 || p.FailedRules[0].Field() != "rules[1]" || p.FailedRules[0].Reason != want || p.FailedRules[0].Detail == "" {
			t.Errorf("%s: %+v, want %q", when, p.FailedRules, want)
		}
	}
}

// TestWhatARuleQuotesIsShort: an identity provider decides how long a value is.
func TestWhatARuleQuotesIsShort(t *testing.T) {
	m := compile(t, rules(1, `timestamp(attributes.since[0]) < timestamp('2026-01-01T00:00:00Z')`))
	p, rejection := m.Map(identity.Input{Attributes: map[string][]string{"email": {"alice@example.com"}, "since": {strings.Repeat("é", 100_000)}}})
	if rejection != nil || len(p.FailedRules) != 1 || len(p.FailedRules[0].Detail) > 256 {
		t.Errorf("%v, %.2000v", rejection, p.FailedRules)
	}
}
