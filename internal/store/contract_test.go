package store_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// start is long ago: no store removes what is not old by its database's clock too.
var start = time.Date(2026, 1, 23, 10, 0, 0, 0, time.UTC)

type env struct {
	*testing.T
	db    *store.DB
	clock *testclock.FakeClock
	url   string
}

func (e *env) do(fn func(tx store.Tx) error) {
	e.Helper()
	if err := e.db.Do(e.Context(), fn); err != nil {
		e.Fatal(err)
	}
}

func (e *env) user(address string) store.User {
	e.Helper()
	u := store.User{ID: "id-" + address, Email: address, IdP: okta, CreatedAt: start, UpdatedAt: start, LastSignInAt: start}
	e.do(func(tx store.Tx) error { return tx.CreateUser(u) })
	return u
}

func (e *env) session(userID string, n byte, change ...func(*store.Session)) []byte {
	e.Helper()
	s := store.Session{TokenHash: hash(n), UserID: userID, IdP: okta, CreatedAt: start, LastSeenAt: start, ExpiresAt: start.Add(time.Hour), EmailDomain: "example.com"}
	for _, c := range change {
		c(&s)
	}
	e.do(func(tx store.Tx) error { return tx.CreateSession(s) })
	return s.TokenHash
}

func hash(n byte) []byte { return slices.Repeat([]byte{n}, 32) }

var okta, adfs = store.IdPRef{UID: "uid-okta", Name: "okta"}, store.IdPRef{UID: "uid-adfs", Name: "adfs"}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		t.Errorf("%s: got %s, want %s", what, a, b)
	}
}

// TestContract is the one table of what a store must do. It runs on both databases.
func TestContract(t *testing.T) {
	cases := map[string]func(e *env){
		"a failed transaction leaves nothing":      testRollback,
		"pending requests expire and are consumed": testPending,
		"assertions are remembered once":           testReplayGuard,
		"addresses and subjects are unique":        testUnique,
		"users are listed in pages":                testUserPages,
		"links keep what was asserted":             testLinks,
		"groups are synchronised":                  testGroups,
		"sessions are found, listed and touched":   testSessions,
		"sessions end by every match":              testEndSessions,
		"no handover outlives an end":              testHandoverMeetsEnd,
		"no rotation outlives an end":              testRotationMeetsEnd,
		"sessions rotate":                          testRotate,
		"second factors and throttles":             testFactors,
		"jobs survive":                             testJobs,
		"figures":                                  testStats,
		"debug entries within bounds":              testDebug,
		"what has expired is swept":                testSweep,
		"text of any kind":                         testHostileText,
	}
	for name, run := range cases {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, storeURL string) {
				clock := testclock.NewFakeClock(start)
				run(&env{t, storetest.Open(t, storeURL, store.Options{Clock: clock}), clock, storeURL})
			})
		})
	}
}

func testRollback(e *env) {
	boom := errors.New("boom")
	err := e.db.Do(e.Context(), func(tx store.Tx) error {
		if err := tx.CreateUser(store.User{ID: "u", Email: "alice@example.com"}); err != nil {
			return err
		}
		if err := tx.AppendAudit(audit.Record{Type: audit.TypeUserCreatedJIT}); err != nil {
			return err
		}
		return boom
	})
	if err != boom {
		e.Errorf("the error came back as %v", err)
	}
	if _, err := e.db.User(e.Context(), "u"); !errors.Is(err, store.ErrNotFound) {
		e.Errorf("the user is there: %v", err)
	}
	// A change whose record cannot be written does not happen.
	err = e.db.Do(e.Context(), func(tx store.Tx) error {
		if err := tx.CreateUser(store.User{ID: "u", Email: "alice@example.com"}); err != nil {
			return err
		}
		return tx.AppendAudit(audit.Record{Type: audit.TypeUserCreatedJIT, Details: []string{"not an object"}})
	})
	if err == nil {
		e.Error("a record that cannot be written did not stop the change")
	}
	if _, err := e.db.User(e.Context(), "u"); !errors.Is(err, store.ErrNotFound) {
		e.Errorf("the user is there: %v", err)
	}
	lines, _, _ := e.db.Audit(e.Context(), store.AuditQuery{})
	same(e.T, "records", len(lines), 0)
}

