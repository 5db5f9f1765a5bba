package replicas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
	"sallyport.dev/sallyport/test/internal/await"
)

// TestSignInBegunOnOneReplicaEndsOnAnother: the first is killed while the person is at the IdP.
func TestSignInBegunOnOneReplicaEndsOnAnother(t *testing.T) {
	r := newRig(t, storetest.PostgresURL(t))
	first, second := r.start(), r.start()
	b := r.browser(first)
	request, got := b.begin("alice@acme.example")
	if request == nil {
		t.Fatalf("%d %s", got.status, got.body)
	}
	first.Kill()
	b.to = second
	if got := b.finish(request, "alice@acme.example"); got.location != appURL {
		t.Fatalf("%d %q %s", got.status, got.location, got.body)
	}
	if got := b.check(second); got != http.StatusOK {
		t.Errorf("the check says %d", got)
	}
}

// TestFirstSignInsOfOnePersonMakeOneUser: twenty browsers at two processes at the same time.
func TestFirstSignInsOfOnePersonMakeOneUser(t *testing.T) {
	r := newRig(t, storetest.PostgresURL(t))
	replicas := []*replica{r.start(), r.start()}
	var browsers sync.WaitGroup
	var signedIn atomic.Int64
	const each = 10
	for i := range 2 * each {
		browsers.Go(func() {
			if r.browser(replicas[i%2]).signIn("alice@acme.example") {
				signedIn.Add(1)
			}
		})
	}
	browsers.Wait()
	if signedIn.Load() != 2*each {
		t.Errorf("%d of %d were signed in", signedIn.Load(), 2*each)
	}
	db := r.store()
	users, _, err := db.Users(t.Context(), store.UserQuery{})
	if err != nil || len(users) != 1 {
		t.Fatalf("%d users, %v", len(users), err)
	}
	sessions, _, err := db.Sessions(t.Context(), store.SessionQuery{})
	if err != nil || len(sessions) != 2*each {
		t.Errorf("%d sessions, %v", len(sessions), err)
	}
	if n := r.records(db, audit.TypeUserCreatedJIT)["alice@acme.example"]; n != 1 {
		t.Errorf("recorded as created %d times", n)
	}
	if n := r.records(db, audit.TypeUserSignedInSAML)["alice@acme.example"]; n != 2*each {
		t.Errorf("%d sign-ins recorded", n)
	}
}

// TestRevocationReachesTheOtherProcess within two seconds: by session, by user, and by suspension.
func TestRevocationReachesTheOtherProcess(t *testing.T) {
	r := newRig(t, storetest.PostgresURL(t))
	here, there := r.start(), r.start()
	for _, end := range []struct{ what, path, body string }{
		{"a user's sessions", "/v1/sessions/revoke", `{"user":"alice@acme.example"}`},
		{"an IdP's sessions", "/v1/sessions/revoke", `{"idp":"okta"}`},
		{"a suspension", "/v1/users/alice@acme.example/suspend", `{"reason":"left"}`},
	} {
		b, other := r.browser(here), r.browser(here)
		if !b.signIn("alice@acme.example") || !other.signIn("bob@acme.example") || b.check(there) != http.StatusOK || b.check(here) != http.StatusOK {
			t.Fatal("nobody is signed in")
		}
		began := time.Now()
		if code := here.api("POST", end.path, end.body, nil); code/100 != 2 {
			t.Fatalf("%s: %d", end.what, code)
		}
		if b.check(here) != http.StatusUnauthorized {
			t.Errorf("%s: not at once where it was asked for", end.what)
		}
		await.Until(t, end.what, func() bool { return b.check(there) == http.StatusUnauthorized })
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s took %v", end.what, took)
		}
	}
}

// TestKilledWhileSigningPeopleIn: whatever the moment, there is no user without its record, no session without its user and its record, and each chain of the
// audit log is whole.
func TestKilledWhileSigningPeopleIn(t *testing.T) {
	r := newRig(t, storetest.PostgresURL(t))
	survivor := r.start()
	acknowledged := map[string]bool{}
	for round := range 4 {
		victim := r.start()
		var mutex sync.Mutex
		var browsers sync.WaitGroup
		for i := range 8 {
			browsers.Go(func() {
				for n := 0; n < 50; n++ {
					email := fmt.Sprintf("user-%d-%d-%d@acme.example", round, i, n)
					if !r.browser(victim).signIn(email) {
						return
					}
					mutex.Lock()
					acknowledged[email] = true
					mutex.Unlock()
				}
			})
		}
		time.Sleep(time.Duration(150+rand.IntN(400)) * time.Millisecond) // the moment of death is what varies
		victim.Kill()
		browsers.Wait()
	}
	if len(acknowledged) == 0 {
		t.Fatal("nobody was signed in before a death")
	}
	db := r.store()
	users := r.holdsTogether(db, acknowledged)
	r.verifyAudit(db)
	if !r.browser(survivor).signIn("last@acme.example") {
		t.Error("the survivor signs nobody in")
	}
	t.Logf("%d people were signed in, %d of them heard of it", len(users), len(acknowledged))
}

