package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ctr talks to our own containerd, in the namespace that the kubelet uses.
func ctr(ctx context.Context, d dirs, args ...string) (string, error) {
	return command(ctx, "ctr", append([]string{"--address", containerdSocket(d), "--namespace", "k8s.io"}, args...)...)
}

func containerdSocket(d dirs) string { return filepath.Join(d.run, "containerd.sock") }

// nodeImages are the images that a node starts with: one program each.
var nodeImages = []struct{ program, ref string }{
	{"pause", pauseImage}, {"coredns", dnsImage}, {"probe", probeImage},
}

// buildNodeAssets brings all that a node runs into the cache.
func buildNodeAssets(ctx context.Context, d dirs) error {
	if err := buildAssets(ctx, d, forNode); err != nil {
		return err
	}
	return buildNodeImages(ctx, d)
}

// buildNodeImages packs them into archives beside the programs, unless they are newer than those.
func buildNodeImages(ctx context.Context, d dirs) error {
	for _, image := range nodeImages {
		program, archive := d.asset(image.program), d.asset(image.program+".tar")
		from, err := os.Stat(program)
		if err != nil {
			return err
		}
		if have, err := os.Stat(archive); err == nil && have.ModTime().After(from.ModTime()) {
			continue
		}
		step("packing the image %s", image.ref)
		inside := "/" + image.program
		if err := shown(ctx, d.root, "go", "run", "./hack/image", "-o", archive, "-ref", image.ref,
			"-entrypoint", inside, program+"="+inside); err != nil {
			return err
		}
	}
	return nil
}

// loadNodeImages imports those that containerd does not have.
func loadNodeImages(ctx context.Context, d dirs) error {
	have, err := ctr(ctx, d, "images", "list", "--quiet")
	if err != nil {
		return err
	}
	for _, image := range nodeImages {
		if strings.Contains(have+"\n", image.ref+"\n") {
			continue
		}
		if err := importImage(ctx, d, d.asset(image.program+".tar")); err != nil {
			return err
		}
	}
	return nil
}

func importImage(ctx context.Context, d dirs, archive string) error {
	if _, err := os.Stat(archive); err != nil {
		return fmt.Errorf("image archive: %w", err)
	}
	step("loading %s", archive)
	_, err := ctr(ctx, d, "images", "import", archive)
	return err
}