func testPending(e *env) {
	p := store.Pending{
		HandleHash: hash(1), BrowserHash: hash(2), Connection: "okta", IdPUID: "uid-okta", RequestID: "_r", ReturnURL: "https://app.example.com/?a=b", Classes: []string{"x"},
		Comparison: "exact", ForceAuthn: true, Test: true, IssuedAt: start, ExpiresAt: start.Add(15 * time.Minute),
	}
	if err := e.db.SavePending(e.Context(), p); err != nil {
		e.Fatal(err)
	}
	got, err := e.db.Pending(e.Context(), hash(1))
	if err != nil {
		e.Fatal(err)
	}
	same(e.T, "pending", got, p)
	consume := func() (err error) {
		return e.db.Do(e.Context(), func(tx store.Tx) error { _, err := tx.ConsumePending(hash(1)); return err })
	}
	if err := consume(); err != nil {
		e.Fatal(err)
	}
	if err := consume(); !errors.Is(err, store.ErrNotFound) {
		e.Errorf("consumed again: %v", err)
	}
	p.HandleHash = hash(3)
	if err := e.db.SavePending(e.Context(), p); err != nil {
		e.Fatal(err)
	}
	e.clock.Step(15 * time.Minute)
	if _, err := e.db.Pending(e.Context(), hash(3)); !errors.Is(err, store.ErrNotFound) {
		e.Errorf("an expired one was found: %v", err)
	}
}

func testReplayGuard(e *env) {
	remember := func(idp, id string) error {
		return e.db.Do(e.Context(), func(tx store.Tx) error { return tx.RememberAssertion(idp, id, start.Add(time.Minute)) })
	}
	long := strings.Repeat("x", 100_000)
	for _, c := range []struct {
		idp, id string
		want    error
	}{{"a", "_1", nil}, {"a", "_1", store.ErrReplayed}, {"b", "_1", nil}, {"a", "_2", nil}, {"a", long, nil}, {"a", long, store.ErrReplayed}} {
		if err := remember(c.idp, c.id); !errors.Is(err, c.want) {
			e.Errorf("%s: %v, want %v", c.idp, err, c.want)
		}
	}
}

func testUnique(e *env) {
	alice, bob := e.user("alice@example.com"), e.user("bob@example.com")
	e.do(func(tx store.Tx) error {
		if err := tx.CreateUser(store.User{ID: "other", Email: "alice@example.com"}); !errors.Is(err, store.ErrConflict) {
			e.Errorf("a second user with the address: %v", err)
		}
		moved := bob
		moved.Email = "alice@example.com"
		if err := tx.UpdateUser(moved); !errors.Is(err, store.ErrConflict) {
			e.Errorf("an update to a taken address: %v", err)
		}
		if err := tx.SaveLink(store.Link{UserID: alice.ID, IdP: okta, Subject: "s1"}); err != nil {
			return err
		}
		if err := tx.SaveLink(store.Link{UserID: bob.ID, IdP: okta, Subject: "s1"}); !errors.Is(err, store.ErrConflict) {
			e.Errorf("a second user with the subject: %v", err)
		}
		// Another IdP's subject of the same name is another subject, and no subject at all is never the same.
		if err := errors.Join(tx.SaveLink(store.Link{UserID: bob.ID, IdP: adfs, Subject: "s1"}), tx.SaveLink(store.Link{UserID: bob.ID, IdP: okta})); err != nil {
			return err
		}
		found, err := tx.UserBySubject(okta.UID, "s1")
		same(e.T, "by subject", found.ID, alice.ID)
		if _, err := tx.UserBySubject("other", "s1"); !errors.Is(err, store.ErrNotFound) {
			e.Errorf("by the subject of another IdP: %v", err)
		}
		return err
	})
}

func testUserPages(e *env) {
	for i := range 25 {
		e.user(fmt.Sprintf("user%02d@example.com", i))
	}
	e.user("zoe@example.org")
	e.do(func(tx store.Tx) error {
		u, err := tx.UserByEmail("user07@example.com")
		if err != nil {
			return err
		}
		u.SuspendedAt, u.SuspendReason, u.IdP = start, "left", adfs
		return tx.UpdateUser(u)
	})
	collect := func(q store.UserQuery) (all []string) {
		for {
			page, next, err := e.db.Users(e.Context(), q)
			if err != nil {
				e.Fatal(err)
			}
			for _, u := range page {
				all = append(all, u.Email)
			}
			if next == "" {
				return all
			}
			q.Cursor = next
		}
	}
	if all := collect(store.UserQuery{Limit: 7}); len(all) != 26 || !slices.IsSorted(all) {
		e.Errorf("%d users, sorted %v", len(all), slices.IsSorted(all))
	}
	same(e.T, "prefix", len(collect(store.UserQuery{Prefix: "user1", Limit: 3})), 10)
	same(e.T, "suspended", collect(store.UserQuery{Suspended: true}), []string{"user07@example.com"})
	same(e.T, "of an IdP", collect(store.UserQuery{IdPUID: adfs.UID}), []string{"user07@example.com"})
}

