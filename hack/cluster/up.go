package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// A claim binds one volume for good, so there are more than a long test run needs.
const volumeCount = 32

// up starts what does not run yet, and returns when the cluster is ready for work.
func up(ctx context.Context, d dirs, node bool) error {
	if err := prepare(ctx, d, node); err != nil {
		return err
	}
	unlock, err := lockFile(filepath.Join(d.home, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if node, err = claim(d, node); err != nil {
		return err
	}
	n := networkOf(node)
	if err := writePKI(d, n); err != nil {
		return err
	}
	if err := writeKubeconfigs(d, n); err != nil {
		return err
	}
	if node {
		if err := raiseNode(ctx, d); err != nil {
			return err
		}
	}
	for _, c := range components(d, n, node) {
		if c.pid(d) == 0 {
			step("starting %s", c.name)
		}
		if err := c.start(ctx, d); err != nil {
			return err
		}
		if c.name == "containerd" {
			if err := loadNodeImages(ctx, d); err != nil {
				return err
			}
		}
	}
	if node {
		if err := furnish(ctx, d); err != nil {
			return err
		}
	}
	step("ready")
	fmt.Printf("export KUBECONFIG=%s\n", d.kubeconfig())
	return nil
}

// prepare brings what must be on the machine before anything starts.
func prepare(ctx context.Context, d dirs, node bool) error {
	if err := os.MkdirAll(d.home, 0o755); err != nil {
		return err
	}
	if !node {
		return buildAssets(ctx, d, forControlPlane)
	}
	if err := ensurePrerequisites(ctx); err != nil {
		return err
	}
	return buildNodeAssets(ctx, d)
}

func writeKubeconfigs(d dirs, n network) error {
	for _, name := range []string{"kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"} {
		if err := writeKubeconfig(d, n, name, d.in("kubeconfigs", name)); err != nil {
			return err
		}
	}
	return writeKubeconfig(d, n, "admin", d.kubeconfig())
}

func raiseNode(ctx context.Context, d dirs) error {
	if err := writeNodeConfig(d); err != nil {
		return err
	}
	if _, err := os.Stat("/sys/class/net/" + bridge); err != nil {
		step("making the bridge %s, the route and the fence", bridge)
		if err := raiseNetwork(ctx); err != nil {
			return err
		}
	}
	return writeSysctls("/proc/sys", map[string]string{"net.ipv4.ip_forward": "1", "net.bridge.bridge-nf-call-iptables": "1"})
}

// kubectl talks to the cluster as its admin.
func kubectl(ctx context.Context, d dirs, stdin []byte, args ...string) (string, error) {
	return commandIn(ctx, bytes.NewReader(stdin), d.asset("kubectl"), append([]string{"--kubeconfig=" + d.kubeconfig()}, args...)...)
}

// furnish applies DNS, storage and kube-proxy's rights, renews volumes, and waits for the node.
func furnish(ctx context.Context, d dirs) error {
	var manifests []byte
	for _, name := range []string{"base.yaml", "coredns.yaml"} {
		data, err := renderConfig(name, settings(d))
		if err != nil {
			return err
		}
		manifests = append(append(manifests, data...), "\n---\n"...)
	}
	volumes, err := renewVolumes(ctx, d)
	if err != nil {
		return err
	}
	if _, err := kubectl(ctx, d, append(manifests, volumes...), "apply", "--server-side", "--force-conflicts", "-f", "-"); err != nil {
		return err
	}
	for _, wait := range [][]string{
		{"wait", "--for=create", "node/" + nodeName, "--timeout=60s"},
		{"wait", "--for=condition=Ready", "node/" + nodeName, "--timeout=60s"},
		{"rollout", "status", "-n", "kube-system", "deployment/coredns", "--timeout=90s"},
		{"wait", "--for=create", "serviceaccount/default", "-n", "default", "--timeout=30s"},
	} {
		if _, err := kubectl(ctx, d, nil, wait...); err != nil {
			return fmt.Errorf("%w\nlogs of the node's programs: %s", err, d.in("logs"))
		}
	}
	return nil
}

// renewVolumes takes away volumes whose claim is gone, empties their folders and returns the manifests
// of all. No provisioner exists for local volumes, and a released one is never bound again.
func renewVolumes(ctx context.Context, d dirs) ([]byte, error) {
	phases, err := kubectl(ctx, d, nil, "get", "pv", "-o", `jsonpath={range .items[?(@.status.phase=="Released")]}{.metadata.name}{"\n"}{end}`)
	if err != nil {
		return nil, err
	}
	released := map[string]bool{}
	for name := range bytes.Lines([]byte(phases)) {
		released[string(bytes.TrimSpace(name))] = true
	}
	var manifests []byte
	for i := range volumeCount {
		values := settings(d)
		values["Name"] = "local-" + strconv.Itoa(i)
		values["Path"] = d.in("volumes", strconv.Itoa(i))
		if released[values["Name"]] {
			if _, err := kubectl(ctx, d, nil, "delete", "pv", values["Name"], "--timeout=30s"); err != nil {
				return nil, err
			}
			if err := os.RemoveAll(values["Path"]); err != nil {
				return nil, err
			}
		}
		// As from a cloud's disk: a pod that is not root needs fsGroup to write.
		if err := os.MkdirAll(values["Path"], 0o755); err != nil {
			return nil, err
		}
		data, err := renderConfig("volume.yaml", values)
		if err != nil {
			return nil, err
		}
		manifests = append(manifests, data...)
	}
	return manifests, nil
}

// waitFor asks until the answer is yes or the patience ends.
func waitFor(ctx context.Context, patience time.Duration, what string, ready func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return errors.Join(fmt.Errorf("%s did not happen within %s", what, patience), err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}
