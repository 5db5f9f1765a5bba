package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

func init() {
	suites = append(suites, suite{"people", "Sign-ins and session reads on PostgreSQL, with 1,000,000 users and sessions against 1,000", peopleSuite})
}

// peopleLine is a line of the benchmarks of internal/store, and peopleFigure one of its figures: value and unit, with the number of users behind it where one
// benchmark measures both sizes in turns.
var (
	peopleLine   = regexp.MustCompile(`^Benchmark(SignIn|SessionRead)(?:/users=(\d+))?-\d+\s+\d+\s+(.*)$`)
	peopleFigure = regexp.MustCompile(`([\d.e+]+) (\S+)`)
	ofUsers      = regexp.MustCompile(`^(.*)/(\d{4,})$`)
)

// peopleRounds is how many rounds of 200 sign-ins each store gets.
const peopleRounds = 50

// peopleSuite runs the benchmarks of internal/store, which start a PostgreSQL server of their own.
func peopleSuite(ctx context.Context, _ options) ([]Result, error) {
	figures := map[string]float64{}
	for benchmark, howLong := range map[string]string{"SignIn": fmt.Sprintf("%dx", peopleRounds), "SessionRead": "3s"} {
		cmd := exec.CommandContext(ctx, "go", "test", "./internal/store", "-run", "^$", "-bench", "^Benchmark"+benchmark+"$", "-benchtime", howLong, "-timeout", "30m")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go test: %w\n%s", err, out)
		}
		readPeople(out, figures)
	}
	var results []Result
	for _, what := range []struct{ name, figure string }{
		{"sign-ins", "SignIn sign-ins/s"}, {"sign-in, p50", "SignIn p50-µs"}, {"sign-in, p99", "SignIn p99-µs"},
		{"sign-in of somebody known, p50", "SignIn p50-µs-known"}, {"sign-in of somebody new, p50", "SignIn p50-µs-new"}, {"log written for a sign-in", "SignIn WAL-bytes"},
		{"session read on a miss, p50", "SessionRead p50-µs"}, {"session read on a miss, p99", "SessionRead p99-µs"},
	} {
		_, unit, _ := strings.Cut(what.figure, " ")
		few, many := figures[what.figure+" 1000"], figures[what.figure+" 1000000"]
		if few == 0 || many == 0 {
			return nil, fmt.Errorf("no figures for %s", what.name)
		}
		ratio := many / few
		if unit == "sign-ins/s" {
			ratio = few / many // how many times as much work each is
		}
		results = append(results,
			Result{Name: what.name + ", 1,000,000 users", Value: many, Unit: unit, Against: "1,000 users", Ratio: ratio},
			Result{Name: what.name + ", 1,000 users", Value: few, Unit: unit})
	}
	return results, nil
}

// readPeople puts figures under benchmark, unit and number of users.
func readPeople(out []byte, figures map[string]float64) {
	for line := range strings.Lines(string(out)) {
		m := peopleLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		for _, f := range peopleFigure.FindAllStringSubmatch(m[3], -1) {
			unit, users := f[2], m[2]
			if of := ofUsers.FindStringSubmatch(unit); of != nil {
				unit, users = of[1], of[2]
			}
			figures[m[1]+" "+unit+" "+users], _ = strconv.ParseFloat(f[1], 64)
		}
	}
}
