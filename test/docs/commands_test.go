// Package docs holds the documentation to what is there: links lead somewhere, every command is taken by the program that it is for, and every manifest
// is such as the API server takes. What no test can look at fails, so that nothing is printed unchecked.
package docs

import (
	"strings"
	"testing"
)

// TestEveryCommandIsTaken gives every command of the documentation to its program, as far as that goes without a cluster of the reader's.
func TestEveryCommandIsTaken(t *testing.T) {
	checked := 0
	for _, p := range written(t, "sh", "", inSentence) {
		s := script{dir: world.dir, mention: p.language != "sh", found: func(line int, command string, err error) {
			checked++
			if err != nil {
				t.Errorf("%s:%d: %s: %v", p.page, line, command, err)
			}
		}}
		switch p.language {
		case "sh":
			s.check(p.text, p.line)
		case inSentence:
			if command, is := inPassing(p.text); is {
				s.check(command, p.line)
			}
		default:
			s.checkPrompts(p)
		}
	}
	if checked < 300 {
		t.Errorf("only %d commands were found", checked)
	}
}

// checkPrompts checks the lines of a block that somebody types, and not what is answered.
func (s script) checkPrompts(p passage) {
	for i, line := range strings.Split(p.text, "\n") {
		if command, typed := strings.CutPrefix(line, "$ "); typed {
			s.check(command, p.line+i)
		}
	}
}

// completed are how a sentence begins that leaves out what the page is about.
var completed = map[string]string{"-only": "go run ./test/bench ", "--set": "helm install sallyport charts/sallyport "}

// inPassing tells whether code within a sentence is a command: a program that we know, and something to do.
func inPassing(text string) (string, bool) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(text, "("), " ")
	if rest == "" {
		return "", false
	}
	if before, short := completed[first]; short {
		return before + text, true
	}
	return text, programs[first] != nil
}
