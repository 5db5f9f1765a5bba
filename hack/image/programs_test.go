package main

import (
	"path/filepath"
	"testing"
)

// module is a folder with a Go module that has small programs of our names.
func module(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "go.mod"), "module example.com/x\n\ngo 1.26\n", 0o644)
	for _, name := range programs {
		writeFile(t, filepath.Join(dir, "cmd", name, "main.go"), "package main\n\nfunc main() { println(\""+name+"\") }\n", 0o644)
	}
	return dir
}

// Two checkouts in different folders must give the same image: that is how anyone can check one.
func TestProgramsAreReproducible(t *testing.T) {
	var digests []string
	for range 2 {
		t.Chdir(module(t))
		image, digest := build(t, options{entrypoint: "/operator", ldflags: "-s -w"})
		digests = append(digests, digest)
		texts, headers := unpack(t, image)
		for _, name := range programs {
			if len(texts["/"+name]) < 1<<10 || headers["/"+name].Mode != 0o755 {
				t.Errorf("/%s is not a program: %d bytes", name, len(texts["/"+name]))
			}
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("got %v", digests)
	}
}
