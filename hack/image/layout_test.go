package main

import (
	"bytes"
	"debug/elf"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// TestALayoutHasEveryArchitecture reads the layout as a registry's client would.
func TestALayoutHasEveryArchitecture(t *testing.T) {
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	var digests []string
	for range 2 {
		t.Chdir(module(t))
		o := options{layout: filepath.Join(t.TempDir(), "image"), arch: "amd64,arm64", entrypoint: "/operator", user: "65532:65532", workdir: "/", ldflags: "-s -w",
			labels: list{"org.opencontainers.image.version=v1.2.3"}}
		digest, err := runLayout(t.Context(), o, nil)
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest)
		index := only(t, o.layout)
		if pushed, err := index.Digest(); err != nil || pushed.String() != digest {
			t.Errorf("a registry would have %s (%v), and %s was printed", pushed, err, digest)
		}
		manifest, err := index.IndexManifest()
		if err != nil || len(manifest.Manifests) != len(machines) {
			t.Fatalf("the index has %v (%v)", manifest, err)
		}
		for _, descriptor := range manifest.Manifests {
			image, err := index.Image(descriptor.Digest)
			if err != nil {
				t.Fatal(err)
			}
			isFor(t, image, descriptor.Platform.Architecture, machines[descriptor.Platform.Architecture])
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("two checkouts give %v", digests)
	}
	if _, err := runLayout(t.Context(), options{layout: t.TempDir(), arch: "amd64"}, []string{"/etc/hosts"}); err == nil {
		t.Error("a layout of other files was written")
	}
}

// only is the one thing that the layout lists: clients refuse to choose among several.
func only(t *testing.T, folder string) v1.ImageIndex {
	t.Helper()
	all, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	listed, err := all.IndexManifest()
	if err != nil || len(listed.Manifests) != 1 || listed.Manifests[0].MediaType != types.OCIImageIndex {
		t.Fatalf("the layout lists %+v (%v)", listed, err)
	}
	index, err := all.ImageIndex(listed.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// isFor holds that the configuration and the programs are of the architecture.
func isFor(t *testing.T, image v1.Image, arch string, machine elf.Machine) {
	t.Helper()
	manifest, err := image.Manifest()
	if err != nil || manifest.MediaType != types.OCIManifestSchema1 || manifest.Config.MediaType != types.OCIConfigJSON || manifest.Layers[0].MediaType != types.OCILayer {
		t.Errorf("%s: an OCI layout has something else than OCI's: %+v (%v)", arch, manifest, err)
	}
	conf, err := image.ConfigFile()
	if err != nil || conf.Architecture != arch || conf.Config.Labels["org.opencontainers.image.version"] != "v1.2.3" || conf.Config.User != "65532:65532" {
		t.Errorf("%s: the configuration is %+v (%v)", arch, conf, err)
	}
	texts, _ := unpack(t, image)
	for _, name := range programs {
		program, err := elf.NewFile(bytes.NewReader([]byte(texts["/"+name])))
		if err != nil || program.Machine != machine {
			t.Errorf("%s: /%s is no program for it: %v", arch, name, err)
		}
	}
}
