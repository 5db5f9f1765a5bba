package provision_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/audit/ration"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

func TestFirstSignInCreatesTheUserWithEverything(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.must(w.signIn("okta", email("Alice@Example.com", "firstName", "Alice", "lastName", "Liddell", "groups", "dev", "groups", "ml", "department", "ML", "city", "Oxford")))
		if !r.Created || r.MatchedBy != provision.MatchedCreated || r.Token == "" || r.SecondFactorRequired {
			t.Errorf("result %+v", r)
		}
		u, err := w.db.UserByEmail(t.Context(), "alice@example.com")
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "name", u.Name(), "Alice Liddell")
		equal(t, "idp", u.IdP, idp("okta"))
		equal(t, "groups", w.groups(u.ID), []string{"okta/dev", "okta/ml"})
		equal(t, "records", w.types(), []string{"user_created_jit", "idp_group_discovered", "idp_group_member_added", "user_profile_updated", "user_signed_in_saml"})
		key, _ := session.KeyOf(r.Token)
		s, err := w.db.SessionByHash(t.Context(), key[:])
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "session's groups", s.Groups, []string{"dev", "ml"})
		equal(t, "session's end", s.ExpiresAt, start.Add(12*time.Hour))
		profile, _ := w.db.Profile(t.Context(), u.ID)
		equal(t, "profile", profile, store.Profile{"department": {Value: "ML", Source: store.SourceIdP, IdPUID: "uid-okta", UpdatedAt: start}})
		links, _ := w.db.Links(t.Context(), u.ID)
		equal(t, "snapshot", links[0].Attributes, map[string]string{"department": "ML", "city": "Oxford"})
		equal(t, "raw snapshot", links[0].Raw["groups"], []string{"dev", "ml"})
		var signIn audit.SignIn
		w.details(audit.TypeUserSignedInSAML, &signIn)
		equal(t, "details", signIn, audit.SignIn{IdP: "okta", IdPUID: "uid-okta", MatchedBy: "created"})
	})
}

// TestTheRawSnapshotIsWhole: explain maps it once more, and says what it finds of the last group, too.
func TestTheRawSnapshotIsWhole(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		raw := func() map[string][]string {
			u, err := w.db.UserByEmail(t.Context(), "alice@example.com")
			if err != nil {
				t.Fatal(err)
			}
			links, err := w.db.Links(t.Context(), u.ID)
			if err != nil {
				t.Fatal(err)
			}
			return links[0].Raw
		}
		sent := email("alice@example.com", "memberOf", strings.Repeat("group;", 1000))
		for i := range 200 {
			sent["groups"] = append(sent["groups"], fmt.Sprintf("group-%03d", i))
		}
		w.must(w.signIn("okta", sent))
		equal(t, "raw snapshot", raw(), sent)
		// What is far larger than any response ends after a whole value.
		w.step()
		w.must(w.signIn("okta", email("alice@example.com", "notes", strings.Repeat("a", 200<<10), "notes", strings.Repeat("b", 200<<10))))
		equal(t, "bounded", len(raw()["notes"]), 1)
	})
}

func TestNamesSyncAndAbsentOnesStay(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.must(w.signIn("okta", email("alice@example.com", "firstName", "Alice", "lastName", "Liddell")))
		w.step()
		r := w.must(w.signIn("okta", email("alice@example.com", "firstName", "", "lastName", "Hargreaves")))
		equal(t, "name", r.User.Name(), "Alice Hargreaves")
		var changes audit.Changes
		w.details(audit.TypeUserAttributesSynced, &changes)
		equal(t, "changes", changes, audit.Changes{Updated: []string{"lastName"}})
		w.step()
		before := len(w.records())
		w.must(w.signIn("okta", email("alice@example.com")))
		equal(t, "records of a sign-in that changes nothing", w.types()[before:], []string{"user_signed_in_saml"})
	})
}

// TestGroupsAreFullySynchronised is fault F13: an empty claim revokes.
func TestGroupsAreFullySynchronised(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.must(w.signIn("okta", email("alice@example.com", "groups", "dev", "groups", "ops")))
		id := r.User.ID
		w.step()
		w.must(w.signIn("okta", email("alice@example.com", "groups", "ops", "groups", "qa")))
		equal(t, "groups", w.groups(id), []string{"okta/ops", "okta/qa"})
		var change audit.GroupChange
		w.details(audit.TypeIdPGroupMemberRemoved, &change)
		equal(t, "removed", change.Groups, []string{"dev"})
		w.step()
		w.must(w.signIn("okta", email("alice@example.com", "groups", "")))
		equal(t, "groups after an empty claim", w.groups(id), []string{})
		w.step()
		w.must(w.signIn("okta", email("alice@example.com", "groups", "dev")))
		w.mapping.Groups.KeepWhenAbsent = true
		w.step()
		w.must(w.signIn("okta", email("alice@example.com")))
		equal(t, "groups with whenAbsent: Keep", w.groups(id), []string{"okta/dev"})
	})
}

