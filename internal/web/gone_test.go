package web_test

import (
	"testing"

	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/web"
)

// TestOnlyTheLatestSnapshotSaysThatAnIdPIsGone: a mounted copy may be older than what other replicas serve, and then an IdP is missing in it because it is new.
func TestOnlyTheLatestSnapshotSaysThatAnIdPIsGone(t *testing.T) {
	w := newWorld(t)
	alice := w.browser()
	alice.signIn("alice@acme.example")
	latest := w.snapshot
	older := latest
	older.Connections = []snapshot.Connection{*w.connection("entra")}
	older.Domains = nil
	w.snapshot, w.older = older, true
	w.restart()
	if alice.check("").status != 200 {
		t.Fatal("a snapshot that may be an older one ended a session")
	}
	apply := func(how func(*web.Server, snapshot.Snapshot, string) error, s snapshot.Snapshot) {
		t.Helper()
		encoded, err := snapshot.Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := how(w.web, s, encoded.Revision); err != nil {
			t.Fatal(err)
		}
	}
	apply((*web.Server).ApplyLatest, latest)
	if alice.check("").status != 200 {
		t.Fatal("the latest snapshot, which has the IdP, ended its session")
	}
	// Whoever signed in after the start did so at an IdP that a snapshot had: the operator says when that one is gone.
	w.addIdP("later")
	added := w.snapshot
	added.Connections = append(latest.Connections[:2:2], *w.connection("later"))
	added.Domains = append(latest.Domains[:2:2], snapshot.Domain{Domain: "later.example", Connection: "later", Binding: "later"})
	w.snapshot = added
	apply((*web.Server).ApplyLatest, added)
	bob := w.browser()
	bob.signIn("bob@later.example")
	apply((*web.Server).ApplyLatest, latest)
	if bob.check("").status != 200 {
		t.Error("a session that was opened after the start has ended")
	}
	latest.Connections, latest.Domains = older.Connections, nil
	apply((*web.Server).ApplyLatest, latest)
	if alice.check("").status != 401 {
		t.Error("a session of an IdP that the latest snapshot does not have goes on")
	}
}
