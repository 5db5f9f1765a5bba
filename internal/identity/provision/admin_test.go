package provision_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/audit/ration"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
)

func contains(line []byte, s string) bool { return bytes.Contains(line, []byte(s)) }

var admin = provision.Caller{Actor: audit.Actor{Kind: audit.ActorKubernetes, ID: "alice@cluster"}, Request: "R-1"}

func TestSuspensionEndsSessionsAndRefusesSignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.must(w.signIn("okta", email("alice@example.com")))
		w.must(w.signIn("okta", email("alice@example.com")))
		w.must(w.signIn("okta", email("bob@example.com")))
		w.step()
		for range 2 {
			if err := w.service.Suspend(t.Context(), r.User.ID, "left the company", admin); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, "sessions", w.sessions(), 1)
		var details audit.Revocation
		w.details(audit.TypeUserSuspended, &details)
		equal(t, "details", details, audit.Revocation{Cause: "suspended", IdP: "okta", Sessions: 2})
		w.step()
		w.refuse(w.signIn("okta", email("alice@example.com")), identity.ReasonUserSuspended, audit.TypeUserAccessDenied)
		w.step()
		if err := w.service.Resume(t.Context(), r.User.ID, admin); err != nil {
			t.Fatal(err)
		}
		w.must(w.signIn("okta", email("alice@example.com")))
		n := 0
		for _, name := range w.types() {
			if name == "user_suspended" {
				n++
			}
		}
		equal(t, "user_suspended records", n, 1)
	})
}

func TestDeleteUserLeavesOnlyTheRecords(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.must(w.signIn("okta", email("alice@example.com", "groups", "dev", "department", "ML"), persistent("p1")))
		w.step()
		if err := w.service.Delete(t.Context(), r.User.ID, admin); err != nil {
			t.Fatal(err)
		}
		if err := w.service.Delete(t.Context(), r.User.ID, admin); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("deleting again: %v", err)
		}
		equal(t, "sessions", w.sessions(), 0)
		links, _ := w.db.Links(t.Context(), r.User.ID)
		profile, _ := w.db.Profile(t.Context(), r.User.ID)
		equal(t, "left behind", []int{len(links), len(profile), len(w.groups(r.User.ID))}, []int{0, 0, 0})
		again := w.must(w.signIn("okta", email("alice@example.com"), persistent("p1")))
		if !again.Created || again.User.ID == r.User.ID {
			t.Error("the deleted user came back")
		}
	})
}

func TestRevokeByWhatALogoutRequestNames(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		at := func(index string) func(*provision.SignIn) {
			return func(in *provision.SignIn) { in.Assertion.SessionIndex = index }
		}
		w.must(w.signIn("okta", email("alice@example.com"), persistent("p1"), at("_1")))
		w.must(w.signIn("okta", email("alice@example.com"), persistent("p1"), at("_2")))
		w.must(w.signIn("okta", email("alice@example.com"), persistent("p1"), at("_3")))
		w.must(w.signIn("okta", email("bob@example.com"), persistent("p2"), at("_1")))
		w.must(w.signIn("evil", email("x@mallory.example"), persistent("p1"), at("_1")))
		m := store.SessionMatch{IdPUID: "uid-okta", NameID: &store.NameID{Value: "p1"}, SessionIndexes: []string{"_1", "_2"}}
		ended, err := w.service.Revoke(t.Context(), m, "slo", admin)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "ended by index", len(ended), 2)
		m.SessionIndexes = nil
		ended, err = w.service.Revoke(t.Context(), m, "slo", admin)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "ended without an index", len(ended), 1)
		equal(t, "left", w.sessions(), 2)
		if _, err := w.service.Revoke(t.Context(), store.SessionMatch{}, "admin", admin); err == nil {
			t.Error("a match that names nothing ended sessions")
		}
	})
}

// TestManySessionsEndInSeveralTransactions: what one try has ended stays so, whatever becomes of the next.
func TestManySessionsEndInSeveralTransactions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.must(w.signIn("okta", email("alice@example.com")))
		const many = 2*provision.RevokeBatch + 100
		err := w.db.Do(t.Context(), func(tx store.Tx) error {
			for range many {
				more := r.Session
				_, key := session.NewToken()
				more.TokenHash = key[:]
				if err := tx.CreateSession(more); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []int{provision.RevokeBatch, provision.RevokeBatch, 101, 0} {
			ended, err := w.service.Revoke(t.Context(), store.SessionMatch{IdPUID: "uid-okta"}, "admin", admin)
			if err != nil || len(ended) != want {
				t.Fatalf("ended %d at once, want %d: %v", len(ended), want, err)
			}
		}
		equal(t, "left", w.sessions(), 0)
	})
}

func TestSignOutIsRecordedOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.must(w.signIn("okta", email("alice@example.com"), persistent("p1")))
		key, _ := session.KeyOf(r.Token)
		ended, err := w.service.SignOut(t.Context(), key, admin)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "what single logout needs", []string{ended.NameID.Value, ended.SessionIndex, ended.IdP.Name}, []string{"p1", "_s1", "okta"})
		if _, err := w.service.SignOut(t.Context(), key, admin); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("signing out again: %v", err)
		}
	})
}