func TestEntraOverageKeepsGroupsAndSaysSo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.must(w.signIn("okta", email("alice@example.com", "groups", "dev")))
		w.step()
		w.must(w.signIn("okta", email("alice@example.com", "http://schemas.microsoft.com/claims/groups.link", "https://graph.windows.net/x/users/y/getMemberObjects")))
		equal(t, "groups", w.groups(r.User.ID), []string{"okta/dev"})
		var signIn audit.SignIn
		w.details(audit.TypeUserSignedInSAML, &signIn)
		if !signIn.GroupOverage {
			t.Error("the record does not say that groups were over the limit")
		}
	})
}

func TestRuleGroupsGoWithTheRuleEvenWhenClaimedOnesAreKept(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.mapping.Groups.KeepWhenAbsent = true
		w.mapping.Rules = []snapshot.Rule{{When: "'ML' in attributes.department", AddGroups: []string{"ml-team"}}}
		r := w.must(w.signIn("okta", email("alice@example.com", "groups", "dev", "department", "ML")))
		equal(t, "groups", w.groups(r.User.ID), []string{"okta/dev", "okta/ml-team"})
		w.step()
		w.must(w.signIn("okta", email("alice@example.com", "department", "Sales")))
		equal(t, "groups after moving to Sales", w.groups(r.User.ID), []string{"okta/dev"})
	})
}

// TestGroupsFollowTheIdPNotItsName is fault F12, and that groups of two IdPs are different groups.
func TestGroupsFollowTheIdPNotItsName(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.must(w.signIn("okta", email("alice@example.com", "groups", "dev")))
		w.step()
		w.domains[0].Connection = "renamed"
		w.must(w.signIn("renamed", email("alice@example.com", "groups", "dev"), func(in *provision.SignIn) { in.Connection.IdP.UID = "uid-okta" }))
		equal(t, "groups after a rename", w.groups(r.User.ID), []string{"renamed/dev"})
		w.step()
		w.domains[0].Connection = "evil"
		moved := w.must(w.signIn("evil", email("alice@example.com", "groups", "admins")))
		equal(t, "groups of both", w.groups(r.User.ID), []string{"evil/admins", "renamed/dev"})
		key, _ := session.KeyOf(moved.Token)
		s, err := w.db.SessionByHash(t.Context(), key[:])
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "the session has the groups of its own IdP alone", s.Groups, []string{"admins"})
	})
}