func testLinks(e *env) {
	u := e.user("alice@example.com")
	l := store.Link{UserID: u.ID, IdP: okta, Subject: "s", Attributes: map[string]string{"city": "Oxford"}, Raw: map[string][]string{"x": {"1", "2"}}, CreatedAt: start, RecordedAt: start}
	e.do(func(tx store.Tx) error { return tx.SaveLink(l) })
	l.Attributes, l.RecordedAt, l.CreatedAt = map[string]string{"state": "Oxon"}, start.Add(time.Hour), start.Add(time.Hour)
	e.do(func(tx store.Tx) error { return tx.SaveLink(l) })
	l.CreatedAt = start // the first stays
	got, err := e.db.Links(e.Context(), u.ID)
	if err != nil {
		e.Fatal(err)
	}
	same(e.T, "links", got, []store.Link{l})
	e.do(func(tx store.Tx) error {
		page, err := tx.LinksOfIdP(okta.UID, "", 10)
		same(e.T, "of the IdP", len(page), 1)
		return errors.Join(err, tx.RemoveLink(u.ID, okta.UID))
	})
	got, _ = e.db.Links(e.Context(), u.ID)
	same(e.T, "links", len(got), 0)
	p := store.Profile{"city": {Value: "Oxford", Source: store.SourceIdP, IdPUID: "x", UpdatedAt: start}}
	e.do(func(tx store.Tx) error { return tx.SaveProfile(u.ID, p) })
	read, err := e.db.Profile(e.Context(), u.ID)
	if err != nil {
		e.Fatal(err)
	}
	same(e.T, "profile", read, p)
}

func testGroups(e *env) {
	alice, bob := e.user("alice@example.com"), e.user("bob@example.com")
	sync := func(u store.User, idp store.IdPRef, s store.GroupSync) (changes store.GroupChanges) {
		e.Helper()
		e.do(func(tx store.Tx) (err error) { changes, err = tx.SyncGroups(u.ID, idp, s); return err })
		return changes
	}
	same(e.T, "first", sync(alice, okta, store.GroupSync{Claimed: []string{"b", "a"}, Ruled: []string{"c", "a"}}), store.GroupChanges{Discovered: []string{"a", "b", "c"}, Added: []string{"a", "b", "c"}})
	same(e.T, "again", sync(alice, okta, store.GroupSync{Claimed: []string{"b", "a"}, Ruled: []string{"c", "a"}}), store.GroupChanges{})
	same(e.T, "bob", sync(bob, okta, store.GroupSync{Claimed: []string{"a", "d"}}), store.GroupChanges{Discovered: []string{"d"}, Added: []string{"a", "d"}})
	same(e.T, "other IdP", sync(alice, adfs, store.GroupSync{Claimed: []string{"a"}}), store.GroupChanges{Discovered: []string{"a"}, Added: []string{"a"}})
	same(e.T, "kept", sync(alice, okta, store.GroupSync{KeepClaimed: true}), store.GroupChanges{Removed: []string{"c"}})
	same(e.T, "revoked", sync(alice, okta, store.GroupSync{}), store.GroupChanges{Removed: []string{"a", "b"}})
	many := make([]string, 1200)
	for i := range many {
		many[i] = fmt.Sprintf("group-%04d", i)
	}
	same(e.T, "many", len(sync(alice, okta, store.GroupSync{Claimed: many}).Added), 1200)
	same(e.T, "and none", len(sync(alice, okta, store.GroupSync{}).Removed), 1200)
	var names []string
	e.do(func(tx store.Tx) (err error) { names, err = tx.InvalidateGroups(adfs.UID, 10); return err })
	same(e.T, "invalidated", names, []string{"a"})
	e.do(func(tx store.Tx) (err error) { names, err = tx.InvalidateGroups(adfs.UID, 10); return err })
	same(e.T, "invalidated again", len(names), 0)
	groups, _ := e.db.Groups(e.Context(), alice.ID)
	if len(groups) != 1 || groups[0].InvalidatedAt.IsZero() || groups[0].IdP != adfs {
		e.Errorf("groups %+v", groups)
	}
}

