package main

import (
	"context"
	"debug/elf"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
)

// addLibraries adds the shared libraries that the dynamic programs and modules in the image need, at
// the paths where the dynamic linker of this machine finds them.
func (c content) addLibraries(ctx context.Context) error {
	for _, path := range slices.Sorted(maps.Keys(c)) {
		if c[path].source == "" || !isDynamic(c[path].source) {
			continue
		}
		out, err := exec.CommandContext(ctx, "ldd", c[path].source).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ldd %s: %w: %s", c[path].source, err, out)
		}
		libraries, err := parseLdd(string(out))
		if err != nil {
			return fmt.Errorf("%s: %w", c[path].source, err)
		}
		for _, library := range libraries {
			if _, found := c[library]; !found {
				c.put(library, file{source: library, mode: 0o755})
			}
		}
	}
	return nil
}

func isDynamic(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return f.Section(".dynamic") != nil
}

// parseLdd returns the paths in the output of ldd.
func parseLdd(out string) (paths []string, err error) {
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		switch {
		case strings.Contains(line, "not found"):
			return nil, fmt.Errorf("library %s is not on this machine", fields[0])
		case len(fields) >= 3 && fields[1] == "=>" && strings.HasPrefix(fields[2], "/"):
			paths = append(paths, fields[2])
		case len(fields) >= 1 && strings.HasPrefix(fields[0], "/"): // the dynamic linker itself
			paths = append(paths, fields[0])
		}
	}
	return paths, nil
}
