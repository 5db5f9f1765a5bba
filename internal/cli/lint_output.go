package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/offline"
	"sallyport.dev/sallyport/internal/version"
)

// printers write the problems of a lint run; objects is how many objects were looked at.
var printers = map[string]func(w io.Writer, problems []offline.Problem, objects int) error{
	"text":   printText,
	"json":   printJSON,
	"sarif":  printSARIF,
	"github": printGitHub,
}

func printerNames() []string { return []string{"text", "json", "sarif", "github"} }

func printText(w io.Writer, problems []offline.Problem, objects int) error {
	errors := 0
	for _, p := range problems {
		who := ""
		if p.Kind != "" {
			who = fmt.Sprintf(" (%s %s)", p.Kind, p.Name)
		}
		if p.Severity == offline.SeverityError {
			errors++
		}
		if _, err := fmt.Fprintf(w, "%s:%d: %s: %s%s\n", p.File, p.Line, p.Severity, p.Text(), who); err != nil {
			return err
		}
	}
	verdict := "nothing to change"
	if errors > 0 {
		verdict = fmt.Sprintf("%d to change", errors)
	}
	_, err := fmt.Fprintf(w, "%d objects: %s\n", objects, verdict)
	return err
}

func printJSON(w io.Writer, problems []offline.Problem, objects int) error {
	if problems == nil {
		problems = []offline.Problem{}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Objects  int               `json:"objects"`
		Problems []offline.Problem `json:"problems"`
	}{objects, problems})
}

// printGitHub writes workflow commands: GitHub shows them on the lines that they are about.
func printGitHub(w io.Writer, problems []offline.Problem, _ int) error {
	for _, p := range problems {
		command := "error"
		if p.Severity == offline.SeverityNote {
			command = "notice"
		}
		if _, err := fmt.Fprintf(w, "::%s file=%s,line=%d::%s\n", command, escapeProperty(filepath.ToSlash(p.File)), p.Line, escapeData(p.Text())); err != nil {
			return err
		}
	}
	return nil
}

func escapeData(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func escapeProperty(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}

// The part of SARIF 2.1.0 that code scanners read.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID string `json:"id"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		PhysicalLocation sarifPhysicalLocation `json:"physicalLocation"`
	}
	sarifPhysicalLocation struct {
		ArtifactLocation sarifArtifact `json:"artifactLocation"`
		Region           sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
)

func printSARIF(w io.Writer, problems []offline.Problem, _ int) error {
	run := sarifRun{Tool: sarifTool{sarifDriver{Name: "kubectl-sso", Version: version.Version, Rules: []sarifRule{}}}, Results: []sarifResult{}}
	for _, p := range problems {
		if rule := (sarifRule{ID: p.Reason}); !slices.Contains(run.Tool.Driver.Rules, rule) {
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, rule)
		}
		run.Results = append(run.Results, sarifResult{
			RuleID: p.Reason, Level: string(p.Severity), Message: sarifText{p.Text()},
			Locations: []sarifLocation{{sarifPhysicalLocation{sarifArtifact{filepath.ToSlash(p.File)}, sarifRegion{p.Line}}}},
		})
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}})
}