func testSessions(e *env) {
	u := e.user("alice@example.com")
	e.do(func(tx store.Tx) error {
		_, err := tx.SyncGroups(u.ID, okta, store.GroupSync{Claimed: []string{"b", "a"}})
		if err == nil {
			_, err = tx.SyncGroups(u.ID, adfs, store.GroupSync{Claimed: []string{"elsewhere"}})
		}
		return err
	})
	want := store.Session{
		TokenHash: hash(1), UserID: u.ID, IdP: okta, NameID: store.NameID{Value: "n", Format: "f", NameQualifier: "q", SPNameQualifier: "s"}, SessionIndex: "_i", AuthnContext: "c",
		CreatedAt: start, LastSeenAt: start, ExpiresAt: start.Add(time.Hour), IdleTimeout: 30 * time.Minute, SecondFactorPending: true, ReturnURL: "https://x.example.com/", IP: "203.0.113.7",
		UserAgent: "agent", EmailDomain: "example.com",
	}
	e.do(func(tx store.Tx) error { return tx.CreateSession(want) })
	got, err := e.db.SessionByHash(e.Context(), hash(1))
	if err != nil {
		e.Fatal(err)
	}
	want.User, want.Groups = u, []string{"a", "b"}
	same(e.T, "session", got, want)
	for n := byte(2); n < 12; n++ {
		e.session(u.ID, n, func(s *store.Session) { s.CreatedAt = start.Add(time.Duration(n/2) * time.Second) })
	}
	var all []byte
	q := store.SessionQuery{UserID: u.ID, Limit: 3}
	for {
		page, next, err := e.db.Sessions(e.Context(), q)
		if err != nil {
			e.Fatal(err)
		}
		for _, s := range page {
			all = append(all, s.TokenHash[0])
		}
		if q.Cursor = next; next == "" {
			break
		}
	}
	same(e.T, "newest first, each once", all, []byte{11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1})
	if _, _, err := e.db.Sessions(e.Context(), store.SessionQuery{Cursor: "nonsense"}); !errors.Is(err, store.ErrCursor) {
		e.Errorf("a bad cursor: %v", err)
	}
	touch := func(minutes int) {
		e.Helper()
		if err := e.db.TouchSessions(e.Context(), []store.Touch{{Hash: hash(99), At: start}, {Hash: hash(1), At: start.Add(time.Duration(minutes) * time.Minute)}}); err != nil {
			e.Fatal(err)
		}
	}
	touch(5)
	touch(3)
	got, _ = e.db.SessionByHash(e.Context(), hash(1))
	same(e.T, "last seen never goes back", got.LastSeenAt, start.Add(5*time.Minute))
	domains, err := e.db.SessionDomains(e.Context())
	if err != nil {
		e.Fatal(err)
	}
	same(e.T, "domains", domains, []store.SessionDomain{{IdPUID: "uid-okta", Domain: "example.com"}})
	e.session(u.ID, 98, func(s *store.Session) { s.IdP = store.IdPRef{} }) // of nobody
	e.do(func(tx store.Tx) error {
		return tx.SaveLink(store.Link{UserID: u.ID, IdP: adfs, CreatedAt: start, RecordedAt: start})
	})
	idps, err := e.db.IdPs(e.Context())
	if err != nil {
		e.Fatal(err)
	}
	same(e.T, "IdPs", idps, []store.IdPRef{adfs, okta})
	e.clock.Step(time.Hour)
	if _, err := e.db.SessionByHash(e.Context(), hash(1)); !errors.Is(err, store.ErrNotFound) {
		e.Errorf("an expired session: %v", err)
	}
}

