// Package modcache finds files that come inside of Go modules, so that tests read other projects' test data where it is and no copy
// of it is kept.
package modcache

import (
	"fmt"
	"os/exec"
	"strings"
)

// Dir is the directory of a module of this build in the module cache.
func Dir(module string) (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("modcache: go list -m %s: %w", module, err)
	}
	dir := strings.TrimSpace(string(out))
	if dir == "" {
		return "", fmt.Errorf("modcache: %s is not in the module cache: run go mod download", module)
	}
	return dir, nil
}
