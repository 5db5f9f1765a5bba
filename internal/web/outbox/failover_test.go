package outbox_test

import (
	"fmt"
	"slices"
	"testing"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// TestAFailoverOfTheStoreLosesNothing kills PostgreSQL's primary while records are written and delivered, and promotes its standby.
func TestAFailoverOfTheStoreLosesNothing(t *testing.T) {
	pair, storeURL := storetest.PairFor(t)
	db, r := storetest.Open(t, storeURL, store.Options{}), newReceiver(t)
	_, _ = run(t, db, driven(t), r.sink("siem"))
	registered(t, db, "spec/siem")
	acknowledged := 0
	attempt := func(n int) bool {
		err := db.WriteAudit(t.Context(), audit.Record{Type: audit.TypeUserSignedInSAML, Reason: fmt.Sprint("n", n)})
		if err == nil {
			acknowledged++
		}
		return err == nil
	}
	for n := range 30 {
		attempt(n)
	}
	if err := pair.KillPrimary(); err != nil {
		t.Fatal(err)
	}
	if attempt(30) {
		t.Error("a record was acknowledged that no server has")
	}
	if err := pair.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the new primary to take records", func() bool { return attempt(31) })
	for n := range 30 {
		attempt(32 + n)
	}
	waitFor(t, "everything to arrive in order", func() bool { return r.missing(heads(t, db)) == "" })
	r.mu.Lock()
	defer r.mu.Unlock()
	if arrived := len(slices.Compact(slices.Sorted(slices.Values(r.events)))); arrived < acknowledged || acknowledged < 60 {
		t.Errorf("%d records were acknowledged, %d arrived", acknowledged, arrived)
	}
	t.Log(acknowledged, "records acknowledged,", r.events[len(r.events)-1], "the last that arrived")
}
