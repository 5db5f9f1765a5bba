package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// kubernetes is where a cluster comes from.
type kubernetes struct {
	up   func(ctx context.Context, d dirs, node bool) error
	down func(ctx context.Context, d dirs) error
	load func(ctx context.Context, d dirs, archives []string) error
}

// provider reads the environment variable CLUSTER.
func provider() (kubernetes, error) {
	switch name := os.Getenv("CLUSTER"); name {
	case "", "local":
		return kubernetes{up, down, load}, nil
	case "kind":
		return kubernetes{kindUp, kindDown, kindLoad}, nil
	case "current":
		return kubernetes{currentUp, currentDown, currentLoad}, nil
	default:
		return kubernetes{}, usageError(fmt.Sprintf("CLUSTER=%s is unknown: use local, kind or current", name))
	}
}

func load(ctx context.Context, d dirs, archives []string) error {
	o, err := readOwner(d)
	if err != nil {
		return err
	}
	if o == nil || !o.Node {
		return errors.New("no node runs here to load an image into: start one with `make cluster-up`")
	}
	for _, archive := range archives {
		if err := importImage(ctx, d, archive); err != nil {
			return err
		}
	}
	return nil
}

const kindName = "sallyport"

func kindUp(ctx context.Context, d dirs, _ bool) error {
	if _, err := exec.LookPath("kind"); err != nil {
		return errors.New("CLUSTER=kind needs kind and Docker in PATH; without them leave CLUSTER unset for an own node")
	}
	if err := os.MkdirAll(d.home, 0o755); err != nil {
		return err
	}
	clusters, err := command(ctx, "kind", "get", "clusters")
	if err != nil {
		return err
	}
	if !strings.Contains("\n"+clusters, "\n"+kindName+"\n") {
		if err := shown(ctx, d.root, "kind", "create", "cluster", "--name", kindName, "--wait", "2m", "--kubeconfig", d.kubeconfig()); err != nil {
			return err
		}
	} else if err := shown(ctx, d.root, "kind", "export", "kubeconfig", "--name", kindName, "--kubeconfig", d.kubeconfig()); err != nil {
		return err
	}
	fmt.Printf("export KUBECONFIG=%s\n", d.kubeconfig())
	return nil
}

func kindDown(ctx context.Context, d dirs) error {
	return errors.Join(shown(ctx, d.root, "kind", "delete", "cluster", "--name", kindName), removeFile(d.kubeconfig()))
}

func kindLoad(ctx context.Context, d dirs, archives []string) error {
	for _, archive := range archives {
		if err := shown(ctx, d.root, "kind", "load", "image-archive", archive, "--name", kindName); err != nil {
			return err
		}
	}
	return nil
}

// currentUp copies the current context, so that everything that reads .cluster/kubeconfig works.
func currentUp(ctx context.Context, d dirs, _ bool) error {
	conf, err := command(ctx, "kubectl", "config", "view", "--minify", "--flatten")
	if err != nil {
		return fmt.Errorf("CLUSTER=current needs kubectl with a current context: %w", err)
	}
	if err := os.MkdirAll(d.home, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(d.kubeconfig(), []byte(conf), 0o600); err != nil {
		return err
	}
	if _, err := command(ctx, "kubectl", "--kubeconfig", d.kubeconfig(), "get", "--raw", "/readyz"); err != nil {
		return fmt.Errorf("the current context's cluster does not answer: %w", err)
	}
	fmt.Printf("export KUBECONFIG=%s\n", d.kubeconfig())
	return nil
}

// currentDown leaves the cluster alone: it is not ours.
func currentDown(_ context.Context, d dirs) error { return removeFile(d.kubeconfig()) }

func currentLoad(_ context.Context, _ dirs, archives []string) error {
	return fmt.Errorf("with CLUSTER=current nobody but you can put an image on the nodes: push %s to a registry that they reach and set IMG to that name",
		strings.Join(archives, ", "))
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