func TestEnforceEndsWhatTheSnapshotForbids(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.domains = append(w.domains, snapshot.Domain{Domain: "example.org", Connection: "okta", Binding: "example-org"})
		w.must(w.signIn("okta", email("alice@example.com")))
		w.must(w.signIn("okta", email("bob@example.org")))
		w.must(w.signIn("evil", email("x@mallory.example")))
		w.must(w.signIn("catch", email("y@elsewhere.example")))
		states := []provision.ConnectionState{{IdP: idp("okta"), Enabled: true}, {IdP: idp("evil"), Enabled: true}}
		enforce := func(want int) {
			t.Helper()
			n, err := w.service.Enforce(t.Context(), states, w.table())
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "ended", n, want)
		}
		var details audit.Revocation
		enforce(0)
		w.domains[0].Connection = "evil" // example.com is rebound
		enforce(1)
		w.details(audit.TypeSessionRevoked, &details)
		equal(t, "details", details, audit.Revocation{Cause: "rebind", IdP: "okta", Sessions: 1})
		states[1].Enabled = false
		enforce(1)
		enforce(0)
		equal(t, "left: bob, and the IdP that the snapshot does not know", w.sessions(), 2)
		w.details(audit.TypeSessionRevoked, &details)
		equal(t, "details", details, audit.Revocation{Cause: "idp_disabled", IdP: "evil", Sessions: 1})
		w.domains[2].Connection = "" // bob's domain is held
		enforce(1)
		w.details(audit.TypeSessionRevoked, &details)
		equal(t, "details", details, audit.Revocation{Cause: "unbind", IdP: "okta", Sessions: 1})
	})
}

func TestScrubClearsOnlyWhatNobodyElseStandsFor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		alice := w.must(w.signIn("okta", email("alice@example.com", "groups", "dev", "department", "ML", "jobTitle", "Engineer", "country", "GB")))
		bob := w.must(w.signIn("okta", email("bob@example.com", "department", "ML", "jobTitle", "Engineer", "country", "GB")))
		// Bob's department is vouched for by another IdP, and his title was changed by hand since.
		w.domains[0].Connection = "evil"
		w.step()
		w.must(w.signIn("evil", email("bob@example.com", "department", "ML")))
		w.step()
		if err := w.service.SetProfile(t.Context(), bob.User.ID, map[string]string{"jobTitle": "Captain"}, admin); err != nil {
			t.Fatal(err)
		}
		w.step()
		removal := provision.Removal{IdP: idp("okta"), Target: audit.Target{Kind: "IdentityProvider", Name: "okta"}, Scrub: true}
		var first audit.Deletion
		for i := range 2 {
			result, err := w.service.RemoveIdP(t.Context(), removal, admin)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = result
			}
			equal(t, "result", result, audit.Deletion{Scrubbed: true, Users: 2, Values: 4, Groups: 1, Sessions: 2})
		}
		equal(t, "alice's groups", w.groups(alice.User.ID), []string{"okta/dev (invalid)"})
		profile, _ := w.db.Profile(t.Context(), alice.User.ID)
		equal(t, "alice", len(profile), 0)
		profile, _ = w.db.Profile(t.Context(), bob.User.ID)
		equal(t, "bob's department", profile["department"].IdPUID, "uid-evil")
		equal(t, "bob's title", profile["jobTitle"].Value, "Captain")
		equal(t, "bob's country", profile["country"].Value, "")
		var recorded audit.Deletion
		w.details(audit.TypeSAMLIdPDeleted, &recorded)
		equal(t, "recorded", recorded, first)
		count := map[string]int{}
		for _, name := range w.types() {
			count[name]++
		}
		equal(t, "saml_idp_deleted, idp_group_invalidated", []int{count["saml_idp_deleted"], count["idp_group_invalidated"]}, []int{1, 1})
		// Alice belongs to nobody: whoever may assert her address signs her in.
		w.domains = w.domains[1:]
		w.step()
		again := w.must(w.signIn("catch", email("alice@example.com")))
		equal(t, "alice", again.User.ID, alice.User.ID)
		equal(t, "her groups of the deleted IdP count no more", again.Session.Groups, nil)
	})
}

// TestRemovalContinuesAfterACrash cuts the removal off after every number of transactions and lets another process finish it: the end is always the same.
func TestRemovalContinuesAfterACrash(t *testing.T) {
	for crash := range 8 {
		t.Run(fmt.Sprint(crash), func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				for i := range 5 {
					w.must(w.signIn("okta", email(fmt.Sprintf("user%d@example.com", i), "groups", fmt.Sprintf("g%d", i), "department", "ML")))
				}
				w.step()
				removal := provision.Removal{IdP: idp("okta"), Target: audit.Target{Kind: "IdentityProvider", Name: "okta"}, Scrub: true}
				crashing := provision.NewService(&crashStore{Store: w.db, left: crash}, ration.New(w.clock, w.db.WriteAudit, nil))
				_, err := crashing.RemoveIdP(t.Context(), removal, admin)
				if err != nil && !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
				result, err := w.service.RemoveIdP(t.Context(), removal, admin)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "result", result, audit.Deletion{Scrubbed: true, Users: 5, Values: 5, Groups: 5, Sessions: 5})
				count := map[string]int{}
				for _, r := range w.records() {
					if r.Time.After(start) {
						count[r.Type.String()]++
					}
				}
				equal(t, "records", count, map[string]int{"session_revoked": 5, "idp_group_invalidated": 1, "user_profile_updated": 5, "saml_idp_deleted": 1})
			})
		})
	}
}

var errCrash = errors.New("crash")

// crashStore fails every transaction after a number of them, some before and some after their work is done, as a process that is killed would.
type crashStore struct {
	store.Store
	left int
}

func (c *crashStore) Do(ctx context.Context, fn func(store.Tx) error) error {
	return c.Store.Do(ctx, func(tx store.Tx) error {
		c.left--
		if c.left < 0 {
			return errCrash
		}
		return errors.Join(fn(tx), func() error {
			if c.left == 0 {
				return errCrash
			}
			return nil
		}())
	})
}
