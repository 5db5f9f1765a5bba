package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// epoch is the time of everything in the image, so that the same content has the same digest.
var epoch = time.Unix(0, 0).UTC()

// archive writes the image to a file for docker load, ctr images import and kind load, and returns its digest.
func archive(image v1.Image, o options) (digest string, err error) {
	ref, err := name.NewTag(o.ref)
	if err != nil {
		return "", err
	}
	hash, err := image.Digest()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(o.output), 0o755); err != nil {
		return "", err
	}
	// Under another name first: nobody may load half an archive.
	unfinished := o.output + ".tmp"
	if err := tarball.WriteToFile(unfinished, ref, image); err != nil {
		return "", errors.Join(err, os.Remove(unfinished))
	}
	return hash.String(), os.Rename(unfinished, o.output)
}

// newImage makes an image of one layer, which is kept in the folder work until the image is written.
func newImage(c content, o options, arch, work string) (v1.Image, error) {
	layerFile, err := os.CreateTemp(work, "layer-")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(writeTar(layerFile, c), layerFile.Close()); err != nil {
		return nil, err
	}
	// Fast rather than small: most of these archives are loaded on the machine that made them.
	layer, err := tarball.LayerFromFile(layerFile.Name(), tarball.WithCompressionLevel(gzip.BestSpeed), tarball.WithCompressedCaching, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	nothing := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(nothing, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "hack/image"},
	})
	if err != nil {
		return nil, err
	}
	conf, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	conf = conf.DeepCopy()
	conf.OS, conf.Architecture, conf.Created = "linux", arch, v1.Time{Time: epoch}
	conf.Config = v1.Config{
		Entrypoint: strings.Fields(o.entrypoint),
		User:       o.user,
		WorkingDir: o.workdir,
		Env:        append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/"}, o.env...),
		Labels:     o.labels.pairs(),
	}
	return mutate.ConfigFile(image, conf)
}

func writeTar(w io.Writer, c content) error {
	out := tar.NewWriter(w)
	for _, path := range slices.Sorted(maps.Keys(c)) {
		if path == "/" {
			continue
		}
		if err := writeEntry(out, path, c[path]); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return out.Close()
}

func writeEntry(out *tar.Writer, path string, f file) error {
	header := &tar.Header{Name: strings.TrimPrefix(path, "/"), Mode: int64(f.mode.Perm()), ModTime: epoch, Format: tar.FormatPAX}
	if f.mode&fs.ModeSticky != 0 {
		header.Mode |= 0o1000
	}
	switch {
	case f.isDir():
		header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
		return out.WriteHeader(header)
	case f.link != "":
		header.Typeflag, header.Linkname = tar.TypeSymlink, f.link
		return out.WriteHeader(header)
	case f.source == "":
		header.Typeflag, header.Size = tar.TypeReg, int64(len(f.text))
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		_, err := io.WriteString(out, f.text)
		return err
	}
	source, err := os.Open(f.source)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	header.Typeflag, header.Size = tar.TypeReg, info.Size()
	if err := out.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(out, source)
	return err
}