// TestNoOtherIdPSpeaksForADomain is fault F6 in every spelling that an attacker has.
func TestNoOtherIdPSpeaksForADomain(t *testing.T) {
	asserted := map[string]map[string][]string{
		"attribute":         email("ceo@example.com"),
		"case":              email("CEO@EXAMPLE.COM"),
		"full width":        email("ceo@ｅｘａｍｐｌｅ.com"),
		"ideographic stop":  email("ceo@example。com"),
		"second value":      {"email": {"mallory@mallory.example", "ceo@example.com"}},
		"second value case": {"email": {"mallory@mallory.example", "CEO@Example.COM"}},
		"space":             email(" ceo@example.com "),
	}
	malformed := map[string]map[string][]string{
		"trailing dot":    email("ceo@example.com."),
		"quoted local":    email(`"ceo@example.com"@mallory.example`),
		"two at-signs":    email("ceo@example.com@mallory.example"),
		"comment":         email("ceo@example.com(@mallory.example)"),
		"source route":    email("@mallory.example:ceo@example.com"),
		"display name":    email("Mallory <ceo@example.com>"),
		"look-alike":      email("сео@mallory.example"),
		"null":            email("ceo@example.com\x00.mallory.example"),
		"line break":      email("ceo@example.com\n@mallory.example"),
		"fake A-label":    email("ceo@xn--example-.com"),
		"soft hyphen":     email("c\u00adeo@mallory.example"),
		"address literal": email("ceo@[192.0.2.1]"),
		"no dot":          email("ceo@localhost"),
		"second malformed": {
			"email": {"mallory@mallory.example", `"x"@example.com`},
		},
	}
	each(t, func(t *testing.T, w *world) {
		victim := w.must(w.signIn("okta", email("ceo@example.com")))
		sessions := w.sessions()
		for name, attributes := range asserted {
			t.Run(name, func(t *testing.T) {
				w.t = t
				w.step()
				w.refuse(w.signIn("evil", attributes), identity.ReasonDomainNotBound, audit.TypeEmailDomainNotBound)
			})
		}
		for name, attributes := range malformed {
			t.Run(name, func(t *testing.T) {
				w.t = t
				w.step()
				w.refuse(w.signIn("evil", attributes), identity.ReasonMissingEmail, audit.TypeSAMLAssertionFailed)
			})
		}
		for _, format := range []string{identity.FormatEmailAddress, identity.FormatUnspecified, ""} {
			t.Run("NameID "+format, func(t *testing.T) {
				w.t = t
				w.step()
				w.refuse(w.signIn("evil", nil, func(in *provision.SignIn) {
					in.Assertion.NameID = identity.NameID{Value: "ceo@example.com", Format: format}
				}), identity.ReasonDomainNotBound, audit.TypeEmailDomainNotBound)
			})
		}
		t.Run("the catch-all", func(t *testing.T) {
			w.t = t
			w.step()
			w.refuse(w.signIn("catch", email("ceo@example.com")), identity.ReasonDomainNotBound, audit.TypeEmailDomainNotBound)
		})
		w.t = t
		users, _, _ := w.db.Users(t.Context(), store.UserQuery{})
		equal(t, "users", len(users), 1)
		equal(t, "sessions", w.sessions(), sessions)
		u, _ := w.db.User(t.Context(), victim.User.ID)
		equal(t, "the victim", u, victim.User)
	})
}

func TestUsersOfAnotherIdPAreTakenOverOnlyByARebind(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		bob := w.must(w.signIn("okta", email("bob@example.com"), persistent("bob-at-okta")))
		// The binding goes: the catch-all may assert the address now, but the user is okta's.
		w.domains = w.domains[1:]
		w.step()
		w.refuse(w.signIn("catch", email("bob@example.com")), identity.ReasonDomainNotBound, audit.TypeEmailDomainNotBound)
		// A rebind moves the user at the next sign-in.
		w.domains = append(w.domains, snapshot.Domain{Domain: "example.com", Connection: "evil", Binding: "example-com"})
		w.step()
		moved := w.must(w.signIn("evil", email("bob@example.com"), persistent("bob-at-evil")))
		equal(t, "the same user", moved.User.ID, bob.User.ID)
		equal(t, "belongs to", moved.User.IdP, idp("evil"))
		// okta's old identifier brings nobody back, under whatever address okta may assert.
		w.domains = append(w.domains, snapshot.Domain{Domain: "okta.example", Connection: "okta", Binding: "okta-example"})
		w.step()
		other := w.must(w.signIn("okta", email("bob@okta.example"), persistent("bob-at-okta")))
		if other.User.ID == bob.User.ID || !other.Created {
			t.Error("okta signed in as a user that was rebound to another IdP")
		}
	})
}

func TestEmailChangeFollowsThePerson(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.must(w.signIn("okta", email("alice@example.com"), persistent("p1")))
		w.step()
		second := w.must(w.signIn("okta", email("alice.hargreaves@example.com"), persistent("p1")))
		equal(t, "user", second.User.ID, first.User.ID)
		equal(t, "matched by", second.MatchedBy, provision.MatchedSubject)
		equal(t, "address", second.User.Email, "alice.hargreaves@example.com")
		// The address of somebody else is not taken; the person still signs in.
		bob := w.must(w.signIn("okta", email("bob@example.com"), persistent("p2")))
		w.step()
		third := w.must(w.signIn("okta", email("bob@example.com"), persistent("p1")))
		equal(t, "user", third.User.ID, first.User.ID)
		equal(t, "address", third.User.Email, "alice.hargreaves@example.com")
		u, _ := w.db.UserByEmail(t.Context(), "bob@example.com")
		equal(t, "bob", u.ID, bob.User.ID)
		var details audit.SignIn
		w.details(audit.TypeUserSignedInSAML, &details)
		if !details.EmailConflict {
			t.Error("the record does not say that the address was taken")
		}
	})
}

