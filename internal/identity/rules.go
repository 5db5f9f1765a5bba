package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/interpreter"

	"sallyport.dev/sallyport/internal/snapshot"
)

// Limits of rules. Costs are CEL's own units, about one for each value looked at.
const (
	maxRules    = 64
	maxRuleText = 4096
	// ruleCost bounds what one rule may cost with the largest assertion that is accepted; it is checked when the rule is compiled and again when it runs.
	ruleCost = 500_000
	// rulesCost bounds all rules of a mapping together, in the same two ways: about 0.3 s for the largest assertion that is accepted, and 2 s for regular expressions
	// that were made to take long. The examples of a mapping have it once, all together.
	rulesCost = 3_000_000
)

// Sizes that the estimate of a rule's cost assumes.
const (
	sizeAttributes = 64
	sizeValues     = 2000
	sizeText       = 256
)

type compiledRule struct {
	program cel.Program
	groups  []string
}

// ruleEnv holds attributes (name to list of values), email, groups and nameID, and CEL's string and set functions.
var ruleEnv = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("attributes", cel.MapType(cel.StringType, cel.ListType(cel.StringType))),
		cel.Variable("email", cel.StringType),
		cel.Variable("groups", cel.ListType(cel.StringType)),
		cel.Variable("nameID", cel.StringType),
		cel.ParserExpressionSizeLimit(maxRuleText),
		ext.Strings(), ext.Sets(),
	)
})

func compileRules(rules []snapshot.Rule) ([]compiledRule, error) {
	if len(rules) == 0 {
		return nil, nil
	}
	if len(rules) > maxRules {
		return nil, fmt.Errorf("rules: %d, at most %d", len(rules), maxRules)
	}
	env, err := ruleEnv()
	if err != nil {
		return nil, err
	}
	var out []compiledRule
	total := uint64(0)
	for i, r := range rules {
		program, cost, err := compileRule(env, r.When)
		if err != nil {
			return nil, fmt.Errorf("rules[%d].when: %w", i, err)
		}
		if total += cost; total > rulesCost {
			return nil, fmt.Errorf("rules[%d].when: the rules up to this one cost too much together: up to %d steps, at most %d", i, total, rulesCost)
		}
		for j, g := range r.AddGroups {
			if g == "" || len(g) > maxGroupName || strings.ContainsFunc(g, func(c rune) bool { return c < 0x20 || c == 0x7f || c == ',' }) {
				return nil, fmt.Errorf("rules[%d].addGroups[%d]: a group has 1 to %d characters, no comma and no control character", i, j, maxGroupName)
			}
		}
		out = append(out, compiledRule{program, r.AddGroups})
	}
	return out, nil
}

func compileRule(env *cel.Env, when string) (program cel.Program, cost uint64, err error) {
	ast, issues := env.Compile(when)
	if err := issues.Err(); err != nil {
		return nil, 0, fmt.Errorf("%s", describeIssues(issues))
	}
	if ast.OutputType() != cel.BoolType {
		return nil, 0, fmt.Errorf("must be true or false, but is a %s", ast.OutputType())
	}
	estimate, err := env.EstimateCost(ast, ruleSizes{})
	if err != nil {
		return nil, 0, err
	}
	if estimate.Max > ruleCost {
		return nil, 0, fmt.Errorf("costs too much: up to %d steps with %d values, at most %d; avoid loops inside loops", estimate.Max, sizeValues, ruleCost)
	}
	known, err := patternsOf(ast)
	if err != nil {
		return nil, 0, err
	}
	program, err = env.Program(ast, cel.CostLimit(ruleCost), cel.CostTracking(known), cel.EvalOptions(cel.OptOptimize))
	return program, estimate.Max, err
}

// describeIssues makes one line of CEL's report: where and what.
func describeIssues(issues *cel.Issues) string {
	var parts []string
	for _, e := range issues.Errors() {
		message, _, _ := strings.Cut(e.Message, " expecting {") // the parser lists everything that could follow
		parts = append(parts, fmt.Sprintf("column %d: %s", e.Location.Column()+1, message))
	}
	if len(parts) > 3 {
		parts = append(parts[:3], fmt.Sprintf("and %d more", len(parts)-3))
	}
	return strings.Join(parts, "; ")
}

// ruleSizes tells CEL how big the inputs can be.
type ruleSizes struct{}

func (ruleSizes) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	path := node.Path()
	if len(path) == 0 {
		return nil
	}
	most := uint64(sizeText)
	switch {
	case path[0] == "attributes" && len(path) == 1:
		most = sizeAttributes
	case path[0] == "attributes" && len(path) == 2 && path[1] != "@keys", path[0] == "groups" && len(path) == 1:
		most = sizeValues
	}
	return &cost.SizeEstimate{Max: most}
}

func (ruleSizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// applyRules runs every rule over the same input: no rule sees what another added. A rule that cannot be evaluated adds nothing, so that an attribute
// that is not there never grants a group. left is what the rules may cost, and is less afterwards.
func (c *CompiledMapping) applyRules(in Input, p *Person, left *uint64) {
	if len(c.rules) == 0 {
		return
	}
	attributes := in.Attributes
	if attributes == nil {
		attributes = map[string][]string{}
	}
	groups := p.Groups
	if groups == nil {
		groups = []string{}
	}
	vars := map[string]any{"attributes": attributes, "email": p.Email.String(), "groups": groups, "nameID": in.NameID.Value}
	for i, r := range c.rules {
		if *left == 0 {
			p.FailedRules = append(p.FailedRules, RuleFailure{i, RuleTooExpensiveTogether, "the rules before it have cost all that they may together"})
			continue
		}
		out, spent, err := r.program.Eval(vars)
		if cost := spent.ActualCost(); cost != nil {
			*left -= min(*left, *cost)
		}
		if err != nil {
			if failure, failed := failureOf(i, err); failed {
				p.FailedRules = append(p.FailedRules, failure)
			}
			continue
		}
		if matched, ok := out.Value().(bool); ok && matched {
			p.Rules = append(p.Rules, i)
			p.RuleGroups = append(p.RuleGroups, r.groups...)
		}
	}
	slices.Sort(p.RuleGroups)
	p.RuleGroups = slices.Compact(p.RuleGroups)
}

// failureOf says why a rule could not be evaluated. An attribute that is not there is no failure.
func failureOf(rule int, err error) (f RuleFailure, failed bool) {
	cancelled, ok := errors.AsType[interpreter.EvalCancelledError](err)
	switch {
	case ok && cancelled.Cause == interpreter.CostLimitExceeded:
		return RuleFailure{rule, RuleTooExpensive, clip(err.Error())}, true
	case strings.HasPrefix(err.Error(), "no such key"):
		return RuleFailure{}, false
	}
	return RuleFailure{rule, RuleNotEvaluated, clip(err.Error())}, true
}
