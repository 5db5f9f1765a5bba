package samlp

import (
	"bytes"
	"strings"
	"testing"
)

// TestMissingNpmIsAnError: where npm is not installed, tests fail and say so; they are not left out.
func TestMissingNpmIsAnError(t *testing.T) {
	t.Setenv("PATH", "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	if _, err := install(); err == nil || !strings.Contains(err.Error(), "npm") {
		t.Errorf("without npm: %v", err)
	}
}

// TestLockNamesDigestsAndNoHost: what is installed is fixed by digests, and comes from the registry that npm is set up with.
func TestLockNamesDigestsAndNoHost(t *testing.T) {
	packages := bytes.Count(lock, []byte(`"node_modules/`))
	if digests := bytes.Count(lock, []byte(`"integrity": "sha512-`)); packages == 0 || digests != packages {
		t.Errorf("%d packages and %d digests", packages, digests)
	}
	if bytes.Contains(lock, []byte(`"resolved"`)) {
		t.Error("package-lock.json names where packages were downloaded from: npm install --omit-lockfile-registry-resolved")
	}
}
