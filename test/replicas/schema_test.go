package replicas

import (
	"net/http"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// TestAStoreOfANewerSchemaIsLeftAlone: a process of an older version ends with a sentence that says what to do, and has changed nothing; the one that knows the schema
// goes on with what is in it.
func TestAStoreOfANewerSchemaIsLeftAlone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		r := newRig(t, storeURL)
		p := r.start()
		alice := r.browser(p)
		if !alice.signIn("alice@acme.example") {
			t.Fatal("alice is not signed in")
		}
		p.Stop()
		r.behind(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)`)
		older := r.launch()
		ended := older.Wait()
		if said := older.Said(); ended.Success() || !strings.Contains(said, "its schema is 99") || !strings.Contains(said, "restore a backup from before the upgrade") {
			t.Errorf("it ended with %v and said %s", ended, said)
		}
		r.behind(`DELETE FROM goose_db_version WHERE version_id = 99`)
		p = r.start()
		if code := alice.check(p); code != http.StatusOK {
			t.Errorf("alice gets %d", code)
		}
		p.Stop()
		db := storetest.Open(t, storeURL, store.Options{AuditWriter: "checker"})
		r.holdsTogether(db, map[string]bool{"alice@acme.example": true})
		r.verifyAudit(db)
	})
}
