package proxies

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// trimLego puts a copy of the ACME client's module beside Traefik's without the SDKs of a hundred DNS providers, as the replacement in go.mod says.
func trimLego(dir string) error {
	command := exec.Command("go", "list", "-mod=mod", "-m", "-json", "github.com/go-acme/lego/v5")
	command.Dir = dir
	out, err := command.Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	var module struct{ Version string }
	if err := json.Unmarshal(out, &module); err != nil {
		return err
	}
	command = exec.Command("go", "mod", "download", "-json", "github.com/go-acme/lego/v5@"+module.Version)
	command.Dir = os.TempDir()
	if out, err = command.Output(); err != nil {
		return fmt.Errorf("go mod download: %w\n%s", err, out)
	}
	var source struct{ Dir string }
	if err := json.Unmarshal(out, &source); err != nil {
		return err
	}
	lego := filepath.Join(dir, "lego")
	if err := copyTrimmed(source.Dir, lego); err != nil {
		return err
	}
	stub, err := os.ReadFile(filepath.Join(dir, "dns", "dns.go"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(lego, "providers", "dns"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(lego, "providers", "dns", "dns.go"), stub, 0o644); err != nil {
		return err
	}
	// What it needs stands in Traefik's own go.mod.
	return os.WriteFile(filepath.Join(lego, "go.mod"), []byte("module github.com/go-acme/lego/v5\n\ngo 1.25.0\n"), 0o644)
}

func copyTrimmed(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, from)
		switch {
		case entry.IsDir() && (name == "/providers/dns" || name == "/cmd" || name == "/e2e" || name == "/docs"):
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(to+name, 0o755)
		case filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to+name, content, 0o644)
	})
}
