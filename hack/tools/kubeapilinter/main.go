// Command kubeapilinter runs kube-api-linter's analyzers as a plain Go checker, with the settings in config.yaml.
// Usage: kubeapilinter PACKAGE...
package main

import (
	_ "embed"
	"fmt"
	"os"
	"regexp"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/multichecker"
	"sigs.k8s.io/kube-api-linter/pkg/plugin/base"
	_ "sigs.k8s.io/kube-api-linter/pkg/registration" // the analyzers register themselves
	"sigs.k8s.io/yaml"
)

//go:embed config.yaml
var configuration []byte

// config is config.yaml: the linter's own settings, and what we leave standing, each with the reason in a comment.
type config struct {
	Settings map[string]any `json:"settings"`
	// Exclude are regular expressions over "analyzer: message".
	Exclude []string `json:"exclude"`
}

func main() {
	analyzers, err := load()
	if err != nil {
		fmt.Fprintln(os.Stderr, "config.yaml:", err)
		os.Exit(2)
	}
	multichecker.Main(analyzers...)
}

func load() ([]*analysis.Analyzer, error) {
	var c config
	if err := yaml.UnmarshalStrict(configuration, &c); err != nil {
		return nil, err
	}
	plugin, err := base.New(c.Settings)
	if err != nil {
		return nil, err
	}
	analyzers, err := plugin.BuildAnalyzers()
	if err != nil {
		return nil, err
	}
	var excluded []*regexp.Regexp
	for _, expression := range c.Exclude {
		compiled, err := regexp.Compile(expression)
		if err != nil {
			return nil, err
		}
		excluded = append(excluded, compiled)
	}
	for _, analyzer := range analyzers {
		leaveOut(analyzer, excluded)
	}
	return analyzers, nil
}

// leaveOut keeps an analyzer from reporting what is excluded, and anything in generated files.
func leaveOut(analyzer *analysis.Analyzer, excluded []*regexp.Regexp) {
	inspect := analyzer.Run
	analyzer.Run = func(pass *analysis.Pass) (any, error) {
		report := pass.Report
		pass.Report = func(d analysis.Diagnostic) {
			if strings.Contains(pass.Fset.Position(d.Pos).Filename, "zz_generated") {
				return
			}
			for _, expression := range excluded {
				if expression.MatchString(analyzer.Name + ": " + d.Message) {
					return
				}
			}
			d.Message = analyzer.Name + ": " + d.Message
			report(d)
		}
		return inspect(pass)
	}
}
