package identity

import (
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// maxPattern bounds the program of a regular expression, in its instructions: counted repetition makes megabytes of a short text.
const maxPattern = 500

// patterns are the regular expressions of one rule, with the sizes of their programs. CEL knows the length of their text alone.
type patterns map[string]uint64

// patternsOf finds them. One that comes from an assertion is refused: whoever is signed in would say what is compiled.
func patternsOf(rule *cel.Ast) (patterns, error) {
	found := patterns{}
	for _, call := range ast.MatchDescendants(ast.NavigateAST(rule.NativeRep()), ast.FunctionMatcher("matches")) {
		args := call.AsCall().Args()
		last := args[len(args)-1]
		text, ok := "", last.Kind() == ast.LiteralKind
		if ok {
			text, ok = last.AsLiteral().Value().(string)
		}
		if !ok {
			return nil, fmt.Errorf("matches: the regular expression must be written out, between quotes")
		}
		size, err := types.RegexProgramSize(text)
		if err != nil {
			return nil, fmt.Errorf("matches: %w", err)
		}
		if size > maxPattern {
			return nil, fmt.Errorf("matches: the regular expression makes %d steps, at most %d: repeat less, as in x{1,20}", size, maxPattern)
		}
		found[text] = uint64(size)
	}
	return found, nil
}

// CallCost is what a match costs when it runs: a character may be compared with every step of the program. Other functions cost what CEL says.
func (p patterns) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	if function != "matches" || len(args) != 2 {
		return nil
	}
	text, isText := args[0].(types.String)
	pattern, isPattern := args[1].(types.String)
	if !isText || !isPattern {
		return nil
	}
	const stepsForOne = 16
	cost := 1 + uint64(len(text))*p[string(pattern)]/stepsForOne
	return &cost
}
