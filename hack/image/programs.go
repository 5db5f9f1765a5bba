package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// programs are what the one image of Sallyport carries.
var programs = []string{"operator", "serviceprovider", "kubectl-sso"}

// buildPrograms compiles them from the module in the working directory into out and returns where
// they go in the image. -trimpath makes the bytes independent of the checkout's folder.
func buildPrograms(ctx context.Context, out, arch, ldflags string) (sources []string, err error) {
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags, "-o", out + string(filepath.Separator)}
	for _, name := range programs {
		args = append(args, "./cmd/"+name)
		sources = append(sources, filepath.Join(out, name)+"=/"+name)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return sources, nil
}
