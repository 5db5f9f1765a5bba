package cli

import (
	"crypto/ed25519"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/audit"
)

// newAuditKey makes another key for the process to start with.
func (w *world) newAuditKey(name string) ed25519.PrivateKey {
	w.t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.auditKey = filepath.Join(w.dir, name)
	if err := os.WriteFile(w.auditKey, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return key
}

// sealed signs somebody in and has a checkpoint seal it.
func (w *world) sealed(email string) {
	w.t.Helper()
	w.browser().signIn(email)
	w.process.Stop()
	w.start()
}

// keep writes a proof of now to a file.
func (w *world) keep(name string) string {
	w.t.Helper()
	file := filepath.Join(w.dir, name)
	if err := os.WriteFile(file, []byte(w.must(0, "audit", "proof")), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
}

// TestACheckpointOfAnotherKeyIsLocated: whoever replaces the key can sign another log, and whoever has kept the old public key sees it. A key that the old one has
// introduced is as good as that.
func TestACheckpointOfAnotherKeyIsLocated(t *testing.T) {
	w := newWorld(t)
	w.process.Stop()
	first := w.newAuditKey("first.pem")
	w.start()
	w.sealed("alice@acme.example")
	kept := w.keep("kept.json")

	// In good order: the new key comes with what the old one says of it.
	second := w.newAuditKey("second.pem")
	succession, err := audit.Succeed(first, second.Public().(ed25519.PublicKey), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal([]audit.Succession{succession})
	if err != nil {
		t.Fatal(err)
	}
	w.flags = []string{"--audit-successions-file", filepath.Join(w.dir, "successions.json")}
	if err := os.WriteFile(w.flags[1], encoded, 0o600); err != nil {
		t.Fatal(err)
	}
	w.process.Stop()
	w.start()
	w.sealed("bob@acme.example")
	contains(t, w.must(0, "audit", "verify"), "no gaps, no changes")
	contains(t, w.must(0, "audit", "verify", "--proof", kept), "no gaps, no changes")

	// Somebody starts it with a key of theirs: it goes on from nothing that another key has signed.
	w.newAuditKey("foreign.pem")
	w.flags = nil
	w.process.Stop()
	w.start()
	w.sealed("mallory@acme.example")
	found := w.must(1, "audit", "verify", "--proof", kept)
	if !regexp.MustCompile(`(?m)^forged_checkpoint \(line \d+, writer test/0\+[0-9a-f]{8}, record \d+\): signed by key [0-9a-f]{16}, which is not trusted$`).MatchString(found) {
		t.Error(found)
	}
	file := filepath.Join(t.TempDir(), "audit.ndjson")
	w.must(0, "audit", "export", "--file", file)
	contains(t, w.must(1, "audit", "verify", "--proof", kept, file), "forged_checkpoint (line ")
}

// TestACutBeginningIsFound: records from the first to a checkpoint are removed, and the table of the chains says that retention was it.
func TestACutBeginningIsFound(t *testing.T) {
	w := newWorld(t)
	w.sealed("alice@acme.example")
	w.sealed("bob@acme.example")
	file := filepath.Join(t.TempDir(), "audit.ndjson")
	w.must(0, "audit", "export", "--file", file)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(content), "\n")
	first := 0
	for first == 0 || !strings.Contains(lines[first], `"audit_checkpoint"`) {
		first++
	}
	cut := filepath.Join(t.TempDir(), "cut.ndjson")
	if err := os.WriteFile(cut, []byte(strings.Join(lines[first:], "")), 0o600); err != nil {
		t.Fatal(err)
	}
	contains(t, w.must(1, "audit", "verify", "--proof", file+".proof", cut), "cut_beginning (line 1, writer test/0, record ", "no retention record explains")
	contains(t, w.must(0, "audit", "verify", "--proof", file+".proof", "--partial", cut), "no gaps, no changes")
	w.fails([]string{"audit", "verify", "--partial"}, "--partial is for files")

	db, err := sql.Open("sqlite", filepath.Join(w.dir, "sso.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{
		`UPDATE audit_writers SET first_sequence = (SELECT MIN(sequence) FROM audit_records WHERE type = 'audit_checkpoint')`,
		`DELETE FROM audit_records WHERE sequence < (SELECT MIN(sequence) FROM audit_records WHERE type = 'audit_checkpoint')`,
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	contains(t, w.must(1, "audit", "verify"), "cut_beginning (", "no retention record explains")
	contains(t, w.must(0, "audit", "verify", "--since", "1h"), "no gaps, no changes")
}