// testEndHandedOver: what was handed over ends with the session that it came from, and nothing else does.
func testEndHandedOver(e *env, alice, bob store.User) {
	of := func(parent byte) func(*store.Session) {
		return func(s *store.Session) { s.Audience, s.Parent = "wiki.example.org", hex.EncodeToString(hash(parent)) }
	}
	for _, m := range []store.SessionMatch{{TokenHash: hash(21)}, {SessionPrefix: "1515151515"}} {
		e.do(func(tx store.Tx) error {
			_, err := tx.EndSessions(store.SessionMatch{UserID: alice.ID})
			_, err2 := tx.EndSessions(store.SessionMatch{UserID: bob.ID})
			return errors.Join(err, err2)
		})
		e.session(alice.ID, 21)
		e.session(alice.ID, 22, of(21))
		e.session(alice.ID, 23, of(21))
		e.session(alice.ID, 24)
		e.session(alice.ID, 25, of(24))
		// A browser may call itself anything.
		e.session(alice.ID, 26, func(s *store.Session) { s.UserAgent = `","parent":"` + hex.EncodeToString(hash(21)) + `"` })
		e.session(bob.ID, 27, of(21))
		var got []byte
		e.do(func(tx store.Tx) error {
			got = nil
			ended, err := tx.EndSessions(m)
			for _, s := range ended {
				got = append(got, s.TokenHash[0])
			}
			return err
		})
		if len(got) == 0 || got[0] != 21 {
			e.Errorf("%+v: the session itself does not come first: %v", m, got)
		}
		slices.Sort(got)
		same(e.T, "handed over", got, []byte{21, 22, 23})
	}
}

func testEndSessions(e *env) {
	alice, bob := e.user("alice@example.com"), e.user("bob@example.org")
	add := func() {
		e.session(alice.ID, 1, func(s *store.Session) { s.NameID.Value, s.SessionIndex = "na", "i1" })
		e.session(alice.ID, 2, func(s *store.Session) { s.NameID.Value, s.SessionIndex = "na", "i2" })
		e.session(alice.ID, 3, func(s *store.Session) { s.NameID.Value, s.SessionIndex, s.IdP = "na", "i1", adfs })
		e.session(bob.ID, 4, func(s *store.Session) { s.NameID.Value, s.EmailDomain = "nb", "example.org" })
	}
	for _, c := range []struct {
		name  string
		match store.SessionMatch
		want  []byte
	}{
		{"hash", store.SessionMatch{TokenHash: hash(2)}, []byte{2}},
		{"prefix", store.SessionMatch{SessionPrefix: "0202020202"}, []byte{2}},
		{"odd prefix", store.SessionMatch{SessionPrefix: "020202020"}, []byte{2}},
		{"user", store.SessionMatch{UserID: alice.ID}, []byte{1, 2, 3}},
		{"user but this one", store.SessionMatch{UserID: alice.ID, Except: hash(2)}, []byte{1, 3}},
		{"idp", store.SessionMatch{IdPUID: okta.UID}, []byte{1, 2, 4}},
		{"idp and domain", store.SessionMatch{IdPUID: okta.UID, Domain: "example.org"}, []byte{4}},
		{"name ID", store.SessionMatch{IdPUID: okta.UID, NameID: &store.NameID{Value: "na"}}, []byte{1, 2}},
		{"name ID and index", store.SessionMatch{IdPUID: okta.UID, NameID: &store.NameID{Value: "na"}, SessionIndexes: []string{"i2", "i9"}}, []byte{2}},
		{"limit", store.SessionMatch{UserID: alice.ID, Limit: 2}, nil},
	} {
		e.do(func(tx store.Tx) error {
			_, err := tx.EndSessions(store.SessionMatch{UserID: alice.ID})
			_, err2 := tx.EndSessions(store.SessionMatch{UserID: bob.ID})
			return errors.Join(err, err2)
		})
		add()
		var got []byte
		e.do(func(tx store.Tx) error {
			ended, err := tx.EndSessions(c.match)
			for _, s := range ended {
				got = append(got, s.TokenHash[0])
				if s.Email == "" || s.UserID == "" || s.NameID.Value == "" {
					e.Errorf("%s: ended %+v", c.name, s)
				}
			}
			return err
		})
		if c.name == "limit" {
			same(e.T, c.name, len(got), 2)
			continue
		}
		slices.Sort(got)
		same(e.T, c.name, got, c.want)
	}
	testEndHandedOver(e, alice, bob)
	for name, m := range map[string]store.SessionMatch{"nothing": {}, "only an exception": {Except: hash(1)}, "a short prefix": {SessionPrefix: "0202"}, "no hex": {SessionPrefix: "zzzzzzzz"}} {
		if err := e.db.Do(e.Context(), func(tx store.Tx) error { _, err := tx.EndSessions(m); return err }); err == nil {
			e.Errorf("%s ended sessions", name)
		}
	}
}

