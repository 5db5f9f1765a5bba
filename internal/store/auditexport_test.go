package store_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// exportFrom is what a reader with these lines gets who goes on from there.
func (e *auditEnv) exportFrom(have []store.AuditLine) []store.AuditLine {
	e.Helper()
	after, got := store.AuditPosition{}, []store.AuditLine(nil)
	for _, l := range have {
		after[l.Writer] = max(after[l.Writer], l.Sequence)
	}
	if err := e.db.ExportAudit(e.Context(), store.AuditQuery{Limit: 3}, after, func(page []store.AuditLine) error { got = append(got, page...); return nil }); err != nil {
		e.Fatal(err)
	}
	return got
}

// reopen lets another process go on with the store, under a name and with a clock.
func (e *auditEnv) reopen(writer string, fromNow time.Duration) {
	e.Helper()
	if err := e.db.Close(); err != nil {
		e.Fatal(err)
	}
	e.clock.Step(fromNow)
	e.db = storetest.Open(e.T, e.url, store.Options{Clock: e.clock, Signer: signer(e), AuditWriter: writer, Lanes: 2})
}

// TestAnExportGoesOnExactly: wherever an export breaks off, whoever goes on with it has each record once, in the order of its chain: those of one moment, those that were
// committed late and so have an older identifier, those of a process whose clock was set back, and those of the operator, which are about an earlier time.
func TestAnExportGoesOnExactly(t *testing.T) {
	eachAudit(t, func(e *auditEnv) {
		e.reopen("pod", 0)
		e.write(12, audit.TypeUserSignedInSAML)
		begun := e.exportFrom(nil)
		if len(begun) != 12 {
			e.Fatalf("%d records", len(begun))
		}
		batch := func() {
			var keyed []store.KeyedRecord
			for i := range 5 {
				keyed = append(keyed, store.KeyedRecord{Key: fmt.Sprintf("key-%d-%s", i, e.clock.Now()), Record: audit.Record{Type: audit.TypeSAMLIdPUpdated, Time: e.clock.Now().Add(-time.Hour)}})
			}
			if n, err := e.db.WriteAuditOnce(e.Context(), keyed...); err != nil || n != len(keyed) {
				e.Fatal(n, err)
			}
		}
		e.reopen("late", -time.Second)
		e.write(4, audit.TypeUserSignedInSAML)
		batch()
		e.reopen("pod", -time.Second)
		e.write(4, audit.TypeUserSignedInSAML)
		batch()
		heads, err := e.db.AuditHeads(e.Context())
		if err != nil {
			e.Fatal(err)
		}
		for k := range len(begun) + 1 {
			file := append(begun[:k:k], e.exportFrom(begun[:k])...)
			seen, lines := map[string]bool{}, bytes.Buffer{}
			for _, l := range file {
				if seen[l.ID] {
					e.Errorf("broken off after %d: record %d of %s came twice", k, l.Sequence, l.Writer)
				}
				seen[l.ID] = true
				lines.Write(append(bytes.Clone(l.Line), '\n'))
			}
			r, err := audit.Verify(&lines, audit.VerifyOptions{Keys: []ed25519.PublicKey{signer(e).Public()}, Whole: true, Beginning: true, Heads: heads, OpenEnd: true})
			if err != nil || !r.OK() || r.Records != 30 {
				e.Fatalf("broken off after %d: %d records, %v, %v", k, r.Records, r.Findings, err)
			}
		}
		if more := e.exportFrom(e.exportFrom(nil)); len(more) != 0 {
			e.Errorf("%d records came again", len(more))
		}
	})
}

// TestAnExportIsOfOneMoment: what is committed while it is under way is not in it, so that it ends; and what the reader says ends it.
func TestAnExportIsOfOneMoment(t *testing.T) {
	eachAudit(t, func(e *auditEnv) {
		e.write(10, audit.TypeUserSignedInSAML)
		n := 0
		if err := e.db.ExportAudit(e.Context(), store.AuditQuery{Limit: 3}, nil, func(page []store.AuditLine) error {
			n += len(page)
			e.write(3, audit.TypeUserSignedInSAML)
			return nil
		}); err != nil || n != 10 {
			e.Errorf("%d records, %v", n, err)
		}
		enough := errors.New("enough")
		if err := e.db.ExportAudit(e.Context(), store.AuditQuery{Limit: 3}, nil, func([]store.AuditLine) error { return enough }); !errors.Is(err, enough) {
			e.Error(err)
		}
	})
}
