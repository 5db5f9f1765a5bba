package replicas

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
	"sallyport.dev/sallyport/test/internal/await"
)

// TestWhatAGoneIdPHasLeftIsUndoneAtTheNextStart: a ServiceProvider is deleted and made again on its store, and one of its IdPs was deleted meanwhile. That one's
// sessions end and its groups count no more, with a record of each; the other one's stay. A snapshot that is empty or cannot be read ends nothing.
func TestWhatAGoneIdPHasLeftIsUndoneAtTheNextStart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		r := newRig(t, storeURL)
		stays, err := r.idp.Connection(ssoURL, "adfs", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		goes := r.connection
		stays.UID, stays.Enabled, stays.Provisioning.JIT, stays.Mapping = "uid-adfs", true, true, goes.Mapping
		domains := []snapshot.Domain{{Domain: "acme.example", Connection: "okta", Binding: "acme"}, {Domain: "other.example", Connection: "adfs", Binding: "other"}}
		r.publish([]snapshot.Connection{stays, goes}, domains...)
		p := r.start()
		alice, bob := r.browser(p), r.browser(p)
		signedIn := alice.signIn("alice@acme.example")
		r.connection = stays
		if signedIn = signedIn && bob.signIn("bob@other.example"); !signedIn {
			t.Fatal("nobody is signed in")
		}
		p.Kill()

		r.publish(nil)
		p = r.start()
		if alice.check(p) != http.StatusOK || bob.check(p) != http.StatusOK {
			t.Error("an empty snapshot ended a session")
		}
		p.Kill()
		r.write(filepath.Join("snapshot", snapshot.IndexFile), []byte("{"))
		p = r.launch()
		await.Until(t, "the process looks at the files", func() bool { return p.probe("/healthz") == http.StatusOK })
		time.Sleep(500 * time.Millisecond) // two looks
		p.Kill()
		if n := r.sessions("uid-okta"); n != 1 {
			t.Errorf("files that cannot be read left %d sessions", n)
		}

		r.publish([]snapshot.Connection{stays}, domains[1])
		p = r.start()
		if alice.check(p) != http.StatusUnauthorized {
			t.Error("a session of the IdP that is gone lives on")
		}
		await.Until(t, "it has ended in the store", func() bool {
			var page struct{ Items []any }
			return p.api("GET", "/v1/sessions", "", &page) == http.StatusOK && len(page.Items) == 1
		})
		if bob.check(p) != http.StatusOK {
			t.Error("a session of the IdP that is there has ended")
		}
		await.Until(t, "nobody belongs to the IdP any more", func() bool {
			var alice struct{ IdPUID string }
			return p.api("GET", "/v1/users/alice@acme.example", "", &alice) == http.StatusOK && alice.IdPUID == ""
		})
		p.Kill()
		r.mustBeUndone()
	})
}

// sessions counts those of an IdP.
func (r *rig) sessions(idpUID string) int {
	r.t.Helper()
	db, err := store.Open(r.t.Context(), r.storeURL, store.Options{AuditWriter: "checker"})
	if err != nil {
		r.t.Fatal(err)
	}
	sessions, _, err := db.Sessions(r.t.Context(), store.SessionQuery{IdPUID: idpUID})
	// SQLite is for one process at a time.
	if err := errors.Join(err, db.Close()); err != nil {
		r.t.Fatal(err)
	}
	return len(sessions)
}

// mustBeUndone holds the groups and the records of alice against what a deletion leaves.
func (r *rig) mustBeUndone() {
	r.t.Helper()
	db := r.store()
	lines, _, err := db.Audit(r.t.Context(), store.AuditQuery{Types: []audit.Type{audit.TypeSessionRevoked, audit.TypeIdPGroupInvalidated}})
	if err != nil {
		r.t.Fatal(err)
	}
	records := map[string]int{}
	for _, line := range lines {
		var record struct {
			Type    string
			Details struct{ Cause, IdP string }
		}
		if err := json.Unmarshal(line.Line, &record); err != nil {
			r.t.Fatal(err)
		}
		records[record.Type+" "+record.Details.Cause+" "+record.Details.IdP]++
	}
	if want := map[string]int{"session_revoked idp_deleted okta": 1, "idp_group_invalidated idp_deleted okta": 1}; !maps.Equal(records, want) {
		r.t.Errorf("recorded were %v, want %v", records, want)
	}
	alice, err := db.UserByEmail(r.t.Context(), "alice@acme.example")
	if err != nil {
		r.t.Fatal(err)
	}
	groups, err := db.Groups(r.t.Context(), alice.ID)
	if err != nil || len(groups) != 2 || groups[0].InvalidatedAt.IsZero() || groups[1].InvalidatedAt.IsZero() {
		r.t.Errorf("the groups are %+v, %v", groups, err)
	}
}
