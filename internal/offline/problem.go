package offline

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
)

// Severity says whether something has to be changed.
type Severity string

const (
	// SeverityError: the object would be refused, or would not be served.
	SeverityError Severity = "error"
	// SeverityNote: something could not be looked at without a cluster or the network.
	SeverityNote Severity = "note"
)

// Problem is one thing to say about a manifest.
type Problem struct {
	File string `json:"file"`
	// Line in the file, from 1.
	Line      int      `json:"line"`
	Severity  Severity `json:"severity"`
	Kind      string   `json:"kind,omitempty"`
	Namespace string   `json:"namespace,omitempty"`
	Name      string   `json:"name,omitempty"`
	// Field is the path of the field, such as spec.saml.metadata; empty when the whole object is meant.
	Field string `json:"field,omitempty"`
	// Reason is one word for programs, such as Invalid or Conflicted.
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Text is the field and the sentence.
func (p Problem) Text() string {
	if p.Field == "" {
		return p.Message
	}
	return p.Field + ": " + p.Message
}

func (d Document) problem(severity Severity, reason, field, message string) Problem {
	return Problem{
		File: d.File, Line: d.Line(field), Severity: severity,
		Kind: d.Object.GetKind(), Namespace: d.Object.GetNamespace(), Name: d.Object.GetName(),
		Field: field, Reason: reason, Message: message,
	}
}

var yamlLine = regexp.MustCompile(`line ([0-9]+)`)

func yamlProblem(file string, err error) Problem {
	line := 1
	if match := yamlLine.FindStringSubmatch(err.Error()); match != nil {
		line, _ = strconv.Atoi(match[1])
	}
	return Problem{File: file, Line: max(line, 1), Severity: SeverityError, Reason: "NotYAML", Message: err.Error()}
}

// sortProblems puts them in reading order and drops what is said twice.
func sortProblems(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(problems)
}

// HasErrors says whether anything has to be changed.
func HasErrors(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return p.Severity == SeverityError })
}
