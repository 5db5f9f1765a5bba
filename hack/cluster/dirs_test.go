package main

import (
	"os"
	"path/filepath"
	"testing"
)

// A folder of several checkouts that share one .cluster by a link: mounts are listed by the real path, and have to be found.
func TestALinkedHomeIsFollowed(t *testing.T) {
	shared, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	checkout := t.TempDir()
	if err := os.WriteFile(filepath.Join(checkout, "go.mod"), []byte("module sallyport.dev/sallyport\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(shared, filepath.Join(checkout, ".cluster")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(checkout)
	d, err := findDirs()
	if err != nil || d.state != filepath.Join(shared, "state") {
		t.Errorf("the state is in %s, not below %s (%v)", d.state, shared, err)
	}
}
