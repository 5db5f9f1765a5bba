// Command image writes container images without a container engine: an empty base, one layer, the
// same bytes for the same input. Without files it builds the image of Sallyport.
//
//	image                                            .cluster/images/sallyport.tar
//	image -o x.tar -ref example.com/x:1 -entrypoint /x FILE=/x DIR=/etc/x /usr/share/x
//	image -with-libs -o n.tar -ref example.com/n:1 -entrypoint /usr/sbin/nginx /usr/sbin/nginx /etc/nginx
//
// SOURCE=PATH puts a file or a folder at PATH; SOURCE alone keeps its own path; of two that meet, the
// later wins.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
)

// options say what the image is called and how it starts.
type options struct {
	output     string
	ref        string
	entrypoint string // words, separated by blanks
	user       string
	workdir    string
	env        list
	labels     list
	arch       string
	layout     string
	ldflags    string
	withLibs   bool
}

// list is a flag that may be given more than once.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// pairs are the values NAME=VALUE by name; nil for none.
func (l *list) pairs() map[string]string {
	var all map[string]string
	for _, one := range *l {
		if all == nil {
			all = map[string]string{}
		}
		name, value, _ := strings.Cut(one, "=")
		all[name] = value
	}
	return all
}

func main() {
	var o options
	flag.StringVar(&o.output, "o", ".cluster/images/sallyport.tar", "archive to write, for docker load, ctr images import and kind load image-archive")
	flag.StringVar(&o.ref, "ref", "sallyport.dev/sallyport:dev", "name of the image")
	flag.StringVar(&o.entrypoint, "entrypoint", "/operator", "what it starts, as words")
	flag.StringVar(&o.user, "user", "65532:65532", "who it runs as")
	flag.StringVar(&o.workdir, "workdir", "/", "where it starts")
	flag.Var(&o.env, "env", "NAME=VALUE, may be repeated")
	flag.Var(&o.labels, "label", "label of the image, NAME=VALUE, may be repeated")
	flag.StringVar(&o.arch, "arch", runtime.GOARCH, "architecture; several, with commas between them, with -layout")
	flag.StringVar(&o.layout, "layout", "", "write an OCI image layout with Sallyport for every architecture to this folder instead, for skopeo copy --all oci:FOLDER and crane push FOLDER")
	flag.StringVar(&o.ldflags, "ldflags", "-s -w", "linker flags for Sallyport's own programs")
	flag.BoolVar(&o.withLibs, "with-libs", false, "add the shared libraries of every dynamic program and module")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	do, output := run, o.output
	if o.layout != "" {
		do, output = runLayout, o.layout
	}
	digest, err := do(ctx, o, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
	fmt.Printf("%s %s %s\n", output, o.ref, digest)
}

// run writes one image, of the sources or else of Sallyport, and returns its digest.
func run(ctx context.Context, o options, sources []string) (digest string, err error) {
	work, err := os.MkdirTemp("", "sallyport-image-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if len(sources) == 0 {
		if sources, err = buildPrograms(ctx, work, o.arch, o.ldflags); err != nil {
			return "", err
		}
	}
	c, err := collect(ctx, sources, o.withLibs)
	if err != nil {
		return "", err
	}
	image, err := newImage(c, o, o.arch, work)
	if err != nil {
		return "", err
	}
	return archive(image, o)
}

// collect gathers what is in the image.
func collect(ctx context.Context, sources []string, withLibs bool) (content, error) {
	c := content{}
	if err := c.addBase(); err != nil {
		return nil, err
	}
	for _, source := range sources {
		from, to, found := strings.Cut(source, "=")
		if !found {
			to = from
		}
		if !filepath.IsAbs(to) {
			return nil, fmt.Errorf("%s: the path in the image must begin with /", source)
		}
		if err := c.add(from, to); err != nil {
			return nil, err
		}
	}
	if withLibs {
		if err := c.addLibraries(ctx); err != nil {
			return nil, err
		}
	}
	return c, nil
}
