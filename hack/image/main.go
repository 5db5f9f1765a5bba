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
	arch       string
	ldflags    string
	withLibs   bool
}

// list is a flag that may be given more than once.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func main() {
	var o options
	flag.StringVar(&o.output, "o", ".cluster/images/sallyport.tar", "archive to write, for docker load, ctr images import and kind load image-archive")
	flag.StringVar(&o.ref, "ref", "sallyport.dev/sallyport:dev", "name of the image")
	flag.StringVar(&o.entrypoint, "entrypoint", "/operator", "what it starts, as words")
	flag.StringVar(&o.user, "user", "65532:65532", "who it runs as")
	flag.StringVar(&o.workdir, "workdir", "/", "where it starts")
	flag.Var(&o.env, "env", "NAME=VALUE, may be repeated")
	flag.StringVar(&o.arch, "arch", runtime.GOARCH, "architecture")
	flag.StringVar(&o.ldflags, "ldflags", "-s -w", "linker flags for Sallyport's own programs")
	flag.BoolVar(&o.withLibs, "with-libs", false, "add the shared libraries of every dynamic program and module")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	digest, err := run(ctx, o, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
	fmt.Printf("%s %s %s\n", o.output, o.ref, digest)
}

func run(ctx context.Context, o options, sources []string) (digest string, err error) {
	if len(sources) == 0 {
		out, err := os.MkdirTemp("", "sallyport-image-")
		if err != nil {
			return "", err
		}
		defer os.RemoveAll(out)
		if sources, err = buildPrograms(ctx, out, o.arch, o.ldflags); err != nil {
			return "", err
		}
	}
	content := content{}
	if err := content.addBase(); err != nil {
		return "", err
	}
	for _, source := range sources {
		from, to, found := strings.Cut(source, "=")
		if !found {
			to = from
		}
		if !filepath.IsAbs(to) {
			return "", fmt.Errorf("%s: the path in the image must begin with /", source)
		}
		if err := content.add(from, to); err != nil {
			return "", err
		}
	}
	if o.withLibs {
		if err := content.addLibraries(ctx); err != nil {
			return "", err
		}
	}
	return write(content, o)
}
