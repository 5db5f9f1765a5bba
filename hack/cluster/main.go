// Command cluster runs a real Kubernetes on this machine without downloading one: it builds the
// control plane and the node from their published Go modules, starts them, and removes every trace.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: cluster COMMAND

  assets [--all]           build etcd, kube-apiserver and kubectl (--all: the node's programs and images too)
  up [--node]              start a control plane (--node: with a real node, as root on Linux) and write .cluster/kubeconfig
  down                     stop everything and leave nothing behind
  load IMAGE.tar...        put images where the cluster's node finds them
  pause-component NAME     kill one component, for example kube-apiserver
  resume-component NAME    start it again and wait until it answers
  verify                   prove on this machine: up, a pod with volume, Service and DNS, down, nothing left

CLUSTER=kind uses kind and CLUSTER=current the current kubectl context instead of an own node.
SALLYPORT_CACHE says where built programs are kept (default: ~/.cache/sallyport).
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	var misuse usageError
	switch {
	case errors.As(err, &misuse):
		fmt.Fprintf(os.Stderr, "cluster: %s\n\n%s", misuse, usage)
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "cluster: %s\n", err)
		os.Exit(1)
	}
}

// usageError is a command line that makes no sense; it exits with 2.
type usageError string

func (e usageError) Error() string { return string(e) }

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return usageError("no command given")
	}
	name, args := args[0], args[1:]
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.Usage = func() {}
	all := flags.Bool("all", false, "")
	node := flags.Bool("node", false, "")
	if err := flags.Parse(args); err != nil {
		return usageError(err.Error())
	}
	dirs, err := findDirs()
	if err != nil {
		return err
	}
	kind, err := provider()
	if err != nil {
		return err
	}
	switch name {
	case "assets":
		if *all {
			return buildNodeAssets(ctx, dirs)
		}
		return buildAssets(ctx, dirs, forTests)
	case "up":
		return kind.up(ctx, dirs, *node)
	case "down":
		return kind.down(ctx, dirs)
	case "load":
		if flags.NArg() == 0 {
			return usageError("load needs at least one image archive")
		}
		return kind.load(ctx, dirs, flags.Args())
	case "pause-component", "resume-component":
		if flags.NArg() != 1 {
			return usageError(name + " needs one name")
		}
		return pauseOrResume(ctx, dirs, name == "pause-component", flags.Arg(0))
	case "verify":
		return verify(ctx, dirs)
	}
	return usageError(fmt.Sprintf("unknown command %q", name))
}