// testHandoverMeetsEnd: a session is ended at the very moment at which one is being handed over from it.
func testHandoverMeetsEnd(e *env) {
	alice := e.user("alice@example.com")
	for name, m := range map[string]store.SessionMatch{"hash": {TokenHash: hash(1)}, "user": {UserID: alice.ID}} {
		parent := store.Session{TokenHash: hash(1), UserID: alice.ID, IdP: okta, CreatedAt: start, LastSeenAt: start, ExpiresAt: start.Add(time.Hour), EmailDomain: "example.com"}
		e.do(func(tx store.Tx) error { return tx.CreateSession(parent) })
		ended := make(chan int, 1)
		e.do(func(tx store.Tx) error {
			child, err := tx.Session(parent.TokenHash)
			if err != nil {
				return err
			}
			e.end(m, ended)
			child.TokenHash, child.Audience, child.Parent = hash(2), "wiki.example.org", hex.EncodeToString(parent.TokenHash)
			return tx.CreateSession(child)
		})
		same(e.T, name, <-ended, 2)
		if _, err := e.db.SessionByHash(e.Context(), hash(2)); !errors.Is(err, store.ErrNotFound) {
			e.Errorf("%s: what was handed over is still there: %v", name, err)
		}
	}
}

// testRotationMeetsEnd: a session gets another token at the very moment at which it is ended.
func testRotationMeetsEnd(e *env) {
	alice := e.user("alice@example.com")
	for name, m := range map[string]store.SessionMatch{"user": {UserID: alice.ID}, "domain": {IdPUID: okta.UID, Domain: "example.com"}} {
		e.session(alice.ID, 1)
		ended := make(chan int, 1)
		e.do(func(tx store.Tx) error {
			if err := tx.UpdateSession(hash(1), store.SessionUpdate{NewTokenHash: hash(2), SecondFactorDone: true}); err != nil {
				return err
			}
			e.end(m, ended)
			return nil
		})
		same(e.T, name, <-ended, 1)
		if _, err := e.db.SessionByHash(e.Context(), hash(2)); !errors.Is(err, store.ErrNotFound) {
			e.Errorf("%s: the session goes on with its new token: %v", name, err)
		}
	}
}

// end ends sessions beside the transaction that runs, and returns when it waits for that one.
func (e *env) end(m store.SessionMatch, ended chan int) {
	e.Helper()
	go func() {
		n := 0
		err := e.db.Do(context.Background(), func(tx store.Tx) error {
			all, err := tx.EndSessions(m)
			n = len(all)
			return err
		})
		if err != nil {
			e.Error(err)
		}
		ended <- n
	}()
	e.untilWaiting(ended)
}

// untilWaiting returns when another transaction waits for this one, or is done. With SQLite it cannot even begin.
func (e *env) untilWaiting(done chan int) {
	e.Helper()
	if strings.HasPrefix(e.url, "postgres") {
		untilWaiting(e.T, e.db, done)
	}
}

// untilWaiting returns when a transaction waits for another one in PostgreSQL, or something is done.
func untilWaiting[T any](t *testing.T, d *store.DB, done chan T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); len(done) == 0; time.Sleep(time.Millisecond) {
		waits := false
		if err := store.Write(d).QueryRow(`SELECT EXISTS (SELECT 1 FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE NOT l.granted AND a.datname = current_database())`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
		if waits {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody waits")
		}
	}
}

func testRotate(e *env) {
	u := e.user("alice@example.com")
	e.session(u.ID, 1, func(s *store.Session) { s.SecondFactorPending = true })
	e.do(func(tx store.Tx) error {
		return tx.UpdateSession(hash(1), store.SessionUpdate{SecondFactorDone: true, NewTokenHash: hash(2)})
	})
	if _, err := e.db.SessionByHash(e.Context(), hash(1)); !errors.Is(err, store.ErrNotFound) {
		e.Errorf("the old token works: %v", err)
	}
	s, err := e.db.SessionByHash(e.Context(), hash(2))
	if err != nil || s.SecondFactorPending {
		e.Errorf("%+v, %v", s, err)
	}
	if err := e.db.Do(e.Context(), func(tx store.Tx) error { return tx.UpdateSession(hash(1), store.SessionUpdate{SecondFactorDone: true}) }); !errors.Is(err, store.ErrNotFound) {
		e.Errorf("updating an ended session: %v", err)
	}
}

