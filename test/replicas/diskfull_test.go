package replicas

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
	"sallyport.dev/sallyport/test/internal/await"
)

// TestTheDiskIsFull lets the volume of SQLite run full: those signed in stay so, everybody else gets a page that says so, and when there is space again everything goes
// on, with nothing half written.
func TestTheDiskIsFull(t *testing.T) {
	disk := smallDisk(t, "6m")
	r := newRig(t, "sqlite://"+filepath.Join(disk, "store.db"))
	p := r.start()
	alice, bob := r.browser(p), r.browser(p)
	if !alice.signIn("alice@acme.example") || alice.check(p) != http.StatusOK {
		t.Fatal("alice is not signed in")
	}
	halfway, got := bob.begin("bob@acme.example")
	if halfway == nil {
		t.Fatal(got)
	}

	fill(t, filepath.Join(disk, "filler"))
	unavailable := func(what string, got answer) {
		t.Helper()
		if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "Please try again in a moment") {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
	for i := range 5 {
		if code := alice.check(p); code != http.StatusOK {
			t.Fatalf("alice gets %d", code)
		}
		unavailable("an answer of the IdP", bob.finish(halfway, "bob@acme.example"))
		if i == 0 {
			_, got := r.browser(p).begin("carol@acme.example")
			unavailable("a new sign-in", got)
		}
	}
	await.Until(t, "readiness tells", func() bool { return p.probe("/readyz") == http.StatusServiceUnavailable })
	if p.probe("/healthz") != http.StatusOK || p.probe("/readyz?exclude=store") != http.StatusOK {
		t.Error("the process is taken for dead, or out of its Service, because of the store")
	}

	if err := os.Remove(filepath.Join(disk, "filler")); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "readiness recovers", func() bool { return p.probe("/readyz") == http.StatusOK })
	if got := bob.finish(halfway, "bob@acme.example"); got.location != appURL {
		t.Errorf("with space again: %d %q %s", got.status, got.location, got.body)
	}
	if code := alice.check(p); code != http.StatusOK {
		t.Errorf("alice gets %d", code)
	}
	p.Kill()
	db := storetest.Open(t, r.storeURL, store.Options{AuditWriter: "checker"})
	if users := r.holdsTogether(db, map[string]bool{"alice@acme.example": true, "bob@acme.example": true}); len(users) != 2 {
		t.Errorf("users %v", users)
	}
	r.verifyAudit(db)
}

// smallDisk is a filesystem of its own that holds no more than size.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		if os.Geteuid() != 0 {
			t.Skip("mounting a small filesystem takes root")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill writes until nothing more fits.
func fill(t *testing.T, name string) {
	t.Helper()
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, size := range []int{64 << 10, 4 << 10, 1} {
		for block := make([]byte, size); err == nil; {
			_, err = file.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		err = nil
	}
}
