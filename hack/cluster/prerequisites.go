package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// debianPackages maps what the node needs to where Debian keeps it.
var debianPackages = []struct{ need, pkg string }{
	{"containerd", "containerd"},
	{"runc", "runc"},
	{"/usr/lib/cni/bridge", "containernetworking-plugins"},
	{"conntrack", "conntrack"},
	{"iptables", "iptables"},
	{"ip", "iproute2"},
	{"mount", "mount"},
	{"sysctl", "procps"},
	{"/etc/ssl/certs/ca-certificates.crt", "ca-certificates"},
}

// ensurePrerequisites finds what a node needs, and installs it where that is possible.
func ensurePrerequisites(ctx context.Context) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("a node needs Linux, this is %s: use CLUSTER=kind or CLUSTER=current", runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return errors.New("a node needs root: run this as root, or use CLUSTER=kind or CLUSTER=current")
	}
	missing := missingPackages()
	if len(missing) == 0 {
		return nil
	}
	line := "apt-get -o DPkg::Lock::Timeout=300 install --no-install-recommends -y " + strings.Join(missing, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("missing on this machine: %s (on Debian: %s)", strings.Join(missing, ", "), line)
	}
	step("installing what a node needs: %s", line)
	if err := shown(ctx, "", "apt-get", "update", "-qq"); err != nil {
		return err
	}
	if err := shown(ctx, "", "env", append([]string{"DEBIAN_FRONTEND=noninteractive"}, strings.Fields(line)...)...); err != nil {
		return err
	}
	if missing := missingPackages(); len(missing) > 0 {
		return fmt.Errorf("still missing after apt-get install: %s", strings.Join(missing, ", "))
	}
	return nil
}

func missingPackages() (missing []string) {
	for _, p := range debianPackages {
		if filepath.IsAbs(p.need) {
			if _, err := os.Stat(p.need); err != nil {
				missing = append(missing, p.pkg)
			}
		} else if _, err := exec.LookPath(p.need); err != nil {
			missing = append(missing, p.pkg)
		}
	}
	return missing
}

// checkUnused refuses a machine that is a node of somebody else: two of them would fight for the same
// rules and control groups, and ending ours would break theirs.
func checkUnused() error {
	signs := []string{"/sys/class/net/" + bridge, "/var/lib/kubelet/config.yaml"}
	for _, cgroups := range cgroupRoots() {
		signs = append(signs, filepath.Join(cgroups, "kubepods"), filepath.Join(cgroups, "kubepods.slice"))
	}
	for _, sign := range signs {
		if _, err := os.Stat(sign); err == nil {
			return fmt.Errorf("this machine looks like a Kubernetes node already (%s exists): use that cluster with CLUSTER=current", sign)
		}
	}
	return nil
}
