package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
)

func init() {
	suites = append(suites, suite{"cache", "What a session costs in the cache of a pod", cacheSuite})
}

// costLine is what the test prints: the heap of one session, and how much of that are its own texts.
var costLine = regexp.MustCompile(`(\d+) bytes of heap for a session, of which (\d+) are its own values`)

// cacheSuite runs the test of internal/session, which fills a cache with 20,000 people and looks at the heap.
func cacheSuite(ctx context.Context, _ options) ([]Result, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "./internal/session", "-run", "^TestWhatACachedSessionCosts$", "-count=1", "-v")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go test: %w\n%s", err, out)
	}
	m := costLine.FindSubmatch(out)
	if m == nil {
		return nil, fmt.Errorf("go test printed no figures:\n%s", out)
	}
	whole, _ := strconv.ParseFloat(string(m[1]), 64)
	own, _ := strconv.ParseFloat(string(m[2]), 64)
	return []Result{{Name: "a session in the cache", Value: whole, Unit: "bytes"}, {Name: "of that, beyond its own values", Value: whole - own, Unit: "bytes"}}, nil
}
