package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	bridge        = "sallyport0"
	serviceCIDR   = "10.96.0.0/16"
	podCIDR       = "10.244.0.0/24"
	dnsServiceIP  = "10.96.0.10"
	clusterDomain = "cluster.local"
	nodeName      = "sallyport"
)

// network is where the API server is found.
type network struct {
	address   string // the node's address: the bridge, so that pods reach it; loopback without a node
	serviceIP string // the Service "kubernetes"
}

func networkOf(node bool) network {
	if node {
		return network{"10.244.0.1", "10.96.0.1"}
	}
	return network{"127.0.0.1", "10.96.0.1"}
}

func (n network) apiServer() string { return "https://" + n.address + ":6443" }

// raiseNetwork makes the bridge, the route and the fence. The order matters: the fence stands before
// the first packet for a Service can be made, and the route before kube-proxy could miss one.
func raiseNetwork(ctx context.Context) error {
	if _, err := command(ctx, "ip", "link", "show", bridge); err != nil {
		if _, err := command(ctx, "ip", "link", "add", bridge, "type", "bridge"); err != nil {
			return err
		}
	}
	if _, err := commandIn(ctx, strings.NewReader(fence), "iptables-restore", "-w", "--noflush"); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"addr", "replace", "10.244.0.1/24", "dev", bridge},
		{"link", "set", bridge, "up"},
		{"route", "replace", serviceCIDR, "dev", bridge, "src", "10.244.0.1"},
	} {
		if _, err := command(ctx, "ip", args...); err != nil {
			return err
		}
	}
	return nil
}

// fence drops packets of pods and Services that would leave the machine; it stands in mangle, which
// comes before nat rewrites the sender. The filter rules let pods reach each other and the node on
// machines whose firewall forwards or accepts nothing by default.
const fence = `*mangle
:SALLYPORT-FENCE - [0:0]
-A SALLYPORT-FENCE -o ` + bridge + ` -j RETURN
-A SALLYPORT-FENCE -o lo -j RETURN
-A SALLYPORT-FENCE -s ` + podCIDR + ` -j DROP
-A SALLYPORT-FENCE -d ` + podCIDR + ` -j DROP
-A SALLYPORT-FENCE -s ` + serviceCIDR + ` -j DROP
-A SALLYPORT-FENCE -d ` + serviceCIDR + ` -j DROP
-I POSTROUTING -j SALLYPORT-FENCE
COMMIT
*filter
:SALLYPORT-ACCEPT - [0:0]
-A SALLYPORT-ACCEPT -i ` + bridge + ` -j ACCEPT
-I INPUT -j SALLYPORT-ACCEPT
-I FORWARD -o ` + bridge + ` -j SALLYPORT-ACCEPT
COMMIT
`

// sysctls are all that the node's programs may change; down gives them their old values back.
var sysctls = []string{
	"kernel.keys.root_maxbytes", "kernel.keys.root_maxkeys", "kernel.panic", "kernel.panic_on_oops",
	"vm.overcommit_memory", "vm.panic_on_oom",
	"net.bridge.bridge-nf-call-iptables", "net.ipv4.ip_forward", "net.ipv4.conf.all.route_localnet",
	"net.ipv4.conf.all.forwarding", "net.ipv4.conf.default.forwarding", "net.ipv6.conf.all.forwarding",
	"net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_tcp_be_liberal",
	"net.netfilter.nf_conntrack_tcp_timeout_close_wait", "net.netfilter.nf_conntrack_tcp_timeout_established",
}

func sysctlPath(root, name string) string {
	return filepath.Join(root, strings.ReplaceAll(name, ".", "/"))
}

// readSysctls reads values below root (/proc/sys); a kernel without one of them is fine.
func readSysctls(root string) map[string]string {
	values := map[string]string{}
	for _, name := range sysctls {
		if data, err := os.ReadFile(sysctlPath(root, name)); err == nil {
			values[name] = strings.TrimSpace(string(data))
		}
	}
	return values
}

// writeSysctls writes those values that differ.
func writeSysctls(root string, values map[string]string) error {
	var errs []error
	have := readSysctls(root)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if have[name] == values[name] {
			continue
		}
		if err := os.WriteFile(sysctlPath(root, name), []byte(values[name]), 0o644); err != nil {
			errs = append(errs, fmt.Errorf("set %s to %s: %w", name, values[name], err))
		}
	}
	return errors.Join(errs...)
}
