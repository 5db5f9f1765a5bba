package docs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestEveryManifestIsAccepted gives every YAML of the documentation to who reads it: the schemas of our kinds, the API server, the chart, Prometheus. A block
// that is none of these fails.
func TestEveryManifestIsAccepted(t *testing.T) {
	checked := 0
	for _, p := range written(t, "yaml", "sh") {
		blocks := []string{p.text}
		if p.language == "sh" {
			blocks = heredocs(p)
		}
		for _, text := range blocks {
			checked++
			if err := p.accept(t, text); err != nil {
				t.Errorf("%s:%d: %v\n%s", p.page, p.line, err, text)
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d manifests were found", checked)
	}
}

var heredoc = regexp.MustCompile(`(?s)<<'?YAML'?\n(.*?)\nYAML`)

func heredocs(p passage) (all []string) {
	for _, found := range heredoc.FindAllStringSubmatch(p.text, -1) {
		all = append(all, found[1])
	}
	return all
}

func (p passage) accept(t *testing.T, text string) error {
	if printedFile.MatchString(text) {
		return p.testedElsewhere()
	}
	documents, err := parsed(text)
	if err != nil {
		return err
	}
	for _, document := range documents {
		if err := p.acceptOne(t, document); err != nil {
			return err
		}
	}
	if strings.Contains(text, "apiVersion: "+ourGroup) {
		return lint(t, text)
	}
	return nil
}

func (p passage) acceptOne(t *testing.T, document any) error {
	if rules, list := document.([]any); list {
		return alerts(rules)
	}
	content, _ := document.(map[string]any)
	switch {
	case content["apiVersion"] != nil || content["kind"] != nil:
		return object(content)
	case content["jobs"] != nil:
		return p.workflow(content)
	case content["patches"] != nil:
		text, err := yaml.Marshal(content)
		if err != nil {
			return err
		}
		return changesTheInstallation(string(text))
	case content["spec"] == nil && ofTheChart(content):
		return rendersWith(content)
	case len(content) > 0:
		return fragment(t, content)
	}
	return errors.New("this is no object")
}

// parsed are the documents of a stream. No key may be there twice.
func parsed(text string) (all []any, err error) {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var document any
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		}
		all = append(all, document)
	}
}

// printedFile is how a block begins that is a whole file of a proxy or of its controller.
var printedFile = regexp.MustCompile(`^# /\S+\n`)

// testedElsewhere looks for the test that runs the files of this page.
func (p passage) testedElsewhere() error {
	tests, err := filepath.Glob(filepath.Join(root, "test", "proxies", "*_test.go"))
	if err != nil {
		return err
	}
	for _, test := range tests {
		source, err := os.ReadFile(test)
		if err != nil {
			return err
		}
		if strings.Contains(string(source), `"../../`+p.page+`"`) {
			return nil
		}
	}
	return fmt.Errorf("no test of test/proxies reads the files of %s", p.page)
}

// workflow gives the commands of a GitHub workflow to the check of commands.
func (p passage) workflow(content map[string]any) error {
	jobs, _ := content["jobs"].(map[string]any)
	var problems []error
	commands := 0
	for _, job := range jobs {
		steps, _ := job.(map[string]any)["steps"].([]any)
		for _, step := range steps {
			command, _ := step.(map[string]any)["run"].(string)
			if command == "" {
				continue
			}
			s := script{dir: world.dir, found: func(_ int, line string, err error) {
				commands++
				if err != nil {
					problems = append(problems, fmt.Errorf("%s: %w", line, err))
				}
			}}
			s.check(command, p.line)
		}
	}
	if content["name"] == nil || content["on"] == nil || commands == 0 {
		problems = append(problems, errors.New("a workflow has a name, a trigger and jobs that run something"))
	}
	return errors.Join(problems...)
}
