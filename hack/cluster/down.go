package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// down ends the cluster of this machine, whichever checkout started it, and undoes every change. It
// goes on after a failure; what it could not undo, it says, and can be called again.
func down(ctx context.Context, d dirs) error {
	o, err := readOwner(d)
	if err != nil {
		return err
	}
	if o == nil {
		step("no cluster of this tool runs here")
		return errors.Join(os.RemoveAll(d.state), removeFile(d.kubeconfig()))
	}
	d.state = o.State
	step("ending the cluster in %s", d.state)
	// First those that would start again what is ended.
	var errs []error
	for _, name := range []string{"kube-controller-manager", "kube-scheduler", "kubelet"} {
		errs = append(errs, stop(filepath.Join(d.run, "pids", name), 5*time.Second))
	}
	if o.Node {
		errs = append(errs, endTasks(ctx, d))
	}
	errs = append(errs, stopAll(d))
	if o.Node {
		errs = append(errs,
			killSurvivors(d),
			unmountBelow(d.state), unmountBelow(d.run), unmountBelow("/var/lib/kubelet"),
			lowerNetwork(ctx),
			removeCgroups(),
			removeHostPaths(o),
			writeSysctls("/proc/sys", o.Sysctls),
		)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("not everything could be undone; run it again once this is mended:\n%w", err)
	}
	if err := errors.Join(os.RemoveAll(d.state), removeFile(o.Kubeconfig), os.RemoveAll(d.run)); err != nil {
		return err
	}
	step("nothing is left")
	return nil
}

// stopAll ends every program that has a pid file. Nothing is saved: the data goes as well.
func stopAll(d dirs) error {
	files, err := filepath.Glob(filepath.Join(d.run, "pids", "*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, file := range files {
		patience := time.Duration(0)
		if filepath.Base(file) == "containerd" {
			patience = 5 * time.Second
		}
		errs = append(errs, stop(file, patience))
	}
	return errors.Join(errs...)
}

// endTasks kills the containers in our own containerd, so that their shims leave too.
func endTasks(ctx context.Context, d dirs) error {
	if runningPID(filepath.Join(d.run, "pids", "containerd")) == 0 {
		return nil // killSurvivors finds the rest
	}
	list, err := ctr(ctx, d, "tasks", "list", "--quiet")
	if err != nil {
		return err
	}
	tasks := strings.Fields(list)
	step("killing %d containers", len(tasks))
	for _, id := range tasks {
		// One that ended meanwhile is no failure; killSurvivors judges.
		_, _ = ctr(ctx, d, "tasks", "rm", "--force", id)
	}
	return nil
}

// killSurvivors kills what still runs in the pods' control groups, and the shims of our containerd.
func killSurvivors(d dirs) error {
	pids := func() (found []int) {
		entries, _ := filepath.Glob("/proc/[0-9]*")
		for _, entry := range entries {
			pid, err := strconv.Atoi(filepath.Base(entry))
			if err == nil && (inPods(entry) || isShim(entry, containerdSocket(d))) {
				found = append(found, pid)
			}
		}
		return found
	}
	return waitFor(context.Background(), 20*time.Second, "the end of the pods' processes", func() error {
		left := pids()
		for _, pid := range left {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("processes %v survive SIGKILL", left)
		}
		return nil
	})
}

// inPods tells whether the process with this folder in /proc belongs to a pod. A zombie does not
// count: it holds nothing, and only its parent can remove it.
func inPods(proc string) bool {
	if _, err := os.Readlink(filepath.Join(proc, "exe")); err != nil {
		return false
	}
	groups, err := os.ReadFile(filepath.Join(proc, "cgroup"))
	return err == nil && strings.Contains(string(groups), ":/kubepods/")
}

func isShim(proc, socket string) bool {
	args, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	return err == nil && strings.Contains(string(args), "containerd-shim") && strings.Contains(string(args), "\x00"+socket+"\x00")
}

func removeHostPaths(o *owner) error {
	var errs []error
	for _, path := range o.Absent {
		errs = append(errs, os.RemoveAll(path))
	}
	// Where the folder was there before, what the bridge plugin keeps of our network.
	results, err := filepath.Glob("/var/lib/cni/results/sallyport-*")
	errs = append(errs, err)
	for _, file := range results {
		errs = append(errs, os.Remove(file))
	}
	return errors.Join(errs...)
}