func testFactors(e *env) {
	u := e.user("alice@example.com")
	f := store.SecondFactor{ID: "f1", UserID: u.ID, Kind: store.FactorTOTP, Label: "phone", Secret: []byte{0, 1, 255}, CreatedAt: start}
	e.do(func(tx store.Tx) error {
		return errors.Join(tx.SaveSecondFactor(f), tx.SaveSecondFactor(store.SecondFactor{ID: "f2", UserID: u.ID, Kind: store.FactorPasskey, Secret: []byte("x"), CreatedAt: start.Add(1)}))
	})
	f.Confirmed, f.Counter, f.LastUsedAt, f.Label = true, 42, start.Add(time.Hour), "new phone"
	e.do(func(tx store.Tx) error { return tx.SaveSecondFactor(f) })
	got, err := e.db.SecondFactors(e.Context(), u.ID)
	if err != nil || len(got) != 2 {
		e.Fatal(got, err)
	}
	same(e.T, "factor", got[0], f)
	e.do(func(tx store.Tx) error {
		h, err := tx.FactorThrottle(u.ID)
		same(e.T, "no throttle", h, store.Throttle{})
		if err == nil {
			err = tx.SaveFactorThrottle(u.ID, store.Throttle{Failures: 3, Until: start})
		}
		if err == nil {
			h, err = tx.FactorThrottle(u.ID)
		}
		same(e.T, "throttle", h, store.Throttle{Failures: 3, Until: start})
		n, err2 := tx.DeleteSecondFactors(u.ID, "f2", "f9")
		same(e.T, "one deleted", n, 1)
		n, err3 := tx.DeleteSecondFactors(u.ID)
		same(e.T, "the rest", n, 1)
		return errors.Join(err, err2, err3)
	})
}

func testJobs(e *env) {
	read := func() (state []byte) {
		e.do(func(tx store.Tx) (err error) { state, err = tx.Job("j"); return err })
		return state
	}
	save := func(state []byte) { e.do(func(tx store.Tx) error { return tx.SaveJob("j", state) }) }
	same(e.T, "none", read(), nil)
	save([]byte("1"))
	save([]byte("2"))
	same(e.T, "saved", read(), []byte("2"))
	save(nil)
	same(e.T, "removed", read(), nil)
}

func testStats(e *env) {
	alice := e.user("alice@example.com")
	e.user("bob@example.com")
	e.session(alice.ID, 1)
	e.session(alice.ID, 2, func(s *store.Session) { s.IdP = adfs })
	e.session(alice.ID, 3, func(s *store.Session) { s.ExpiresAt = start })
	got, err := e.db.Stats(e.Context())
	if err != nil {
		e.Fatal(err)
	}
	same(e.T, "stats", got, store.Stats{Users: 2, ActiveSessions: 2, IdPs: map[string]store.IdPStats{"uid-okta": {Users: 2, Sessions: 1, LastSignIn: start}, "uid-adfs": {Sessions: 1}}})
}

