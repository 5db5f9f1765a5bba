package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
)

// Result is one figure. Ratio is Value divided by the same figure of Against, measured in the same run, so that the
// machine's own speed cancels out; it is absent where there is nothing to compare with.
type Result struct {
	Name    string  `json:"name"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	Against string  `json:"against,omitempty"`
	Ratio   float64 `json:"ratio,omitempty"`
	// Low and High are the spread over the rounds, where there were several.
	Low  float64 `json:"low,omitempty"`
	High float64 `json:"high,omitempty"`
	// Missing says why there is no figure.
	Missing string `json:"missing,omitempty"`
}

// table prints the results of one suite for people.
func table(w io.Writer, title string, results []Result) {
	fmt.Fprintf(w, "\n%s\n", title)
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "value\tspread\tunit\tratio\t  what\t")
	for _, r := range results {
		if r.Missing != "" {
			fmt.Fprintf(t, "\t\t\t\t  %s: %s\t\n", r.Name, r.Missing)
			continue
		}
		ratio := ""
		if r.Against != "" {
			ratio = fmt.Sprintf("%.2f x %s", r.Ratio, r.Against)
		}
		spread := ""
		if r.High > 0 {
			spread = number(r.Low) + "-" + number(r.High)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t  %s\t\n", number(r.Value), spread, r.Unit, ratio, r.Name)
	}
	t.Flush()
}

func number(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}

// save writes the results as JSON, creating the folder.
func save(file string, results []Result) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	out, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(out, '\n'), 0o644)
}
