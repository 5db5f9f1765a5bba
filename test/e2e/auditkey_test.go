//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// keepProof writes down where the audit log ends and which key signs it, as somebody does who trusts neither the store nor later keys.
func (w *world) keepProof(file string) {
	w.t.Helper()
	if err := os.WriteFile(file, []byte(w.sso("audit", "proof")), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) auditKey() string {
	w.t.Helper()
	return w.must("get", "sp", "main", "-o", "jsonpath={.status.auditKey.id}")
}

// rotatesAuditKey has another key sign the audit log, and returns when every pod does that.
func (w *world) rotatesAuditKey() {
	w.t.Helper()
	w.noteSecrets()
	before := w.auditKey()
	said := w.sso("rotate", "audit-key")
	after := w.auditKey()
	if before == "" || after == before {
		w.t.Errorf("the audit key was %q and is %q", before, after)
	}
	contains(w.t, "kubectl sso rotate audit-key", said, "key "+after+" signs the audit log now")
	w.eventually("the pods to be asked for that key", 2*time.Minute, func() error {
		if asked := w.must("get", "deployment/main-sallyport", "-o", `jsonpath={.spec.template.metadata.annotations.sso\.sallyport\.dev/audit-key}`); asked != after {
			return fmt.Errorf("they sign with %s", asked)
		}
		return nil
	})
	w.rolledOut("main-sallyport")
	w.eventually("the record of it", 2*time.Minute, func() error {
		if records := w.sso("audit", "--type", "audit_key_rotated"); !strings.Contains(records, "audit_key_rotated") {
			return fmt.Errorf("the log has %q", records)
		}
		return nil
	})
}

// provesItself holds the whole log, which the new key signs by now, against the proof from before that key.
func (w *world) provesItself(proof string) {
	w.t.Helper()
	w.eventually("a checkpoint with the key of now", 2*time.Minute, func() error {
		if checkpoints := w.sso("audit", "--type", "audit_checkpoint", "--since", "30m", "-o", "ndjson"); !strings.Contains(checkpoints, w.auditKey()) {
			return fmt.Errorf("no checkpoint names %s", w.auditKey())
		}
		return nil
	})
	for _, arguments := range [][]string{nil, {"--proof", proof}} {
		contains(w.t, fmt.Sprint("kubectl sso audit verify ", arguments), w.sso(append([]string{"audit", "verify"}, arguments...)...), "no gaps, no changes")
	}
}
