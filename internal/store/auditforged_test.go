package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// forge adds a record to a chain as somebody with the database's password, and without the audit key, would: everything fits together.
func (e *auditEnv) forge(h audit.Head) {
	e.Helper()
	s, err := h.Append(audit.Record{Type: audit.TypeUserSignedInSAML, Actor: audit.Actor{Kind: audit.ActorUser, Email: "mallory@example.com"}}, e.clock.Now())
	if err != nil {
		e.Fatal(err)
	}
	for _, statement := range []string{
		fmt.Sprintf(`INSERT INTO audit_records (id, writer, sequence, at, type, outcome, actor, idp, request, line) VALUES ('%s','%s',%d,%d,'%s','success','','','','%s')`,
			s.ID, s.Writer, s.Sequence, s.Time.UnixMicro(), s.Type, strings.ReplaceAll(string(s.Line), "'", "''")),
		fmt.Sprintf(`INSERT INTO audit_writers (writer, sequence, hash, sealed_sequence, sealed_at, first_sequence) VALUES ('%s',%d,'%s',0,%d,1)
			ON CONFLICT (writer) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash`, h.Writer, h.Sequence, h.Hash, e.clock.Now().UnixMicro()),
	} {
		if err := store.Exec(e.db, statement); err != nil {
			e.Fatal(err)
		}
	}
}

// TestRecordsThatAreNotSealedYetAreNobodyElses: whoever can write to the database adds records where no checkpoint has been yet. No process goes on from those, and none
// vouches for them.
func TestRecordsThatAreNotSealedYetAreNobodyElses(t *testing.T) {
	for name, tamper := range map[string]func(e *auditEnv){
		"a chain of a writer that there never was":   func(e *auditEnv) { e.forge(audit.Head{Writer: "main-sallyport-9/0"}) },
		"the end of a chain of a process that lives": func(e *auditEnv) { e.forge(e.end()) },
		"the end of a chain of a process that starts again": func(e *auditEnv) {
			e.forge(e.end())
			e.succeed("")
		},
		"the end of a chain of a process that is gone": func(e *auditEnv) {
			e.succeed("next")
			e.forge(e.end())
		},
		"an older end of a process that lives": func(e *auditEnv) {
			end, signature := e.end(), ""
			if err := store.Write(e.db).QueryRow(`SELECT signature FROM audit_writers WHERE writer = $1`, end.Writer).Scan(&signature); err != nil {
				e.Fatal(err)
			}
			for e.end() == end {
				e.write(1, audit.TypeUserSignedOut)
			}
			for _, statement := range []string{
				fmt.Sprintf(`DELETE FROM audit_records WHERE writer = '%s' AND sequence > %d`, end.Writer, end.Sequence),
				fmt.Sprintf(`UPDATE audit_writers SET sequence = %d, hash = '%s', signature = '%s' WHERE writer = '%s'`, end.Sequence, end.Hash, signature, end.Writer),
			} {
				if err := store.Exec(e.db, statement); err != nil {
					e.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachAudit(t, func(e *auditEnv) {
				e.write(8, audit.TypeUserSignedInSAML)
				tamper(e)
				for range 4 {
					e.clock.Step(audit.CheckpointInterval)
					e.write(8, audit.TypeUserSignedInSAML)
					if err := e.db.SealAudit(e.Context(), false); err != nil {
						e.Fatal(err)
					}
				}
				e.clock.Step(time.Hour)
				if err := e.db.SealAudit(e.Context(), true); err != nil {
					e.Fatal(err)
				}
				r := e.verify()
				if r.OK() {
					e.Errorf("not found: %+v", r.Writers)
				}
				// The process itself goes on with chains that are whole.
				if len(r.Findings) > 2 {
					e.Errorf("%+v", r.Findings)
				}
			})
		})
	}
}

// end is the end of one of the chains.
func (e *auditEnv) end() audit.Head {
	e.Helper()
	heads, err := e.db.AuditHeads(e.Context())
	if err != nil || len(heads) == 0 {
		e.Fatal(heads, err)
	}
	return heads[0]
}

// succeed lets another process go on, after the one before it was killed.
func (e *auditEnv) succeed(name string) {
	e.Helper()
	_ = e.db.Close()
	e.db = storetest.Open(e.T, e.url, store.Options{Clock: e.clock, AuditWriter: name, Signer: signer(e)})
}
