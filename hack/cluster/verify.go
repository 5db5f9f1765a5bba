package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// verify proves the node on this machine: it starts one, uses what pods use, ends it, and compares
// the machine before and after.
func verify(ctx context.Context, d dirs) error {
	if o, err := readOwner(d); err != nil || o != nil {
		return errors.Join(err, errors.New("a cluster runs here; verify needs the machine for itself: make cluster-down"))
	}
	if err := ensurePrerequisites(ctx); err != nil {
		return err
	}
	// The first look makes the kernel load the tables of iptables; the second is the one that counts.
	if _, err := residue(ctx, d); err != nil {
		return err
	}
	before, err := residue(ctx, d)
	if err != nil {
		return err
	}
	used := up(ctx, d, true)
	if used == nil {
		used = useNode(ctx, d)
	}
	if used != nil {
		step("the logs stay in %s", d.home+"/logs")
		used = errors.Join(used, os.RemoveAll(d.home+"/logs"), os.Rename(d.in("logs"), d.home+"/logs"))
	}
	// Also after a failure, and after Ctrl-C.
	ended := down(context.WithoutCancel(ctx), d)
	after, err := residue(context.WithoutCancel(ctx), d)
	if err == nil {
		if changes := difference(before, after); len(changes) > 0 {
			err = fmt.Errorf("the machine is not as it was before:\n%s", strings.Join(changes, "\n"))
		}
	}
	if err := errors.Join(used, ended, err); err != nil {
		return err
	}
	step("verified: the node works and left nothing behind")
	return nil
}

// useNode runs a server with a volume and reaches it as users will.
func useNode(ctx context.Context, d dirs) error {
	begin := time.Now()
	if err := up(ctx, d, true); err != nil {
		return fmt.Errorf("second up: %w", err)
	}
	step("the second up took %s", time.Since(begin).Round(100*time.Millisecond))
	manifests, err := renderConfig("verify.yaml", settings(d))
	if err != nil {
		return err
	}
	steps := []struct {
		what string
		do   func() error
	}{
		{"a pod with a volume starts", func() error {
			if _, err := kubectl(ctx, d, manifests, "apply", "-f", "-"); err != nil {
				return err
			}
			return errors.Join(
				inVerify(ctx, d, "", "rollout", "status", "deployment/server", "--timeout=60s"),
				inVerify(ctx, d, "", "wait", "--for=condition=Ready", "pod/client", "--timeout=60s"),
			)
		}},
		{"the host reaches its Service", func() error { return fromHost(ctx, d, "request 1") }},
		{"a pod reaches it by name", func() error { return fromPod(ctx, d, "request 2", "get", "http://server.verify.svc."+clusterDomain) }},
		{"a pod reaches it by the short name", func() error { return fromPod(ctx, d, "request 3", "get", "http://server") }},
		{"the server reaches itself through its Service", func() error {
			return inVerify(ctx, d, "request 4", "exec", "deployment/server", "--", "/probe", "get", "http://server")
		}},
		{"a name outside does not exist", func() error { return fromPod(ctx, d, "", "unknown", "sallyport.example.com") }},
		{"the volume survives its pod", func() error {
			if err := inVerify(ctx, d, "", "delete", "pod", "-l", "app=server"); err != nil {
				return err
			}
			if err := inVerify(ctx, d, "", "rollout", "status", "deployment/server", "--timeout=60s"); err != nil {
				return err
			}
			return fromHost(ctx, d, "request 5")
		}},
		{"the Service outlives the API server", func() error {
			if err := pauseOrResume(ctx, d, true, "kube-apiserver"); err != nil {
				return err
			}
			return errors.Join(
				ask(ctx, "http://"+serviceAddress, nil),
				pauseOrResume(ctx, d, false, "kube-apiserver"),
				inVerify(ctx, d, "", "get", "pods"),
			)
		}},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
		step("%s", s.what)
	}
	return nil
}

// serviceAddress is the fixed address of the Service in verify.yaml.
const serviceAddress = "10.96.7.7"

// inVerify runs kubectl in the namespace verify; its output must contain want.
func inVerify(ctx context.Context, d dirs, want string, args ...string) error {
	out, err := kubectl(ctx, d, nil, append([]string{"--namespace=verify"}, args...)...)
	if err == nil && !strings.Contains(out, want) {
		err = fmt.Errorf("got %q, want %q", out, want)
	}
	return err
}

// fromHost asks the Service from this machine. The rules follow a ready pod by a fraction of a second.
func fromHost(ctx context.Context, d dirs, want string) error {
	return waitFor(ctx, 10*time.Second, want, func() error {
		out, err := command(ctx, d.asset("probe"), "get", "http://"+serviceAddress)
		if err == nil && !strings.Contains(out, want) {
			err = fmt.Errorf("got %q, want %q", out, want)
		}
		return err
	})
}

// fromPod runs the probe in another pod than the server's.
func fromPod(ctx context.Context, d dirs, want string, args ...string) error {
	return inVerify(ctx, d, want, append([]string{"exec", "client", "--", "/probe"}, args...)...)
}
