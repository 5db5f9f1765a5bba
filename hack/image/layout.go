package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// runLayout writes Sallyport for every architecture as one OCI image layout (image-spec, image-layout.md) and returns the digest of the
// index that a registry then has.
func runLayout(ctx context.Context, o options, sources []string) (digest string, err error) {
	if len(sources) > 0 {
		return "", errors.New("-layout is for Sallyport alone: other programs are of one architecture")
	}
	work, err := os.MkdirTemp("", "sallyport-image-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	index := v1.ImageIndex(empty.Index)
	for arch := range strings.SplitSeq(o.arch, ",") {
		out := filepath.Join(work, arch)
		if err := os.Mkdir(out, 0o755); err != nil {
			return "", err
		}
		programs, err := buildPrograms(ctx, out, arch, o.ldflags)
		if err != nil {
			return "", err
		}
		c, err := collect(ctx, programs, false)
		if err != nil {
			return "", err
		}
		image, err := newImage(c, o, arch, work)
		if err != nil {
			return "", err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	// Nothing of an earlier layout may stay in it.
	if err := os.RemoveAll(o.layout); err != nil {
		return "", err
	}
	// index.json lists one thing, the index of the architectures: skopeo refuses to choose among several, and crane would push index.json itself.
	if _, err := layout.Write(o.layout, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: index})); err != nil {
		return "", err
	}
	hash, err := index.Digest()
	return hash.String(), err
}