func TestJustInTimeDisabledRefusesTheUnknown(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		noJIT := func(in *provision.SignIn) { in.Connection.Provisioning.JIT = false }
		w.refuse(w.signIn("okta", email("alice@example.com"), noJIT), identity.ReasonUserNotFound, audit.TypeUserAccessDenied)
		if _, err := w.db.UserByEmail(t.Context(), "alice@example.com"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a user was created: %v", err)
		}
		w.step()
		w.must(w.signIn("okta", email("alice@example.com")))
		w.step()
		w.must(w.signIn("okta", email("alice@example.com"), noJIT))
	})
}

func TestDisabledIdPSignsNobodyIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.refuse(w.signIn("okta", email("alice@example.com"), func(in *provision.SignIn) { in.Connection.Enabled = false }), identity.ReasonIdPDisabled, audit.TypeSAMLAssertionFailed)
	})
}

func TestReplayIsRefusedOnEveryReplica(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		in := w.signIn("okta", email("alice@example.com"))
		w.must(in)
		w.step()
		w.refuse(in, identity.ReasonReplayed, audit.TypeSAMLAssertionReplayed)
		// The same ID from another IdP is another assertion.
		other := w.signIn("evil", email("x@mallory.example"))
		other.Assertion.ID = in.Assertion.ID
		w.step()
		w.must(other)
		equal(t, "sessions", w.sessions(), 2)
	})
}

// TestARefusedAssertionIsRecordedWhateverElseComes: only its IdP can make another. Who sends it again and again fills no log, and hides nothing.
func TestARefusedAssertionIsRecordedWhateverElseComes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		again := w.signIn("evil", email("ceo@example.com"))
		const times = 250
		for range times {
			if _, err := w.service.SignIn(t.Context(), again); err == nil {
				t.Fatal("let in")
			}
		}
		written := len(w.records())
		equal(t, "within the ration", written < times, true)
		for range 3 {
			w.step()
			w.refuse(w.signIn("evil", email("cfo@example.com")), identity.ReasonDomainNotBound, audit.TypeEmailDomainNotBound)
		}
		equal(t, "records", len(w.records()), written+3)
		// Nor does it help to hang up.
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.service.SignIn(gone, w.signIn("evil", email("cto@example.com"))); err == nil {
			t.Fatal("let in")
		}
		equal(t, "records", len(w.records()), written+4)
		// It is not used up.
		w.domains = append(w.domains, snapshot.Domain{Domain: "late.example", Connection: "okta", Binding: "late"})
		late := w.signIn("evil", email("x@late.example"))
		w.refuse(late, identity.ReasonDomainNotBound, audit.TypeEmailDomainNotBound)
		w.domains[len(w.domains)-1].Connection = "evil"
		late.Domains = w.table()
		w.step()
		w.must(late)
	})
}

func TestPendingRequestIsConsumedOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		handle := []byte("0123456789abcdef0123456789abcdef")
		p := store.Pending{HandleHash: handle, Connection: "okta", IdPUID: "uid-okta", RequestID: "_r1", ReturnURL: "https://app.example.com/x", IssuedAt: start, ExpiresAt: start.Add(15 * time.Minute), Classes: []string{"c"}}
		if err := w.db.SavePending(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		found, err := w.db.Pending(t.Context(), handle)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "pending", found, p)
		with := func(in *provision.SignIn) { in.PendingHandle = handle }
		// A refusal does not use it up.
		w.refuse(w.signIn("okta", email("x@mallory.example"), with), identity.ReasonDomainNotBound, audit.TypeEmailDomainNotBound)
		w.step()
		w.must(w.signIn("okta", email("alice@example.com"), with))
		w.step()
		w.refuse(w.signIn("okta", email("alice@example.com"), with), identity.ReasonReplayed, audit.TypeSAMLAssertionReplayed)
	})
}

func TestSessionEndsNoLaterThanTheIdPs(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.must(w.signIn("okta", email("alice@example.com"), func(in *provision.SignIn) { in.Assertion.SessionNotOnOrAfter = start.Add(time.Hour) }))
		equal(t, "end", r.Session.ExpiresAt, start.Add(time.Hour))
		r = w.must(w.signIn("okta", email("alice@example.com"), func(in *provision.SignIn) { in.Assertion.SessionNotOnOrAfter = start.Add(100 * time.Hour) }))
		equal(t, "end", r.Session.ExpiresAt, start.Add(12*time.Hour))
	})
}

