package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// dirs are the folders that the cluster lives in.
type dirs struct {
	root  string // the checkout
	home  string // ROOT/.cluster: what others read: kubeconfig, assets, images
	state string // ROOT/.cluster/state: everything of one cluster; gone after down
	run   string // process ids and sockets: short, because a socket's path may have 107 bytes
	cache string // built programs of one Kubernetes version; outlives clusters and checkouts
}

func (d dirs) kubeconfig() string       { return filepath.Join(d.home, "kubeconfig") }
func (d dirs) asset(name string) string { return filepath.Join(d.cache, name) }
func (d dirs) in(elem ...string) string {
	return filepath.Join(append([]string{d.state}, elem...)...)
}

// findDirs looks upwards from the working directory for the checkout.
func findDirs() (dirs, error) {
	dir, err := os.Getwd()
	if err != nil {
		return dirs{}, err
	}
	for !isRoot(dir) {
		parent := filepath.Dir(dir)
		if parent == dir {
			return dirs{}, errors.New("not inside a checkout of Sallyport: run this from the repository")
		}
		dir = parent
	}
	cache := os.Getenv("SALLYPORT_CACHE")
	if cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return dirs{}, fmt.Errorf("no folder for built programs: set SALLYPORT_CACHE (%w)", err)
		}
		cache = filepath.Join(base, "sallyport")
	}
	home := filepath.Join(dir, ".cluster")
	// The kernel lists mounts by their real paths: what is below a link would be looked for in vain when everything is undone.
	if real, err := filepath.EvalSymlinks(home); err == nil {
		home = real
	}
	return dirs{
		root:  dir,
		home:  home,
		state: filepath.Join(home, "state"),
		run:   runDir(home),
		cache: filepath.Join(cache, "kubernetes", kubernetesVersion),
	}, nil
}

// runDir is one place per machine for root, whatever the checkout: a machine has one node, and a
// cluster whose checkout was deleted can still be found and ended.
func runDir(home string) string {
	if os.Geteuid() == 0 {
		return "/run/sallyport"
	}
	return filepath.Join(home, "run")
}

func isRoot(dir string) bool {
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	return err == nil && bytes.HasPrefix(mod, []byte("module sallyport.dev/sallyport\n"))
}
