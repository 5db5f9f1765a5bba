package architecture

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// hint is a command that a message tells somebody to type, about something in a namespace.
var hint = regexp.MustCompile(`kubectl (sso (debug|test|refresh|rotate|users|sessions|audit|explain|status|break-glass)|describe|logs|get|delete)\b`)

// inNamespace says where to look: the flag, a place for it, or everywhere.
var inNamespace = regexp.MustCompile(`-n [^ ]|\{in\}| -A\b`)

// nowhere are messages that cannot know the namespace, or may not tell it.
var nowhere = []string{
	`"kubectl sso users resume"`,                    // the expected value of a check, in words
	`"Create a new link with kubectl sso test."`,    // a page that strangers see
	"`kubectl get idp` lists them",                  // before there is a connection to the cluster
	"an ID as `kubectl sso sessions list` shows it", // the same
	"`kubectl sso audit proof` prints one",          // a file is read, no cluster
	"`kubectl sso audit --help`",                    // help alone
}

// TestHintsNameTheNamespace: what an Event, a condition or an error says to type works where the current context has another namespace.
func TestHintsNameTheNamespace(t *testing.T) {
	for _, folder := range []string{"../../controllers", "../../internal"} {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			return eachText(path, func(where, text string) {
				if slices.ContainsFunc(nowhere, func(s string) bool { return strings.Contains(strconv.Quote(text), s) }) {
					return
				}
				if commands := len(hint.FindAllString(text, -1)); commands > len(inNamespace.FindAllString(text, -1)) {
					t.Errorf("%s: a command without its namespace: %q", where, text)
				}
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// eachText visits the string literals of a file: those joined by + as one, and no help of a command, which speaks of any namespace.
func eachText(path string, visit func(where, text string)) error {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, 0)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			key, isName := n.Key.(*ast.Ident)
			return !isName || !slices.Contains([]string{"Use", "Short", "Long", "Example"}, key.Name)
		case *ast.CallExpr:
			// The help of a flag.
			selector, isMethod := n.Fun.(*ast.SelectorExpr)
			return !isMethod || !strings.HasSuffix(selector.Sel.Name, "Var")
		case *ast.BinaryExpr:
			if text, ok := joined(n); ok {
				visit(fmt.Sprint(set.Position(n.Pos())), text)
				return false
			}
		case *ast.BasicLit:
			if text, ok := joined(n); ok {
				visit(fmt.Sprint(set.Position(n.Pos())), text)
			}
		}
		return true
	})
	return nil
}

// joined is the text of a literal, or of several and other values joined by +; those values are one x each.
func joined(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, isLeft := joined(e.X)
		right, isRight := joined(e.Y)
		return left + right, e.Op == token.ADD && (isLeft || isRight)
	}
	return "x", false
}