func TestSigningInAgainEndsTheBrowsersEarlierSession(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.must(w.signIn("okta", email("alice@example.com")))
		key, _ := session.KeyOf(first.Token)
		w.must(w.signIn("okta", email("alice@example.com"), func(in *provision.SignIn) { in.Previous = &key }))
		equal(t, "sessions", w.sessions(), 1)
	})
}

func TestMirrorProvenanceAndInvalidValues(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.must(w.signIn("okta", email("alice@example.com", "department", "ML", "country", "Wonderland", "jobTitle", "Engineer")))
		id := r.User.ID
		profile, _ := w.db.Profile(t.Context(), id)
		equal(t, "values", []string{profile["department"].Value, profile["jobTitle"].Value, profile["country"].Value}, []string{"ML", "Engineer", ""})
		var failure audit.MirrorFailure
		w.details(audit.TypeUserIdPAttributeMirrorFailed, &failure)
		equal(t, "dropped", failure, audit.MirrorFailure{IdP: "okta", Dropped: []string{"country"}})
		w.step()
		if err := w.service.SetProfile(t.Context(), id, map[string]string{"jobTitle": "Chief Engineer", "city": "Oxford"}, admin); err != nil {
			t.Fatal(err)
		}
		if err := w.service.SetProfile(t.Context(), id, map[string]string{"country": "Wonderland"}, admin); err == nil {
			t.Error("an invalid country was taken")
		}
		w.step()
		// What the assertion leaves out stays, what it sends overwrites.
		w.must(w.signIn("okta", email("alice@example.com", "department", "Robotics", "country", "gb")))
		profile, _ = w.db.Profile(t.Context(), id)
		equal(t, "jobTitle", profile["jobTitle"].Source, store.SourceAdmin)
		equal(t, "department", profile["department"].Value, "Robotics")
		equal(t, "country", profile["country"].Value, "GB")
		var update audit.ProfileUpdate
		w.details(audit.TypeUserProfileUpdated, &update)
		equal(t, "update", update, audit.ProfileUpdate{Cause: "idp_mirror", IdP: "okta", Added: []string{"country"}, Updated: []string{"department"}})
		links, _ := w.db.Links(t.Context(), id)
		equal(t, "the snapshot is of the last assertion", links[0].Attributes, map[string]string{"department": "Robotics", "country": "GB"})
	})
}

func TestConcurrentFirstSignInsMakeOneUser(t *testing.T) {
	storeURL := storetest.PostgresURL(t)
	w := newWorld(t, storeURL)
	db := storetest.Open(t, storeURL, store.Options{Clock: w.clock, AuditWriter: "replica2"})
	second := provision.NewService(db, ration.New(w.clock, db.WriteAudit, nil))
	var group sync.WaitGroup
	ids := make(chan string, 40)
	for i := range 40 {
		service := w.service
		if i%2 == 1 {
			service = second
		}
		in := w.signIn("okta", email("alice@example.com", "groups", "dev", "groups", "ops"), persistent("p1"))
		group.Go(func() {
			r, err := service.SignIn(t.Context(), in)
			if err != nil {
				t.Error(err)
				return
			}
			ids <- r.User.ID
		})
	}
	group.Wait()
	close(ids)
	distinct := map[string]bool{}
	for id := range ids {
		distinct[id] = true
	}
	equal(t, "users", len(distinct), 1)
	created := 0
	for _, name := range w.types() {
		if name == "user_created_jit" {
			created++
		}
	}
	equal(t, "user_created_jit records", created, 1)
	equal(t, "sessions", w.sessions(), 40)
}

func TestPreviewChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		in := w.signIn("okta", email("alice@example.com", "groups", "dev", "color", "blue"), func(in *provision.SignIn) { in.Connection.Enabled = false })
		r, err := w.service.Preview(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		var would []string
		for _, record := range r.Records {
			would = append(would, record.Type.String())
		}
		equal(t, "would record", would, []string{"user_created_jit", "idp_group_discovered", "idp_group_member_added", "user_signed_in_saml"})
		equal(t, "unmapped", r.Person.Unmapped, []string{"color"})
		if r.Token != "" || len(w.records()) != 0 || w.sessions() != 0 {
			t.Error("a preview left something behind")
		}
		in.Connection.Enabled = true
		w.must(in)
	})
}

func TestVerboseRecordNamesUnmappedAttributes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.must(w.signIn("okta", email("alice@example.com", "color", "blue"), func(in *provision.SignIn) { in.Connection.Verbose = true }))
		var details audit.SignIn
		w.details(audit.TypeSAMLAssertionReceived, &details)
		equal(t, "unmapped", details.Unmapped, []string{"color"})
		equal(t, "missing", details.Missing, []string{"firstName", "groups", "lastName"})
	})
}

