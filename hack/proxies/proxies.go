// Package proxies builds the reverse proxies that no Debian package brings, from their published Go modules, each once per version. Their modules stay
// apart from the product's: a folder here is a module of its own.
package proxies

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Names of the proxies that the tests run. Envoy Gateway's translator is built when it is asked for by its name: `make samples` does.
var Names = []string{"caddy", "traefik"}

// packages to build, in the module of that name.
var packages = map[string]string{"caddy": ".", "traefik": "github.com/traefik/traefik/v3/cmd/traefik", "egctl": "github.com/envoyproxy/gateway/cmd/egctl"}

// prepare are what a module needs before it builds, besides its files.
var prepare = map[string]func(dir string) error{"traefik": trimLego}

// Program returns the path of a proxy's program. It is built when the cache, a folder of the user's, does not have it: that takes minutes.
// The working directory has to be within the repository.
func Program(name string) (string, error) {
	source, err := folder(name)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "sallyport", "proxies")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	digest, err := digestOf(source)
	if err != nil {
		return "", err
	}
	program := filepath.Join(cache, name+"-"+digest)
	unlock, err := lock(program + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	return program, build(name, source, program)
}

// folder finds the module's folder from anywhere in the repository.
func folder(name string) (string, error) {
	at, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; at = filepath.Dir(at) {
		dir := filepath.Join(at, "hack", "proxies", name)
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("hack/proxies/%s is not above the working directory", name)
		}
	}
}

// digestOf is what a program is cached by: the files of its module, go.sum among them.
func digestOf(dir string) (string, error) {
	sum := sha256.New()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(sum, "%s %d\n%s", entry.Name(), len(content), content)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil))[:16], err
}

// lock makes a second process wait for the first instead of building the same.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() { file.Close() }, nil
}

func build(name, source, program string) error {
	fmt.Fprintf(os.Stderr, "building %s (once; later runs take it from %s)\n", name, program)
	dir, err := os.MkdirTemp("", "sallyport-"+name)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		return err
	}
	if step := prepare[name]; step != nil {
		if err := step(dir); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	out := program + ".new"
	command := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, packages[name])
	command.Dir = dir
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("go build of %s: %w\n%s", name, err, output)
	}
	return os.Rename(out, program)
}
