package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	kubernetesVersion = "v1.37.2"
	kubernetesMinor   = "37"
)

// A group is built by one `go build`, so that its programs share the work.
type group struct {
	title    string
	module   string // folder below hack/cluster
	programs []program
}

type program struct {
	name string // in the cache
	pkg  string // what to build
}

var (
	// envtest is what sigs.k8s.io/controller-runtime/pkg/envtest needs.
	envtest = group{"etcd, kube-apiserver and kubectl", "build/kubernetes", []program{
		{"etcd", "go.etcd.io/etcd/server/v3"},
		{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
		{"kubectl", "k8s.io/kubernetes/cmd/kubectl"},
	}}
	controllers = group{"kube-controller-manager", "build/kubernetes", []program{
		{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"},
	}}
	nodePrograms = group{"kube-controller-manager, kube-scheduler, kubelet and kube-proxy", "build/kubernetes", append([]program{
		{"kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"},
		{"kubelet", "k8s.io/kubernetes/cmd/kubelet"},
		{"kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"},
	}, controllers.programs...)}
	dnsProgram  = group{"CoreDNS", "build/coredns", []program{{"coredns", "."}}}
	ownPrograms = group{"the pause and probe programs", ".", []program{{"pause", "./pause"}, {"probe", "./probe"}}}

	forTests        = []group{envtest}
	forControlPlane = []group{envtest, controllers}
	forNode         = []group{envtest, nodePrograms, dnsProgram, ownPrograms}
)

// buildAssets brings programs into the cache, once per version, and links it to .cluster/assets.
func buildAssets(ctx context.Context, d dirs, groups []group) error {
	if err := os.MkdirAll(d.cache, 0o755); err != nil {
		return err
	}
	unlock, err := lockFile(filepath.Join(d.cache, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	for _, g := range groups {
		if err := g.build(ctx, d); err != nil {
			return err
		}
	}
	return linkAssets(d)
}

// lockFile makes a second build on this machine wait for the first instead of repeating it.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		step("waiting for another run to finish (lock %s)", path)
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
	return func() { f.Close() }, nil
}

func (g group) build(ctx context.Context, d dirs) error {
	source := filepath.Join(d.root, "hack/cluster", g.module)
	inputs, err := digestOf(source, g.programs)
	if err != nil {
		return err
	}
	if g.built(d, inputs) {
		return nil
	}
	if _, err := exec.LookPath("go"); err != nil {
		return errors.New("go is not in PATH: install Go 1.26 or newer")
	}
	step("building %s (once; later runs take them from %s)", g.title, d.cache)
	out, err := os.MkdirTemp(d.cache, "build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(out)
	if err := goBuild(ctx, source, out, g.programs); err != nil {
		return err
	}
	for _, p := range g.programs {
		if err := os.Rename(filepath.Join(out, p.output()), d.asset(p.name)); err != nil {
			return err
		}
		if err := os.WriteFile(d.asset(p.name+".inputs"), []byte(inputs), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// output is the name that `go build` gives: of the import path, the last element that is no version.
func (p program) output() string {
	switch base := path.Base(p.pkg); base {
	case "v3":
		return path.Base(path.Dir(p.pkg))
	case ".":
		return p.name
	default:
		return base
	}
}

// built tells whether the cache holds what these inputs give.
func (g group) built(d dirs, inputs string) bool {
	for _, p := range g.programs {
		have, err := os.ReadFile(d.asset(p.name + ".inputs"))
		if err != nil || string(have) != inputs {
			return false
		}
		if info, err := os.Stat(d.asset(p.name)); err != nil || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

// digestOf names the inputs of a build: the Go version, the pinned modules, our own sources.
func digestOf(source string, programs []program) (string, error) {
	patterns := []string{filepath.Join(source, "go.mod"), filepath.Join(source, "go.sum")}
	for _, p := range programs {
		if strings.HasPrefix(p.pkg, ".") {
			patterns = append(patterns, filepath.Join(source, p.pkg, "*.go"))
		}
	}
	var files []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		files = append(files, found...)
	}
	h := sha256.New()
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n", filepath.Base(name), len(data))
		h.Write(data)
	}
	return runtime.Version() + " " + hex.EncodeToString(h.Sum(nil)), nil
}

// goBuild compiles static programs. Clients parse the version that is linked in here: without it
// the API server calls itself v0.0.0 and kubectl, Helm and conversion code refuse to talk to it.
func goBuild(ctx context.Context, source, out string, programs []program) error {
	ldflags := "-s -w"
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, set := range []string{"gitVersion=" + kubernetesVersion, "gitMajor=1", "gitMinor=" + kubernetesMinor, "gitTreeState=clean"} {
			ldflags += " -X " + pkg + "." + set
		}
	}
	args := []string{"build", "-v", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", ldflags, "-o", out + "/"}
	for _, p := range programs {
		args = append(args, p.pkg)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	output, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	complaints := showProgress(output)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go build in %s failed: %w\n%s", source, err, strings.Join(complaints, "\n"))
	}
	return nil
}

// showProgress turns the package names of `go build -v` into a line now and then, and returns
// the last lines that were something else.
func showProgress(output io.Reader) (complaints []string) {
	begin, last, count := time.Now(), time.Now(), 0
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		line := lines.Text()
		if strings.ContainsAny(line, " :") {
			complaints = append(complaints, line)
			if len(complaints) > 40 {
				complaints = complaints[1:]
			}
			continue
		}
		count++
		if time.Since(last) > 20*time.Second {
			last = time.Now()
			step("  %d packages compiled after %s", count, time.Since(begin).Round(time.Second))
		}
	}
	step("  done after %s", time.Since(begin).Round(time.Second))
	return complaints
}

// linkAssets makes the cache reachable at the place that tests and scripts know.
func linkAssets(d dirs) error {
	if err := os.MkdirAll(d.home, 0o755); err != nil {
		return err
	}
	link := filepath.Join(d.home, "assets")
	if have, err := os.Readlink(link); err == nil && have == d.cache {
		return nil
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is in the way: remove it (%w)", link, err)
	}
	return os.Symlink(d.cache, link)
}
