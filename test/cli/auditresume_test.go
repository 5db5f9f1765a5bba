package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// behind is a clock that is a second behind the other pods': what it dates now is older than what an export has already.
type behind struct{ clock.PassiveClock }

func (behind) Now() time.Time { return time.Now().Add(-skew) }

// TestResumeAddsWhatIsMissing: with a file that broke off anywhere, and records that were committed since then under older identifiers.
func TestResumeAddsWhatIsMissing(t *testing.T) {
	w, database := newCluster(t), storetest.PostgresURL(t)
	w.serveOkta("--store", database)
	db := w.otherPod(database, "second", clock.RealClock{})
	fill(t, db, 1000, audit.Record{Type: audit.TypeSnapshotProgrammed})
	file := filepath.Join(t.TempDir(), "audit.ndjson")
	w.must(0, "audit", "export", "--file", file)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(content), "\n")
	fill(t, w.otherPod(database, "third", behind{}), 500, audit.Record{Type: audit.TypeSnapshotProgrammed})
	for name, begun := range map[string]string{
		"whole": string(content), "in the middle": strings.Join(lines[:500], ""), "in a line": strings.Join(lines[:700], "") + lines[700][:20], "nothing": "", "less than a line": lines[0][:20],
	} {
		if err := os.WriteFile(file, []byte(begun), 0o600); err != nil {
			t.Fatal(err)
		}
		w.must(0, "audit", "export", "--file", file, "--resume")
		if got := w.must(0, "audit", "verify", file); !strings.HasSuffix(got, ": no gaps, no changes\n") {
			t.Errorf("%s: %s", name, got)
		}
	}
	if err := os.WriteFile(file, []byte(lines[0]+"{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.fails([]string{"audit", "export", "--file", file, "--resume"}, "line 2 is not an audit record", "it is not an export")
	w.fails([]string{"audit", "export", "--resume"}, "--resume continues the file of --file")
}
