package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// TestAPartOfTheLogIsProved: an export of some hours verifies against the proof of these hours, and says what that proves and what not. What is taken from its beginning or its
// end is found.
func TestAPartOfTheLogIsProved(t *testing.T) {
	t.Run("PostgreSQL", func(t *testing.T) { provePart(t, storetest.PostgresURL(t)) })
	t.Run("SQLite", func(t *testing.T) { provePart(t, "sqlite://"+filepath.Join(t.TempDir(), "store.db")) })
}

func provePart(t *testing.T, database string) {
	w := newCluster(t)
	w.serveOkta("--store", database)
	w.process.Stop() // one process at a time has a SQLite file
	now := time.Now().UTC().Truncate(time.Second)
	for name, ago := range map[string][]time.Duration{"gone": {4 * time.Hour}, "second": {4 * time.Hour, 2 * time.Hour, 0}, "third": {2 * time.Hour}} {
		clock := testclock.NewFakeClock(now)
		db := w.otherPod(database, name, clock)
		for _, d := range ago {
			clock.SetTime(now.Add(-d))
			fill(t, db, 500, audit.Record{Type: audit.TypeSnapshotProgrammed})
			if err := db.SealAudit(t.Context(), true); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	w.start()
	since, until := now.Add(-3*time.Hour).Format(time.RFC3339), now.Add(-time.Hour).Format(time.RFC3339)
	export := func(flags ...string) (file string) {
		t.Helper()
		file = filepath.Join(t.TempDir(), "part.ndjson")
		w.must(0, append([]string{"audit", "export", "--file", file}, flags...)...)
		return file
	}
	// The part is in the middle of one chain and is all of another; a third writer has none of it.
	part := export("--since", since, "--until", until)
	contains(t, w.must(0, "audit", "verify", part), "verified 1002 records of 2 writers, 2 checkpoints", ": no gaps, no changes\n", "proved: these are all records from "+since+" on before "+until+" that the service provider had at ",
		"not proved: anything about records from before "+since+"\n", "not proved: anything about records from "+until+" on\n")
	contains(t, w.must(0, "audit", "verify", export("--since", since)), ": no gaps, no changes\n", "proved: these are all records from "+since+" on that")
	contains(t, w.must(0, "audit", "verify", export("--until", until)), ": no gaps, no changes\n", "not proved: anything about records from "+until+" on\n")
	if whole := w.must(0, "audit", "verify", export()); strings.Contains(whole, "proved") {
		t.Errorf("%s", whole)
	}
	contains(t, w.must(0, "audit", "verify", "--since", "3h"), ": no gaps, no changes\n", "not proved: anything about records from before ")
	kept := filepath.Join(t.TempDir(), "kept.json")
	if err := os.WriteFile(kept, []byte(w.must(0, "audit", "proof")), 0o600); err != nil {
		t.Fatal(err)
	}
	contains(t, w.must(0, "audit", "verify", "--since", "3h", "--proof", kept), ": no gaps, no changes\n")

	content, err := os.ReadFile(part)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(content), "\n")+"\n", "\n")
	lines = lines[:len(lines)-1]
	without := func(writer string, first bool) string {
		of := -1
		for i, l := range lines {
			if strings.Contains(l, `"writer":"`+writer+`/0","hash":`) && (of < 0 || !first) {
				of = i
			}
		}
		return strings.Join(lines[:of], "") + strings.Join(lines[of+1:], "")
	}
	only := func(writer string) (all string) {
		for _, l := range lines {
			if strings.Contains(l, `"writer":"`+writer+`/0","hash":`) {
				all += l
			}
		}
		return all
	}
	for _, c := range []struct{ name, content, finding string }{
		{"the beginning", without("second", true), "cut_beginning ("}, {"the beginning of a whole chain", without("third", true), "cut_beginning ("},
		{"the end", without("second", false), "truncated ("}, {"a writer", only("second"), "truncated ("},
	} {
		bad := filepath.Join(t.TempDir(), "bad.ndjson")
		if err := os.WriteFile(bad, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		got := w.must(1, "audit", "verify", "--proof", part+".proof", bad)
		contains(t, got, c.finding, "not proved: ")
		if strings.Contains(got, "\nproved: ") {
			t.Errorf("%s: %s", c.name, got)
		}
		// Without the proof only what a checkpoint says can be known, and that is said.
		contains(t, w.sso("audit", "verify", "--partial", bad).stdout, "not proved: that nothing is missing before the first and after the last record of each writer",
			"not proved: that no other writer is missing\n")
	}
	var report struct{ NotProved []string }
	if err := json.Unmarshal([]byte(w.must(0, "audit", "verify", "-o", "json", part)), &report); err != nil || len(report.NotProved) != 2 {
		t.Errorf("%+v, %v", report, err)
	}
}
