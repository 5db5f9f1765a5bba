package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// mountsBelow reads /proc/self/mounts text and returns the mount points at or below dir, deepest first.
func mountsBelow(mounts, dir string) (found []string) {
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		// The kernel writes blanks, tabs, newlines and backslashes in octal.
		point := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[1])
		if point == dir || strings.HasPrefix(point, dir+"/") {
			found = append(found, point)
		}
	}
	slices.SortStableFunc(found, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	return found
}

func unmountBelow(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	var errs []error
	for _, point := range mountsBelow(string(mounts), dir) {
		if err := syscall.Unmount(point, 0); err != nil {
			if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil {
				errs = append(errs, fmt.Errorf("unmount %s: %w", point, err))
			}
		}
	}
	return errors.Join(errs...)
}

// lowerNetwork removes the links of pods, the bridge with its route, our chains and kube-proxy's, and
// the connections that the kernel remembers.
func lowerNetwork(ctx context.Context) error {
	var errs []error
	if ports, err := filepath.Glob("/sys/class/net/" + bridge + "/brif/*"); err == nil {
		for _, port := range ports {
			// The kernel may be faster: a link goes with its pod's network namespace.
			if _, err := command(ctx, "ip", "link", "delete", filepath.Base(port)); err != nil {
				if _, err := os.Lstat(port); err == nil {
					errs = append(errs, fmt.Errorf("link %s stays on the bridge", port))
				}
			}
		}
	}
	if _, err := os.Stat("/sys/class/net/" + bridge); err == nil {
		_, err := command(ctx, "ip", "link", "delete", bridge)
		errs = append(errs, err)
	}
	for _, family := range []string{"iptables", "ip6tables"} {
		rules, err := command(ctx, family+"-save")
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if script := withoutChains(rules); script != "" {
			_, err := commandIn(ctx, strings.NewReader(script), family+"-restore", "-w", "--noflush")
			errs = append(errs, err)
		}
	}
	for _, direction := range []string{"--src", "--dst"} {
		for _, cidr := range []string{podCIDR, serviceCIDR} {
			// It fails when it finds nothing to forget.
			_ = exec.CommandContext(ctx, "conntrack", "-D", direction, cidr).Run()
		}
	}
	return errors.Join(errs...)
}

// withoutChains reads the output of iptables-save and writes the input of iptables-restore --noflush
// that removes the chains of the node and every rule that jumps to them; empty if there are none.
func withoutChains(saved string) string {
	var script strings.Builder
	var table string
	var chains, jumps []string
	for line := range strings.Lines(saved) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			table, chains, jumps = line, nil, nil
		case strings.HasPrefix(line, ":") && isOurs(strings.Fields(line[1:])[0]):
			chains = append(chains, strings.Fields(line[1:])[0])
		case strings.HasPrefix(line, "-A "):
			if words := strings.Fields(line); !isOurs(words[1]) && isOurs(target(words)) {
				jumps = append(jumps, "-D "+line[len("-A "):])
			}
		case line == "COMMIT" && len(chains) > 0:
			fmt.Fprintln(&script, table)
			for _, chain := range chains {
				fmt.Fprintf(&script, ":%s - [0:0]\n", chain) // empties it
			}
			for _, jump := range jumps {
				fmt.Fprintln(&script, jump)
			}
			for _, chain := range chains {
				fmt.Fprintf(&script, "-X %s\n", chain)
			}
			fmt.Fprintln(&script, "COMMIT")
		}
	}
	return script.String()
}

// target is the chain that a rule jumps to.
func target(words []string) string {
	for i, word := range words[:len(words)-1] {
		if word == "-j" || word == "-g" {
			return words[i+1]
		}
	}
	return ""
}

func isOurs(chain string) bool {
	return strings.HasPrefix(chain, "KUBE-") || strings.HasPrefix(chain, "SALLYPORT-") || strings.HasPrefix(chain, "CNI-")
}

// cgroupRoots are the mounted hierarchies: one on a machine with control groups v2, many with v1.
func cgroupRoots() (roots []string) {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 2 && strings.HasPrefix(fields[2], "cgroup") {
			roots = append(roots, fields[1])
		}
	}
	return roots
}

// removeCgroups removes the control groups of pods, the innermost first. A group can only be removed
// as a folder: the files in it are the kernel's.
func removeCgroups() error {
	var errs []error
	for _, root := range cgroupRoots() {
		for _, name := range []string{"kubepods", "k8s.io"} {
			var groups []string
			_ = filepath.WalkDir(filepath.Join(root, name), func(path string, entry os.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					groups = append(groups, path)
				}
				return nil
			})
			for _, group := range slices.Backward(groups) {
				errs = append(errs, syscall.Rmdir(group))
			}
		}
	}
	return errors.Join(errs...)
}
