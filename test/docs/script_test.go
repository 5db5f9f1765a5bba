package docs

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// script goes through shell as a reader types it, and gives each command to the check of its program. Nothing of it runs in a shell.
type script struct {
	// dir is where the reader is.
	dir string
	// mention: within a sentence a command may be named without all that it needs.
	mention bool
	found   func(line int, command string, err error)
}

// check goes through the text; line is the one that the text begins at.
func (s script) check(text string, line int) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		s.found(line, text, err)
		return
	}
	report := s.found
	s.found = func(in int, command string, err error) { report(line+in-1, command, err) }
	for _, statement := range file.Stmts {
		s.statement(statement, "")
	}
}

// statement returns what the next command of a pipe would read.
func (s *script) statement(statement *syntax.Stmt, stdin string) string {
	line := int(statement.Pos().Line())
	var err error
	for _, redirection := range statement.Redirs {
		if stdin, err = s.redirect(redirection, stdin); err != nil {
			s.found(line, "<", err)
		}
	}
	out, err := s.keep(statement.Redirs, s.inside(statement, line, stdin))
	if err != nil {
		s.found(line, ">", err)
	}
	return out
}

func (s *script) inside(statement *syntax.Stmt, line int, stdin string) string {
	switch command := statement.Cmd.(type) {
	case *syntax.CallExpr:
		return s.call(command, line, stdin)
	case *syntax.BinaryCmd:
		out := s.statement(command.X, stdin)
		if command.Op != syntax.Pipe {
			out = ""
		}
		return s.statement(command.Y, out)
	case *syntax.Subshell:
		inner, out := *s, ""
		for _, statement := range command.Stmts {
			out = inner.statement(statement, stdin)
		}
		return out
	}
	s.found(line, "", fmt.Errorf("no test can read %T: write plain commands", statement.Cmd))
	return ""
}

func (s *script) call(call *syntax.CallExpr, line int, stdin string) string {
	words, err := expand.Fields(s.expansion(), call.Args...)
	if err != nil {
		s.found(line, "", err)
		return ""
	}
	if len(words) == 0 {
		return "" // an assignment
	}
	out, err := s.command(words, stdin)
	s.found(line, strings.Join(words, " "), err)
	return out
}

// expansion knows no variable: a reader would have to guess its value.
func (s *script) expansion() *expand.Config {
	return &expand.Config{NoUnset: true, Env: expand.ListEnviron(), CmdSubst: func(out io.Writer, inner *syntax.CmdSubst) error {
		for _, statement := range inner.Stmts {
			if _, err := io.WriteString(out, s.statement(statement, "")); err != nil {
				return err
			}
		}
		return nil
	}}
}

// checker judges one command of a program, without the program's name, and returns what it prints where somebody goes on with that.
type checker func(s *script, arguments []string, stdin string) (string, error)

// programs are all that the documentation may use. Whoever needs another one says here how it is checked.
var programs map[string]checker

func init() {
	programs = map[string]checker{
		"kubectl": kubectl, "helm": helm, "make": makes, "go": goes,
		"kubectl-sso": plugin, "bin/kubectl-sso": plugin,
		"serviceprovider": ours("serviceprovider"), "bin/serviceprovider": ours("serviceprovider"), "operator": ours("operator"),
		"kustomize": kustomize, "cd": changes, "date": says("2026-11-23"), "grep": searches, "xargs": goesOn,
		"base64": runs("base64"), "cat": runs("cat"), "jq": runs("jq"), "openssl": runs("openssl"), "tr": runs("tr"),
		// Not ours, and without a network or an engine only their shape can be looked at.
		"curl": looksRight, "docker": looksRight, "skopeo": looksRight, "nslookup": looksRight,
		"install": looksRight, "envoy": looksRight, "npm": looksRight, "rm": looksRight,
	}
}

func (s *script) command(words []string, stdin string) (string, error) {
	check := programs[words[0]]
	if check == nil {
		return "", fmt.Errorf("no test knows the program %s: say in test/docs/script_test.go how it is checked", words[0])
	}
	arguments, err := filledIn(words[1:])
	if err != nil {
		return "", err
	}
	return check(s, arguments, stdin)
}

var (
	// placeholders stand for something of the reader's, and pages say what. Here it is something that is there.
	placeholders = map[string]string{"NAME": "okta", "POD": "main-sallyport-0", "NAMESPACE-OF-THE-PROXY": "sallyport-system", "HOST": "idp.acme.example",
		"ADDRESS": "alice@acme.example", "REFERENCE": "7F3K-9Q2M", "URL": "https://grafana.example.com/", "TEXT": "laptop stolen", "FILE": "audit.ndjson", "DIR": "dir"}
	placeholder = regexp.MustCompile(`^[A-Z][A-Z_]+$|<[a-z][a-z -]*>`)
)

// filledIn puts something in place of what the reader fills in.
func filledIn(words []string) ([]string, error) {
	var filled []string
	for _, word := range words {
		if word == "..." {
			return nil, errors.New("... tells nobody what to write: give an example")
		}
		parts := strings.Split(word, "/")
		for i, part := range parts {
			if value, known := placeholders[part]; known {
				parts[i] = value
			} else if placeholder.MatchString(part) {
				return nil, fmt.Errorf("%s tells nobody what to write: give an example, or explain the placeholder in test/docs/script_test.go", part)
			}
		}
		filled = append(filled, strings.Join(parts, "/"))
	}
	return filled, nil
}

func looksRight(*script, []string, string) (string, error) { return "", nil }

func says(out string) checker {
	return func(*script, []string, string) (string, error) { return out, nil }
}

func changes(s *script, arguments []string, _ string) (string, error) {
	if len(arguments) != 1 {
		return "", errors.New("where to?")
	}
	s.dir = filepath.Join(s.dir, arguments[0])
	return "", nil
}
