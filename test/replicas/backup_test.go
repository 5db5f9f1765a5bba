package replicas

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store/storetest"
	"sallyport.dev/sallyport/test/internal/await"
)

// TestABackupIsPutTogetherAgain: the store is saved while people sign in, as docs/backup.md says, and with the saved keys another process finds everybody, their
// second factors, their sessions and a log of which nothing is missing. Without the keys a second factor opens nothing.
func TestABackupIsPutTogetherAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		e := newEstate(t, storeURL)
		h := e.lived()
		n := e.restored(h.restore(), "")
		p := n.start()
		if h.alice.check(p) != http.StatusOK || h.dave.check(p) != http.StatusOK {
			t.Error("who was signed in is not any more")
		}
		if !n.isLetIn(p, "id-of-alice@acme.example", "alice@acme.example", h.codes[0]) {
			t.Error("the second factor opens nothing")
		}
		if n.isLetIn(p, "id-of-alice@acme.example", "alice@acme.example", h.codes[0]) {
			t.Error("a recovery code opens twice")
		}
		if got := p.person("alice@acme.example"); got.ID != h.asAlice.ID || got.Profile["department"].Value != "ML" || len(got.Groups) != 2 {
			t.Errorf("alice is %+v, was %+v", got, h.asAlice)
		}
		n.refuses(p, "carol@acme.example")
		for _, email := range h.others {
			p.person(email)
		}
		p.Stop()
		if report := n.holds(h.proof, time.Now()); !report.OK() || !report.Signed {
			t.Errorf("the log is not whole: %+v", report.Findings)
		}

		n.write("factors", []byte("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
		p = n.start()
		if n.isLetIn(p, "id-of-alice@acme.example", "alice@acme.example", h.codes[1]) {
			t.Error("the second factor opens without its key")
		}
		p.Stop()
		n.behind(`DELETE FROM audit_records WHERE type = 'user_suspended'`)
		if n.holds(h.proof, time.Now()).OK() {
			t.Error("a record is gone, and nobody notices")
		}
		n.behind(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)`)
		p = n.launch()
		ended := p.Wait()
		if said := p.Said(); ended.Success() || !strings.Contains(said, "migrated by a newer version") || !strings.Contains(said, "restore a backup from before the upgrade") {
			t.Errorf("of a newer schema it says: %s", said)
		}
	})
}

// TestABackupInANewCluster, two days later: every object has a new UID. The IdPs of the old cluster are gone, with their sessions, groups and identifiers; the people
// are found again by their addresses, through a binding or the catch-all, with their profiles, second factors and suspensions.
func TestABackupInANewCluster(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		e := newEstate(t, storeURL)
		h := e.lived()
		n := e.restored(h.restore(), "-anew")
		n.behind(fmt.Sprintf(`UPDATE audit_writers SET sealed_at = sealed_at - %d`, 48*time.Hour/time.Microsecond))
		p := n.start()
		if h.alice.check(p) != http.StatusUnauthorized || h.dave.check(p) != http.StatusUnauthorized {
			t.Error("a session of an IdP that is gone goes on")
		}
		await.Until(t, "the old IdPs' people belong to nobody", func() bool {
			var of struct{ IdPUID string }
			return p.api("GET", "/v1/users/dave@partner.example", "", &of) == http.StatusOK && of.IdPUID == ""
		})
		n.refuses(p, "carol@acme.example")
		// The new IdP of the old name is another one: what it calls id-of-alice need not be alice.
		n.halfway(p, "id-of-alice@acme.example", "mallory@acme.example")
		if who := p.person("mallory@acme.example"); who.ID == h.asAlice.ID || len(who.SecondFactors) > 0 {
			t.Errorf("an identifier of the old cluster brought somebody else in: %+v", who)
		}
		if !n.isLetIn(p, "a-new-id", "alice@acme.example", h.codes[0]) {
			t.Error("alice's second factor opens nothing")
		}
		who := p.person("alice@acme.example")
		invalid := 0
		for _, g := range who.Groups {
			if g.Invalid {
				invalid++
			}
		}
		if who.ID != h.asAlice.ID || who.Profile["department"].Value != "ML" || len(who.Groups) != 4 || invalid != 2 {
			t.Errorf("alice is %+v, was %+v", who, h.asAlice)
		}
		n.connection = n.catchAll
		if dave := n.browser(p); !dave.signIn("dave@partner.example") || p.person("dave@partner.example").ID != h.asDave.ID {
			t.Error("dave is locked out, or somebody else")
		}
		// The ends that the old pods left unsealed are old by now, and a checkpoint of the new pod vouches for them.
		time.Sleep(time.Until(h.ended.Add(audit.CheckpointInterval + time.Second)))
		p.Stop()
		if report := n.holds(h.proof, time.Now().Add(48*time.Hour)); !report.OK() || !report.Signed {
			t.Errorf("the log is not whole: %+v", report.Findings)
		}
	})
}
