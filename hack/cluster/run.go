package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

var begin = time.Now()

// step tells what happens now, on standard error: standard output is for scripts.
func step(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%4ds  %s\n", int(time.Since(begin).Seconds()), fmt.Sprintf(format, args...))
}

// command runs a program to its end and returns what it printed; the error carries its complaint.
func command(ctx context.Context, name string, args ...string) (string, error) {
	return commandIn(ctx, nil, name, args...)
}

func commandIn(ctx context.Context, stdin io.Reader, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = stdin
	cmd.Env = withoutProxy(os.Environ())
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return string(out), nil
}

// shown runs a program whose output the user wants to see.
func shown(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}
