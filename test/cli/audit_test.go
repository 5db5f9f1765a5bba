package cli

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	_ "modernc.org/sqlite"

	"sallyport.dev/sallyport/internal/cli"
	"sallyport.dev/sallyport/test/internal/await"
)

func TestTheAuditLogAnswers(t *testing.T) {
	w := newWorld(t)
	w.browser().signIn("alice@acme.example")
	w.must(0, "users", "suspend", "alice@acme.example")
	table := w.must(0, "audit", "--since", "90d", "--type", "user_suspended,user_created_jit", "-o", "table")
	contains(t, table, "TIME", "user_created_jit", "user_suspended", "admin@acme.example", "user/alice@acme.example")
	if lines := strings.Split(table, "\n"); len(lines) != 4 || strings.Index(table, "user_created_jit") > strings.Index(table, "user_suspended") {
		t.Errorf("%s", table)
	}
	if got := w.must(0, "audit", "--actor", "alice@acme.example", "-o", "ndjson"); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"user_signed_in_saml"`) {
		t.Errorf("%s", got)
	}
	if got := w.must(0, "audit", "--idp", "idp/okta", "--outcome", "denied", "-o", "json"); got != "[]\n" {
		t.Errorf("%s", got)
	}
	var all []struct{ Type string }
	if err := json.Unmarshal([]byte(w.must(0, "audit", "-o", "json")), &all); err != nil || len(all) < 4 {
		t.Errorf("%+v %v", all, err)
	}
	if got := w.sso("audit", "--limit", "1"); got.code != 0 || strings.Count(got.stdout, "\n") != 2 || !strings.Contains(got.stderr, "--limit 0") {
		t.Errorf("%+v", got)
	}
	// That somebody asked, and who, is a record too.
	contains(t, w.must(0, "audit", "--type", "audit_queried"), "admin@acme.example")
	for _, c := range [][]string{
		{"--type", "user_suspend", `"user_suspend" is not a type of record (there is user_suspended)`},
		{"--outcome", "bad", `--outcome "bad": write one of success, failure, denied`},
		{"--since", "soon", `--since "soon" is neither a duration such as 90d`},
		{"-o", "csv", `--output "csv": write one of table, json, ndjson`},
		{"--idp", "sp/a", "write idp/NAME"},
	} {
		w.fails([]string{"audit", c[0], c[1]}, c[2])
	}
	w.fails([]string{"audit", "--follow", "-o", "json"}, "write -o ndjson")
	w.fails([]string{"audit", "tail"}, `unknown command "tail"`)
}

func TestFollowGoesOnThroughARestart(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	var out watched
	out.changed = make(chan struct{}, 1)
	done := make(chan int)
	go func() {
		done <- cli.Run(ctx, []string{"audit", "--follow", "--type", "user_created_jit", "-o", "ndjson", "--kubeconfig", w.kubeconfig, "-n", w.ns}, cli.Options{Out: &out, Err: &bytes.Buffer{}, Forward: w})
	}()
	sees := func(email string) {
		t.Helper()
		for !strings.Contains(out.String(), email) {
			select {
			case <-out.changed:
			case <-t.Context().Done():
				t.Fatal("the test ended")
			}
		}
	}
	await.Until(w.t, "the question to be recorded", func() bool { return strings.Contains(w.api("/v1/audit?type=audit_queried"), "follow") })
	w.browser().signIn("alice@acme.example")
	sees("alice@acme.example")
	// The same ports again, as a port-forward would find the pod that came back.
	w.process.Stop()
	w.start()
	w.browser().signIn("bob@acme.example")
	sees("bob@acme.example")
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("exit %d", code)
	}
	if got := out.String(); strings.Count(got, "alice@acme.example") != 1 || strings.Count(got, "\n") != 2 {
		t.Errorf("%s", got)
	}
}

// watched tells of every write.
type watched struct {
	mutex   sync.Mutex
	buffer  bytes.Buffer
	changed chan struct{}
}

func (b *watched) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
	return b.buffer.Write(p)
}

func (b *watched) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.String()
}

func TestVerifyFindsWhatWasTamperedWith(t *testing.T) {
	w := newWorld(t)
	w.browser().signIn("alice@acme.example")
	w.process.Stop() // in good order, so that a checkpoint seals what there is
	w.start()
	w.browser().signIn("bob@acme.example")
	got := w.must(0, "audit", "verify")
	if !strings.HasPrefix(got, "verified ") || !strings.HasSuffix(got, ": no gaps, no changes\n") || strings.Contains(got, " 0 checkpoints") {
		t.Errorf("%s", got)
	}
	contains(t, w.must(0, "audit", "verify", "--since", "1h"), "no gaps, no changes")

	file := filepath.Join(t.TempDir(), "audit.ndjson")
	if got := w.sso("audit", "export", "--file", file); got.code != 0 || !strings.Contains(got.stderr, "records exported") {
		t.Fatalf("%+v", got)
	}
	w.fails([]string{"audit", "export", "--file", file}, "exists already", "--resume")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, w.must(0, "audit", "verify", file), "no gaps, no changes")
	lines := strings.SplitAfter(strings.TrimSuffix(string(content), "\n")+"\n", "\n")
	lines = lines[:len(lines)-1]
	for name, tampered := range map[string]string{
		"changed":   strings.Replace(string(content), "alice@acme.example", "alicf@acme.example", 1),
		"missing":   lines[0] + strings.Join(lines[2:], ""),
		"reordered": lines[0] + lines[2] + lines[1] + strings.Join(lines[3:], ""),
		"truncated": strings.Join(lines[:2], ""),
		"malformed": lines[0] + "{}\n" + strings.Join(lines[1:], ""),
	} {
		bad := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(bad, []byte(tampered), 0o600); err != nil {
			t.Fatal(err)
		}
		found := w.must(1, "audit", "verify", "--proof", file+".proof", bad)
		contains(t, found, name+" (", "found\n")
	}
	// No cluster is needed where there is a proof, and the stream may come in.
	offline := &world{t: t, ns: w.ns, kubeconfig: "/nonexistent"}
	contains(t, offline.must(0, "audit", "verify", file), "no gaps, no changes")

	// What broke off goes on after its last whole record.
	if err := os.WriteFile(file, []byte(strings.Join(lines[:2], "")+lines[2][:20]), 0o600); err != nil {
		t.Fatal(err)
	}
	w.must(0, "audit", "export", "--file", file, "--resume")
	contains(t, w.must(0, "audit", "verify", file), "no gaps, no changes")

	// Somebody with access to the database.
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "sso.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`UPDATE audit_records SET line = replace(line, 'bob@acme.example', 'eve@acme.example') WHERE type = 'user_created_jit'`); err != nil {
		t.Fatal(err)
	}
	contains(t, w.must(1, "audit", "verify"), "changed (", "1 fault found")
	var report struct {
		Faults   int
		Findings []struct{ Kind string }
	}
	if err := json.Unmarshal([]byte(w.must(1, "audit", "verify", "-o", "json")), &report); err != nil || report.Faults != 1 || report.Findings[0].Kind != "changed" {
		t.Errorf("%+v %v", report, err)
	}
}
