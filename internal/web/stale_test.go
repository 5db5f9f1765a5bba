package web_test

import (
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/snapshot"
)

// TestAnOlderSnapshotEndsNothingForGood: a container that starts again finds a mounted copy from before a domain was moved, and before an IdP was switched on. It
// refuses by what it knows, and everybody is signed in again when it knows better.
func TestAnOlderSnapshotEndsNothingForGood(t *testing.T) {
	w := newWorld(t)
	alice := w.browser()
	alice.signIn("alice@acme.example")
	latest := w.snapshot
	for name, older := range map[string]func(*snapshot.Snapshot){
		"a domain that was another IdP's": func(s *snapshot.Snapshot) {
			s.Domains = []snapshot.Domain{{Domain: "acme.example", Connection: "entra", Binding: "acme"}}
		},
		"an IdP that was switched off": func(s *snapshot.Snapshot) {
			s.Connections = append([]snapshot.Connection{}, s.Connections...)
			w.snapshot.Connections = s.Connections
			w.connection("okta").Enabled = false
		},
	} {
		before := latest
		older(&before)
		w.snapshot, w.older = before, true
		w.apply(w.process)
		if alice.check("").status != 401 {
			t.Fatalf("%s: the older snapshot does not count", name)
		}
		time.Sleep(500 * time.Millisecond) // what would end it for good runs beside
		w.snapshot, w.older = latest, false
		w.apply(w.process)
		waitFor(t, name+": the session to count again", func() bool { return alice.check("").status == 200 })
	}
}
