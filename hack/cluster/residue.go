package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// networkQuestions are the commands that list what a node could leave in the network.
var networkQuestions = [][]string{
	{"ip", "-o", "-br", "link"}, {"ip", "-o", "-br", "addr"}, {"ip", "netns", "list"},
	{"ip", "route", "show", "table", "all"}, {"ip", "-6", "route", "show", "table", "all"}, {"ip", "rule"},
	{"iptables-save"}, {"ip6tables-save"},
}

// residue lists what a node could leave on a machine, one line per thing, sorted. It leaves out what
// other programs change at any time: their processes, and counters.
func residue(ctx context.Context, d dirs) ([]string, error) {
	var lines []string
	add := func(kind, thing string) { lines = append(lines, kind+" "+thing) }
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if args, ours := nodeProcess(d, entry); ours {
			add("process", args)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(mounts)) {
		add("mount", strings.TrimSpace(line))
	}
	groups, err := cgroups()
	if err != nil {
		return nil, err
	}
	for _, group := range groups {
		add("cgroup", group)
	}
	for _, ask := range networkQuestions {
		out, err := command(ctx, ask[0], ask[1:]...)
		if err != nil {
			return nil, err
		}
		for _, line := range significant(out) {
			add(strings.Join(ask, " "), line)
		}
	}
	for name, value := range readSysctls("/proc/sys") {
		add("sysctl", name+"="+value)
	}
	for _, path := range append(slices.Clone(hostPaths), d.state, d.run, d.kubeconfig()) {
		if _, err := os.Lstat(path); err == nil {
			add("path", path)
		}
	}
	connections, err := os.ReadFile("/proc/net/nf_conntrack")
	if err == nil {
		for line := range strings.Lines(string(connections)) {
			if strings.Contains(line, "=10.244.0.") || strings.Contains(line, "=10.96.") {
				add("connection", strings.TrimSpace(line))
			}
		}
	}
	slices.Sort(lines)
	return lines, nil
}

// cgroups are the groups right below the roots.
func cgroups() (groups []string, err error) {
	for _, root := range cgroupRoots() {
		entries, err := filepath.Glob(filepath.Join(root, "*"))
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			if info, err := os.Stat(entry); err == nil && info.IsDir() {
				groups = append(groups, entry)
			}
		}
	}
	return groups, nil
}

// nodeProcess tells whether a process in /proc is a program of the node, a shim or in a pod.
func nodeProcess(d dirs, proc string) (args string, ours bool) {
	data, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	if err != nil || len(data) == 0 {
		return "", false
	}
	args = strings.TrimSpace(strings.ReplaceAll(string(data), "\x00", " "))
	return args, inPods(proc) || strings.Contains(args, d.state+"/") || strings.Contains(args, d.run+"/")
}

// significant drops comments and counters from what a network tool prints, and the built-in chains,
// which exist from the first look on.
func significant(out string) (lines []string) {
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line == "COMMIT" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "*"):
		case strings.HasPrefix(line, ":"):
			if chain := strings.Fields(line)[0]; isOurs(chain[1:]) {
				lines = append(lines, chain)
			}
		default:
			lines = append(lines, line)
		}
	}
	return lines
}

// difference returns what one list has and the other has not, as "+" and "-" lines.
func difference(before, after []string) (changes []string) {
	count := map[string]int{}
	for _, line := range before {
		count[line]--
	}
	for _, line := range after {
		count[line]++
	}
	for line, n := range count {
		switch {
		case n > 0:
			changes = append(changes, fmt.Sprintf("+ %s", line))
		case n < 0:
			changes = append(changes, fmt.Sprintf("- %s", line))
		}
	}
	slices.Sort(changes)
	return changes
}
