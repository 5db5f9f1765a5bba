// Package stage puts Sallyport and a small world around it on a cluster: the demonstration and the end-to-end test stand on it.
package stage

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Stage runs make, kubectl and the image builder of one checkout, and says what it does.
type Stage struct {
	// Root is the checkout. Work is a folder for what is made on the way; it is made when it is not there.
	Root, Work string
	Out        io.Writer
	started    time.Time
}

// New finds the checkout from the current directory upwards. work is relative to it.
func New(work string, out io.Writer) (*Stage, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(root)
		if parent == root {
			return nil, fmt.Errorf("run it inside of the checkout: no go.mod here or above")
		}
		root = parent
	}
	s := &Stage{Root: root, Work: filepath.Join(root, work), Out: out, started: time.Now()}
	return s, os.MkdirAll(s.Work, 0o755)
}

// Kubeconfig is that of the local cluster.
func (s *Stage) Kubeconfig() string { return filepath.Join(s.Root, ".cluster", "kubeconfig") }

// Step runs one step and prints what it is, how long it took and what it answered. A step that takes long shows that it lives.
func (s *Stage) Step(title string, step func() (string, error)) error {
	began := time.Now()
	fmt.Fprintf(s.Out, "%7s  %s ", clock(began.Sub(s.started)), title)
	type result struct {
		note string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		note, err := step()
		done <- result{note, err}
	}()
	ticker := time.NewTicker(3 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			fmt.Fprint(s.Out, ".")
		case r := <-done:
			if r.err != nil {
				fmt.Fprintln(s.Out, " failed")
				return fmt.Errorf("%s: %w", title, r.err)
			}
			if r.note != "" {
				r.note = ", " + r.note
			}
			fmt.Fprintf(s.Out, " %s%s\n", time.Since(began).Round(100*time.Millisecond), r.note)
			return nil
		}
	}
}

// Elapsed is the time since New.
func (s *Stage) Elapsed() time.Duration { return time.Since(s.started) }

func clock(d time.Duration) string {
	return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

// Run runs a program in the checkout and returns what it wrote to standard output. Its error holds the rest.
func (s *Stage) Run(ctx context.Context, name string, args ...string) (string, error) {
	return s.run(ctx, "", name, args...)
}

func (s *Stage) run(ctx context.Context, stdin, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = s.Root
	command.Env = append(os.Environ(), "KUBECONFIG="+s.Kubeconfig())
	// A program gets the chance to clean up.
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 30 * time.Second
	command.Stdin = strings.NewReader(stdin)
	var out, problems bytes.Buffer
	command.Stdout, command.Stderr = &out, &problems
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, tail(out.String()), tail(problems.String()))
	}
	return out.String(), nil
}

// tail keeps the last lines of what a program wrote.
func tail(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// Make runs a make target.
func (s *Stage) Make(ctx context.Context, args ...string) (string, error) {
	return s.Run(ctx, "make", append([]string{"--no-print-directory", "-C", s.Root}, args...)...)
}

// MakeAloud runs a make target and shows what it says: for what may take minutes and has progress of its own.
func (s *Stage) MakeAloud(ctx context.Context, args ...string) error {
	command := exec.CommandContext(ctx, "make", append([]string{"--no-print-directory", "-C", s.Root}, args...)...)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 30 * time.Second
	command.Stdout, command.Stderr = s.Out, os.Stderr
	return command.Run()
}

// Kubectl runs kubectl against the local cluster.
func (s *Stage) Kubectl(ctx context.Context, args ...string) (string, error) {
	return s.Run(ctx, s.KubectlPath(), args...)
}

// KubectlPath is the kubectl that was built with the cluster, or the one of this machine.
func (s *Stage) KubectlPath() string {
	if built := filepath.Join(s.Root, ".cluster", "assets", "kubectl"); exists(built) {
		return built
	}
	return "kubectl"
}

// Apply applies manifests by server-side apply.
func (s *Stage) Apply(ctx context.Context, manifests string) (string, error) {
	return s.run(ctx, manifests, s.KubectlPath(), "apply", "--server-side", "--force-conflicts", "--field-manager=sallyport-demo", "-f", "-")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