func TestSecondFactorSessionDoesNotCountYet(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.must(w.signIn("okta", email("alice@example.com"), func(in *provision.SignIn) {
			in.Connection.Provisioning.RequireSecondFactor, in.ReturnURL = true, "https://app.example.com/deep"
		}))
		key, _ := session.KeyOf(r.Token)
		s, err := w.db.SessionByHash(t.Context(), key[:])
		if err != nil {
			t.Fatal(err)
		}
		if !s.SecondFactorPending || !r.SecondFactorRequired || s.ReturnURL != "https://app.example.com/deep" || s.SessionIndex != "_s1" {
			t.Errorf("session %+v", s)
		}
	})
}

// TestNoPersonalValuesInTheAuditLog looks for values of attributes in every line that is written.
func TestNoPersonalValuesInTheAuditLog(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		secret := "Zanzibar42"
		in := w.signIn("okta", email("alice@example.com", "firstName", secret, "lastName", secret, "department", secret, "country", secret, "other", secret), func(in *provision.SignIn) { in.Connection.Verbose = true })
		w.must(in)
		w.step()
		w.must(w.signIn("okta", email("alice@example.com", "firstName", secret+"2", "department", secret+"2")))
		lines, _, _ := w.db.Audit(t.Context(), store.AuditQuery{})
		if i := slices.IndexFunc(lines, func(l store.AuditLine) bool { return contains(l.Line, secret) }); i >= 0 {
			t.Errorf("a value is in the audit log: %s", lines[i].Line)
		}
	})
}

// TestRulesThatFailAreRecordedAndFailNoSignIn: the record names the rules and why, and nothing of what was sent.
func TestRulesThatFailAreRecordedAndFailNoSignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.mapping.Name = "okta"
		w.mapping.Rules = []snapshot.Rule{
			{When: "attributes.cost.exists(v, v.matches('^b(a?){60}$'))", AddGroups: []string{"costly"}},
			{When: "attributes.department[0] == 'ML'", AddGroups: []string{"ml-team"}},
			{When: "timestamp(attributes.since[0]) < timestamp('2026-01-01T00:00:00Z')", AddGroups: []string{"old-hands"}},
			{When: "attributes.cost.exists_one(v, v.matches('^b(a?){60}$'))", AddGroups: []string{"costly-too"}},
		}
		r := w.must(w.signIn("okta", email("alice@example.com", "department", "ML", "cost", "ab", "since", "2025-01-01T00:00:00Z")))
		equal(t, "groups", w.groups(r.User.ID), []string{"okta/ml-team", "okta/old-hands"})
		if slices.Contains(w.types(), "user_idp_group_rule_failed") {
			t.Fatalf("rules that were evaluated are recorded as failed: %v", w.types())
		}
		w.step()
		sent := email("alice@example.com", "department", "ML", "since", "a-secret")
		sent["cost"] = slices.Repeat([]string{strings.Repeat("a", 1000)}, 50)
		w.must(w.signIn("okta", sent))
		equal(t, "groups", w.groups(r.User.ID), []string{"okta/ml-team"})
		failed := map[string]audit.RuleFailure{}
		for _, record := range w.records() {
			if record.Type != audit.TypeUserIdPGroupRuleFailed {
				continue
			}
			details := string(record.Details.(json.RawMessage))
			var failure audit.RuleFailure
			if err := json.Unmarshal([]byte(details), &failure); err != nil {
				t.Fatal(err)
			}
			failed[record.Reason] = failure
			if record.Outcome != audit.OutcomeFailure || record.Target.Name != "alice@example.com" || strings.Contains(details, "secret") || strings.Contains(details, "aaa") {
				t.Errorf("%+v %s", record, details)
			}
		}
		equal(t, "failed", failed, map[string]audit.RuleFailure{
			"too_expensive":     {IdP: "okta", Mapping: "okta", Rules: []string{"rules[0]", "rules[3]"}},
			"evaluation_failed": {IdP: "okta", Mapping: "okta", Rules: []string{"rules[2]"}},
		})
		lines, _, err := w.db.Audit(t.Context(), store.AuditQuery{IdP: "okta", Types: []audit.Type{audit.TypeUserIdPGroupRuleFailed}})
		if err != nil || len(lines) != 2 {
			t.Errorf("%d records of the identity provider, %v", len(lines), err)
		}
	})
}
