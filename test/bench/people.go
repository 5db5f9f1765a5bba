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
)

func init() {
	suites = append(suites, suite{"people", "Sign-ins and session reads on PostgreSQL, with 1,000,000 users and sessions against 1,000", peopleSuite})
}

// peopleLine is a line of the benchmarks of internal/store: what, users, and its figures as pairs of value and unit.
var (
	peopleLine   = regexp.MustCompile(`^Benchmark(SignIn|SessionRead)/users=(\d+)-\d+\s+\d+\s+(.*)$`)
	peopleFigure = regexp.MustCompile(`([\d.e+]+) (\S+)`)
)

// peopleSuite runs the benchmarks of internal/store, which start a PostgreSQL server of their own.
func peopleSuite(ctx context.Context, _ options) ([]Result, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "./internal/store", "-run", "^$", "-bench", "^(BenchmarkSignIn|BenchmarkSessionRead)$", "-benchtime", "3s")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go test: %w\n%s", err, out)
	}
	figures := map[string]map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		m := peopleLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		of := map[string]float64{}
		for _, f := range peopleFigure.FindAllStringSubmatch(m[3], -1) {
			of[f[2]], _ = strconv.ParseFloat(f[1], 64)
		}
		figures[m[1]+" "+m[2]] = of
	}
	var results []Result
	for _, what := range []struct{ benchmark, name, unit string }{
		{"SignIn", "sign-ins", "sign-ins/s"}, {"SignIn", "sign-in, p50", "p50-µs"}, {"SignIn", "sign-in, p99", "p99-µs"},
		{"SessionRead", "session read on a miss, p50", "p50-µs"}, {"SessionRead", "session read on a miss, p99", "p99-µs"},
	} {
		few, many := figures[what.benchmark+" 1000"][what.unit], figures[what.benchmark+" 1000000"][what.unit]
		if few == 0 || many == 0 {
			return nil, fmt.Errorf("no figures for %s:\n%s", what.name, out)
		}
		ratio := many / few
		if what.unit == "sign-ins/s" {
			ratio = few / many // how many times as much work each is
		}
		results = append(results,
			Result{Name: what.name + ", 1,000,000 users", Value: many, Unit: what.unit, Against: "1,000 users", Ratio: ratio},
			Result{Name: what.name + ", 1,000 users", Value: few, Unit: what.unit})
	}
	return results, nil
}