// holdsTogether holds that there is no user without its record, no session without its user and its record, and that nobody is lost who was told to be signed in. It
// returns the users.
func (r *rig) holdsTogether(db *store.DB, acknowledged map[string]bool) []string {
	r.t.Helper()
	created, signedIn := r.records(db, audit.TypeUserCreatedJIT), r.records(db, audit.TypeUserSignedInSAML)
	users := r.users(db)
	for _, email := range users {
		if created[email] != 1 {
			r.t.Errorf("%s is recorded as created %d times", email, created[email])
		}
	}
	if len(created) != len(users) {
		r.t.Errorf("%d users, and %d recorded as created", len(users), len(created))
	}
	sessions := 0
	for cursor, first := "", true; first || cursor != ""; first = false {
		page, next, err := db.Sessions(r.t.Context(), store.SessionQuery{Cursor: cursor})
		if err != nil {
			r.t.Fatal(err)
		}
		for _, s := range page {
			if sessions++; signedIn[s.User.Email] == 0 {
				r.t.Errorf("a session of %q that nothing tells of", s.User.Email)
			}
		}
		cursor = next
	}
	total := 0
	for _, n := range signedIn {
		total += n
	}
	if sessions != total {
		r.t.Errorf("%d sessions, and %d sign-ins recorded", sessions, total)
	}
	for email := range acknowledged {
		if created[email] == 0 {
			r.t.Errorf("%s was told to be signed in, and is lost", email)
		}
	}
	return users
}

// records counts the records of a type by the user that they are about.
func (r *rig) records(db *store.DB, kind audit.Type) map[string]int {
	r.t.Helper()
	count := map[string]int{}
	for cursor, first := "", true; first || cursor != ""; first = false {
		lines, next, err := db.Audit(r.t.Context(), store.AuditQuery{Types: []audit.Type{kind}, Cursor: cursor})
		if err != nil {
			r.t.Fatal(err)
		}
		for _, line := range lines {
			var record audit.Record
			if err := json.Unmarshal(line.Line, &record); err != nil {
				r.t.Fatal(err)
			}
			count[record.Target.Name]++
		}
		cursor = next
	}
	return count
}

func (r *rig) users(db *store.DB) []string {
	r.t.Helper()
	var all []string
	for cursor, first := "", true; first || cursor != ""; first = false {
		page, next, err := db.Users(r.t.Context(), store.UserQuery{Cursor: cursor})
		if err != nil {
			r.t.Fatal(err)
		}
		for _, u := range page {
			all = append(all, u.Email)
		}
		cursor = next
	}
	return all
}

// verifyAudit holds every chain against its hashes.
func (r *rig) verifyAudit(db *store.DB) {
	r.t.Helper()
	report, err := audit.Verify(bytes.NewReader(r.auditLog(db)), audit.VerifyOptions{OpenEnd: true})
	if err != nil || !report.OK() {
		r.t.Errorf("the audit log does not verify: %v %+v", err, report.Findings)
	}
}

// auditLog is every line of every chain.
func (r *rig) auditLog(db *store.DB) []byte {
	r.t.Helper()
	heads, err := db.AuditHeads(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	var all bytes.Buffer
	for _, head := range heads {
		for after := uint64(0); ; {
			lines, err := db.AuditChain(r.t.Context(), head.Writer, after, 1000)
			if err != nil {
				r.t.Fatal(err)
			}
			if len(lines) == 0 {
				break
			}
			for _, line := range lines {
				all.Write(line.Line)
				all.WriteByte('\n')
				after = line.Sequence
			}
		}
	}
	return all.Bytes()
}

// TestStoreIsDown: those signed in stay so, everybody else gets a page that says so, probes tell, and afterwards everything goes on; nothing is half written.
func TestStoreIsDown(t *testing.T) {
	server, err := storetest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	storeURL, err := server.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, storeURL)
	p := r.start()
	alice, bob := r.browser(p), r.browser(p)
	if !alice.signIn("alice@acme.example") || alice.check(p) != http.StatusOK {
		t.Fatal("alice is not signed in")
	}
	halfway, got := bob.begin("bob@acme.example")
	if halfway == nil {
		t.Fatal(got)
	}

	server.Halt()
	await.Until(t, "readiness tells", func() bool { return p.probe("/readyz") == http.StatusServiceUnavailable })
	if p.probe("/healthz") != http.StatusOK || p.probe("/readyz?exclude=store") != http.StatusOK {
		t.Error("the process is taken for dead, or out of its Service, because of the store")
	}
	for range 20 {
		if code := alice.check(p); code != http.StatusOK {
			t.Fatalf("alice gets %d", code)
		}
	}
	clear := func(what string, got answer) {
		t.Helper()
		if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "Please try again in a moment") || !strings.Contains(got.body, "People who are signed in stay signed in") {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
	_, got = r.browser(p).begin("carol@acme.example")
	clear("a new sign-in", got)
	clear("an answer of the IdP", bob.finish(halfway, "bob@acme.example"))
	if code := p.api("GET", "/v1/users", "", nil); code != http.StatusServiceUnavailable {
		t.Errorf("the management API answers %d", code)
	}

	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "readiness recovers", func() bool { return p.probe("/readyz") == http.StatusOK })
	db := r.store()
	if users := r.users(db); len(users) != 1 {
		t.Errorf("users %v", users)
	}
	if code := alice.check(p); code != http.StatusOK {
		t.Errorf("alice gets %d", code)
	}
	// The response that the store did not take may be brought again: nothing of it was used up.
	if got := bob.finish(halfway, "bob@acme.example"); got.location != appURL {
		t.Errorf("%d %q %s", got.status, got.location, got.body)
	}
	r.verifyAudit(db)
}
