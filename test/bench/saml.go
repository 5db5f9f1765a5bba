package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

func init() {
	suites = append(suites, suite{"saml", "Accepting a SAML response, against crewjam/saml on the same input; its RSA and SHA are the floor", samlSuite})
}

// benchLine is a line of go test -bench -benchmem: name, runs, time, bytes and allocations.
var benchLine = regexp.MustCompile(`^BenchmarkAccept/(\S+?)-\d+\s+\d+\s+([\d.]+) ns/op\s+\d+ B/op\s+(\d+) allocs/op`)

type acceptCost struct{ micros, allocs float64 }

// samlSuite runs the benchmark of internal/saml, which needs the fixtures of its tests, and sets our figures beside crewjam's.
func samlSuite(ctx context.Context, _ options) ([]Result, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "./internal/saml", "-run", "^$", "-bench", "^BenchmarkAccept$", "-benchmem")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go test: %w\n%s", err, out)
	}
	costs := map[string]acceptCost{}
	var inputs []string
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		m := benchLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		name := strings.ReplaceAll(m[1], "_", " ")
		nanos, _ := strconv.ParseFloat(m[2], 64)
		allocs, _ := strconv.ParseFloat(m[3], 64)
		costs[name] = acceptCost{nanos / 1000, allocs}
		if input, ours := strings.CutPrefix(name, "sallyport/"); ours {
			inputs = append(inputs, input)
		}
	}
	if len(inputs) == 0 {
		return nil, fmt.Errorf("go test printed no figures:\n%s", out)
	}
	var results []Result
	for _, input := range inputs {
		ours, theirs, floor := costs["sallyport/"+input], costs["crewjam/"+input], costs["floor/"+input]
		if theirs.micros == 0 || floor.micros == 0 {
			return nil, fmt.Errorf("no figures of crewjam and of the floor for %q", input)
		}
		results = append(results,
			Result{Name: input, Value: ours.micros, Unit: "µs", Against: "crewjam", Ratio: ours.micros / theirs.micros},
			Result{Name: input, Value: ours.allocs, Unit: "allocs", Against: "crewjam", Ratio: ours.allocs / theirs.allocs},
			Result{Name: "crewjam: " + input, Value: theirs.micros, Unit: "µs"},
			Result{Name: "RSA and SHA of it: " + input, Value: floor.micros, Unit: "µs", Against: "sallyport", Ratio: floor.micros / ours.micros},
			Result{Name: "beyond RSA and SHA: " + input, Value: ours.micros - floor.micros, Unit: "µs", Against: "crewjam",
				Ratio: (ours.micros - floor.micros) / (theirs.micros - floor.micros)})
	}
	return results, nil
}
