package identity

import (
	"fmt"
	"strings"
)

// RuleFailure is a rule that could not be evaluated, and so added nothing. An attribute that is not there is no failure.
type RuleFailure struct {
	// Rule is its index.
	Rule   int
	Reason RuleReason
	// Detail is what was wrong, shortened. It may quote what an identity provider sent: it is for those who are shown that too, and for the examples of a mapping.
	Detail string
}

// Field is the rule's place in the spec of the AttributeMapping.
func (f RuleFailure) Field() string { return fmt.Sprintf("rules[%d]", f.Rule) }

// RuleReason is why a rule added nothing: a word of a closed list.
type RuleReason string

// The reasons.
const (
	RuleTooExpensive         RuleReason = "too_expensive"
	RuleTooExpensiveTogether RuleReason = "too_expensive_together"
	RuleNotEvaluated         RuleReason = "evaluation_failed"
)

// Sentence says what happened and what to do, without anything of what was sent.
func (r RuleReason) Sentence() string {
	switch r {
	case RuleTooExpensive:
		return "With what the IdP sent it costs too much: make it simpler, or have the IdP send less."
	case RuleTooExpensiveTogether:
		return "With what the IdP sent, the rules before it have cost all that the rules of a mapping may together: make those simpler, or have the IdP send less."
	default:
		return "With what the IdP sent it cannot be evaluated: have it test for what it needs first, as in 'level' in attributes."
	}
}

// maxDetail bounds a Detail, in bytes: CEL quotes a value whole.
const maxDetail = 200

func clip(detail string) string {
	if len(detail) <= maxDetail {
		return detail
	}
	return strings.ToValidUTF8(detail[:maxDetail], "") + "..."
}

// RulesByReason are the places of rules that failed, by reason.
func RulesByReason(failures []RuleFailure) map[RuleReason][]string {
	all := map[RuleReason][]string{}
	for _, f := range failures {
		all[f.Reason] = append(all[f.Reason], f.Field())
	}
	return all
}