func testDebug(e *env) {
	e.db.SetDebugBounds(100, time.Hour)
	entry := store.DebugEntry{
		Reference: "7F3K-9Q2M", IdP: adfs, ErrorType: "expired", Sentence: "s", Expected: "a", Actual: "b", Attributes: map[string][]string{"x": {"y"}}, NameID: store.NameID{Value: "n"},
		ClockDifference: time.Second, XML: []byte("<Response/>"), At: start,
	}
	add := func(d store.DebugEntry) {
		e.Helper()
		if err := e.db.AddDebugEntry(e.Context(), d); err != nil {
			e.Fatal(err)
		}
	}
	add(entry)
	// A flood of one kind.
	for i := range 1000 {
		e.clock.Step(time.Millisecond)
		add(store.DebugEntry{Reference: fmt.Sprint(i), IdP: okta, ErrorType: "signature_invalid", XML: make([]byte, 300<<10)[:1+i%10]})
	}
	all, err := e.db.DebugEntries(e.Context(), store.DebugQuery{})
	if err != nil {
		e.Fatal(err)
	}
	if len(all) < 100 || len(all) > 130 {
		e.Errorf("%d entries are kept, want about 100", len(all))
	}
	same(e.T, "newest first", all[0].Reference, "999")
	got, err := e.db.DebugEntry(e.Context(), "7F3K-9Q2M")
	if err != nil {
		e.Fatalf("the flood evicted the only entry of its kind: %v", err)
	}
	entry.ID = got.ID
	same(e.T, "entry", got, entry)
	byID, err := e.db.DebugEntry(e.Context(), got.ID)
	same(e.T, "by ID", []any{byID.Reference, err}, []any{"7F3K-9Q2M", nil})
	of, _ := e.db.DebugEntries(e.Context(), store.DebugQuery{IdP: "adfs"})
	same(e.T, "of an IdP, without XML", []int{len(of), len(of[0].XML)}, []int{1, 0})
	if _, err := e.db.DebugEntry(e.Context(), "nope"); !errors.Is(err, store.ErrNotFound) {
		e.Errorf("an unknown entry: %v", err)
	}
	add(store.DebugEntry{Reference: "big", IdP: okta, ErrorType: "limit_exceeded", XML: make([]byte, 2<<20)})
	big, _ := e.db.DebugEntry(e.Context(), "big")
	same(e.T, "XML is cut", len(big.XML), 256<<10)
	// A flood of everything at once.
	for i := range 300 {
		e.clock.Step(time.Millisecond)
		add(store.DebugEntry{Reference: fmt.Sprint("each", i), IdP: store.IdPRef{UID: fmt.Sprint(i), Name: "one-of-many"}, ErrorType: "malformed"})
	}
	all, _ = e.db.DebugEntries(e.Context(), store.DebugQuery{})
	if len(all) < 200 || len(all) >= 225 || all[0].Reference != "each299" {
		e.Errorf("%d entries are kept of a flood of every kind, the newest is %s", len(all), all[0].Reference)
	}
	e.clock.Step(time.Hour)
	if _, err := e.db.Sweep(e.Context(), true); err != nil {
		e.Fatal(err)
	}
	all, _ = e.db.DebugEntries(e.Context(), store.DebugQuery{})
	same(e.T, "after the retention", len(all), 0)
}

func testSweep(e *env) {
	u := e.user("alice@example.com")
	e.session(u.ID, 1, func(s *store.Session) { s.ExpiresAt = start.Add(time.Minute) })
	e.session(u.ID, 2, func(s *store.Session) { s.ExpiresAt, s.IdleTimeout = start.Add(100*time.Hour), time.Hour })
	e.session(u.ID, 3, func(s *store.Session) { s.ExpiresAt = start.Add(100 * time.Hour) })
	e.do(func(tx store.Tx) error {
		return errors.Join(tx.RememberAssertion("a", "_1", start.Add(time.Minute)), tx.RememberAssertion("a", "_2", start.Add(100*time.Hour)))
	})
	if err := e.db.SavePending(e.Context(), store.Pending{HandleHash: hash(1), ExpiresAt: start.Add(time.Minute)}); err != nil {
		e.Fatal(err)
	}
	sweep := func(want int) {
		e.Helper()
		n, err := e.db.Sweep(e.Context(), true)
		if err != nil {
			e.Fatal(err)
		}
		same(e.T, "swept", n, want)
	}
	sweep(0)
	e.clock.Step(time.Minute)
	sweep(2)
	e.clock.Step(2 * time.Hour)
	sweep(2) // an assertion is remembered for longer than it could be used
	sweep(0)
	if _, err := e.db.SessionByHash(e.Context(), hash(3)); err != nil {
		e.Error(err)
	}
}

// testHostileText: what browsers and IdPs send goes in and comes back, or at least does not fail a sign-in.
func testHostileText(e *env) {
	nasty := "\"'; DROP TABLE users; -- \u0000 \xff \U0001F600 \u2028"
	u := e.user("alice@example.com")
	e.do(func(tx store.Tx) error {
		return errors.Join(
			tx.SaveLink(store.Link{UserID: u.ID, IdP: okta, Raw: map[string][]string{nasty: {nasty}}}),
			tx.CreateSession(store.Session{TokenHash: hash(1), UserID: u.ID, IdP: okta, UserAgent: nasty, ExpiresAt: start.Add(time.Hour)}),
			tx.AppendAudit(audit.Record{Type: audit.TypeUserAccessDenied, Actor: audit.Actor{Kind: audit.ActorUser, ID: nasty, UserAgent: nasty}, Reason: nasty, Request: nasty}),
		)
	})
	if err := e.db.AddDebugEntry(e.Context(), store.DebugEntry{IdP: okta, Sentence: nasty, Actual: nasty, XML: []byte(nasty)}); err != nil {
		e.Error(err)
	}
	if _, err := e.db.User(e.Context(), u.ID); err != nil {
		e.Error(err)
	}
}
