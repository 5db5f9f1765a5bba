package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// owner is what down must know to leave the machine as it was; it is written before the first change.
type owner struct {
	State      string            `json:"state"`      // the state folder of the cluster that runs here
	Kubeconfig string            `json:"kubeconfig"` // what up wrote for users
	Node       bool              `json:"node"`
	Sysctls    map[string]string `json:"sysctls"` // values before
	Absent     []string          `json:"absent"`  // paths outside our folders that were not there before
}

// hostPaths are written by the node's programs, which have no option for another place.
var hostPaths = []string{
	"/var/lib/kubelet", "/var/lib/cni", "/var/log/containers", "/var/log/pods", "/run/containerd",
	"/etc/cni", "/opt/cni", "/opt/containerd", "/usr/libexec/kubernetes", "/run/flannel", "/run/xtables.lock",
}

func ownerFile(d dirs) string { return filepath.Join(d.run, "owner.json") }

// readOwner returns nil if no cluster of this tool runs on this machine.
func readOwner(d dirs) (*owner, error) {
	data, err := os.ReadFile(ownerFile(d))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var o owner
	if err := json.Unmarshal(data, &o); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", ownerFile(d), err)
	}
	return &o, nil
}

// claim makes this machine ours, and returns whether the cluster has a node: one that runs already may
// have more than was asked for. An owner that is there must be this cluster.
func claim(d dirs, node bool) (hasNode bool, err error) {
	o, err := readOwner(d)
	switch {
	case err != nil:
		return false, err
	case o != nil && o.State != d.state:
		return false, fmt.Errorf("the cluster of another checkout runs on this machine (%s): end it with `make cluster-down`, from here or there", o.State)
	case o != nil && node && !o.Node:
		return false, errors.New("a control plane without a node runs here: end it first with `make cluster-down`")
	case o != nil:
		return o.Node, nil
	}
	if node {
		if err := checkUnused(); err != nil {
			return false, err
		}
	}
	// State without an owner is left over from a machine that was restarted; nothing of it runs.
	if err := os.RemoveAll(d.state); err != nil {
		return false, err
	}
	for _, dir := range []string{d.state, d.run} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return false, err
		}
	}
	o = &owner{State: d.state, Kubeconfig: d.kubeconfig(), Node: node, Sysctls: readSysctls("/proc/sys")}
	for _, path := range hostPaths {
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			o.Absent = append(o.Absent, path)
		}
	}
	data, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return false, err
	}
	return node, os.WriteFile(ownerFile(d), data, 0o600)
}
