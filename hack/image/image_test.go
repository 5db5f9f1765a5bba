package main

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func writeFile(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func build(t *testing.T, o options, sources ...string) (v1.Image, string) {
	t.Helper()
	o.output, o.ref, o.user, o.workdir, o.arch = filepath.Join(t.TempDir(), "x.tar"), "example.com/x:1", "65532:65532", "/", "amd64"
	digest, err := run(t.Context(), o, sources)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(o.ref)
	if err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(o.output, &tag)
	if err != nil {
		t.Fatal(err)
	}
	return image, digest
}

// unpack returns what is in the image: text of files, "-> target" of links, "/" for folders.
func unpack(t *testing.T, image v1.Image) (texts map[string]string, headers map[string]*tar.Header) {
	t.Helper()
	texts, headers = map[string]string{}, map[string]*tar.Header{}
	archive := mutate.Extract(image)
	defer archive.Close()
	for in := tar.NewReader(archive); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return texts, headers
		}
		if err != nil {
			t.Fatal(err)
		}
		path := "/" + strings.TrimSuffix(header.Name, "/")
		headers[path] = header
		switch header.Typeflag {
		case tar.TypeDir:
			texts[path] = "/"
		case tar.TypeSymlink:
			texts[path] = "-> " + header.Linkname
		default:
			data, err := io.ReadAll(in)
			if err != nil {
				t.Fatal(err)
			}
			texts[path] = string(data)
		}
	}
}

func TestSameContentSameDigest(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/a/one", "1", 0o600)
	writeFile(t, dir+"/b/one", "1", 0o644)
	_, first := build(t, options{entrypoint: "/one"}, dir+"/a=/etc/x")
	_, second := build(t, options{entrypoint: "/one"}, dir+"/b=/etc/x")
	if first != second {
		t.Errorf("another folder, time and mode on this machine changes the digest: %s, %s", first, second)
	}
	writeFile(t, dir+"/b/one", "2", 0o644)
	if _, third := build(t, options{entrypoint: "/one"}, dir+"/b=/etc/x"); third == first {
		t.Error("other content has the same digest")
	}
}

func TestImageIsReadyToRun(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/program", "binary", 0o700)
	writeFile(t, dir+"/secret", "text", 0o600)
	image, _ := build(t, options{entrypoint: "/program serve", env: list{"A=b"}}, dir+"/program=/program", dir+"/secret=/etc/secret")
	conf, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(conf.Config.Entrypoint, []string{"/program", "serve"}) || conf.Config.User != "65532:65532" ||
		!slices.Contains(conf.Config.Env, "A=b") || conf.OS != "linux" || conf.Architecture != "amd64" {
		t.Errorf("got %+v", conf.Config)
	}
	texts, headers := unpack(t, image)
	for path, mode := range map[string]int64{"/program": 0o755, "/etc/secret": 0o644, "/etc": 0o755, "/tmp": 0o1777, caBundle: 0o644} {
		if headers[path] == nil || headers[path].Mode != mode || headers[path].Uid != 0 {
			t.Errorf("%s: got %+v, want mode %o", path, headers[path], mode)
		}
	}
	if !strings.Contains(texts["/etc/passwd"], "nonroot:x:65532:65532:") {
		t.Errorf("/etc/passwd is %q", texts["/etc/passwd"])
	}
}

// Debian's packages link from one folder into others; an image of the first alone would not run.
func TestLinksOutOfAFolderBringTheirTargets(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir+"/etc/app/config.php", "config", 0o640)
	writeFile(t, dir+"/app/www/index.php", "index", 0o644)
	for link, to := range map[string]string{
		"/app/config": dir + "/etc/app", "/app/start": "www/index.php", "/app/none": "/does/not/exist", "/etc/app/back": dir + "/app",
	} {
		if err := os.Symlink(to, dir+link); err != nil {
			t.Fatal(err)
		}
	}
	image, _ := build(t, options{entrypoint: "/x"}, dir+"/app=/srv/app")
	texts, _ := unpack(t, image)
	for path, want := range map[string]string{
		"/srv/app/www/index.php":    "index",
		"/srv/app/config":           "-> " + dir + "/etc/app",
		dir + "/etc/app/config.php": "config",
		"/srv/app/start":            "-> /srv/app/www/index.php",
		"/srv/app/none":             "-> /does/not/exist",
		dir + "/etc/app/back":       "-> " + dir + "/app",
		dir + "/app/www/index.php":  "index",
		"/srv/app/www":              "/",
	} {
		if texts[path] != want {
			t.Errorf("%s: got %q, want %q", path, texts[path], want)
		}
	}
}

func TestLaterSourcesWin(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/tree/conf", "packaged", 0o644)
	writeFile(t, dir+"/conf", "ours", 0o644)
	image, _ := build(t, options{entrypoint: "/x"}, dir+"/tree=/etc/x", dir+"/conf=/etc/x/conf")
	if texts, _ := unpack(t, image); texts["/etc/x/conf"] != "ours" {
		t.Errorf("got %q", texts["/etc/x/conf"])
	}
}

// A dynamic program must find all its libraries inside the image.
func TestLibrariesComeAlong(t *testing.T) {
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ldd", shell).CombinedOutput()
	if err != nil {
		t.Fatalf("ldd: %v: %s", err, out)
	}
	wanted, err := parseLdd(string(out))
	if err != nil || len(wanted) < 2 {
		t.Fatalf("ldd says %q: %v %v", out, wanted, err)
	}
	image, _ := build(t, options{entrypoint: "/bin/sh", withLibs: true}, shell+"=/bin/sh")
	texts, _ := unpack(t, image)
	for _, library := range wanted {
		if !strings.HasPrefix(texts[library], "\x7fELF") {
			t.Errorf("%s is not in the image", library)
		}
	}
}

func TestParseLdd(t *testing.T) {
	got, err := parseLdd("\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x2)\n\t/lib64/ld-linux-x86-64.so.2 (0x3)\n")
	if want := []string{"/lib/x/libc.so.6", "/lib64/ld-linux-x86-64.so.2"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseLdd("\tlibmissing.so.1 => not found\n"); err == nil || !strings.Contains(err.Error(), "libmissing.so.1") {
		t.Errorf("a missing library: %v", err)
	}
	if got, err := parseLdd("\tstatically linked\n"); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestRefusesARelativePathInTheImage(t *testing.T) {
	_, err := run(t.Context(), options{output: filepath.Join(t.TempDir(), "x.tar"), ref: "example.com/x:1"}, []string{"/etc/hosts=etc/hosts"})
	if err == nil || !strings.Contains(err.Error(), "must begin with /") {
		t.Errorf("got %v", err)
	}
}
