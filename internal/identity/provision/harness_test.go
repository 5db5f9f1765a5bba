package provision_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/audit/ration"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// world is a service over a store with three IdPs: okta (example.com), evil (mallory.example) and catch (the catch-all).
type world struct {
	t       *testing.T
	clock   *testclock.FakeClock
	db      *store.DB
	service *provision.Service
	domains []snapshot.Domain
	mapping snapshot.Mapping
	profile []snapshot.ProfileAttribute
	number  atomic.Int64
}

func each(t *testing.T, run func(t *testing.T, w *world)) {
	storetest.Each(t, func(t *testing.T, storeURL string) { run(t, newWorld(t, storeURL)) })
}

func newWorld(t *testing.T, storeURL string) *world {
	clock := testclock.NewFakeClock(start)
	db := storetest.Open(t, storeURL, store.Options{Clock: clock})
	mapping := identity.Preset("Generic")
	return &world{
		t: t, clock: clock, db: db, service: provision.NewService(db, ration.New(clock, db.WriteAudit, nil)), mapping: mapping,
		domains: []snapshot.Domain{
			{Domain: "example.com", Connection: "okta", Binding: "example-com"},
			{Domain: "mallory.example", Connection: "evil", Binding: "mallory"},
		},
		profile: []snapshot.ProfileAttribute{{Name: "department", Mirror: true}, {Name: "jobTitle", Mirror: true}, {Name: "country", Mirror: true}, {Name: "city"}},
	}
}

func idp(name string) store.IdPRef { return store.IdPRef{UID: "uid-" + name, Name: name} }

func (w *world) table() *identity.DomainTable {
	return identity.NewDomainTable(w.domains, []snapshot.Connection{{Name: "okta"}, {Name: "evil"}, {Name: "catch", CatchAll: true}})
}

// signIn is a sign-in of a fresh assertion through an IdP with just-in-time provisioning.
func (w *world) signIn(idpName string, attributes map[string][]string, change ...func(*provision.SignIn)) provision.SignIn {
	w.t.Helper()
	mapping, err := identity.CompileMapping(w.mapping)
	if err != nil {
		w.t.Fatal(err)
	}
	in := provision.SignIn{
		Connection: provision.Connection{IdP: idp(idpName), Enabled: true, Provisioning: snapshot.Provisioning{JIT: true}, Mapping: mapping},
		Domains:    w.table(), Profile: w.profile,
		Session: snapshot.Session{Lifetime: 12 * time.Hour, IdleTimeout: time.Hour},
		Assertion: provision.Assertion{
			Input: identity.Input{Attributes: attributes}, ID: fmt.Sprintf("_assertion%d", w.number.Add(1)), ReplayUntil: w.clock.Now().Add(6 * time.Minute), SessionIndex: "_s1",
		},
		Client: provision.Client{IP: "203.0.113.7", UserAgent: "test", Request: "7F3K-9Q2M"},
	}
	for _, c := range change {
		c(&in)
	}
	return in
}

func persistent(value string) func(*provision.SignIn) {
	return func(in *provision.SignIn) {
		in.Assertion.NameID = identity.NameID{Value: value, Format: identity.FormatPersistent}
	}
}

func (w *world) must(in provision.SignIn) *provision.Result {
	w.t.Helper()
	r, err := w.service.SignIn(w.t.Context(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// refuse signs in and expects a refusal for a reason, recorded under a type, without a session.
func (w *world) refuse(in provision.SignIn, reason identity.Reason, recorded audit.Type) {
	w.t.Helper()
	r, err := w.service.SignIn(w.t.Context(), in)
	rejection, ok := identity.AsRejection(err)
	if !ok {
		w.t.Fatalf("want a refusal (%s), got %+v, %v", reason, r, err)
	}
	if rejection.Reason != reason {
		w.t.Errorf("refused for %s (%s), want %s", rejection.Reason, rejection.Sentence, reason)
	}
	last := w.records()
	if len(last) == 0 || last[len(last)-1].Type != recorded || last[len(last)-1].Reason != string(reason) || last[len(last)-1].Outcome != audit.OutcomeDenied {
		w.t.Errorf("the last record is %+v, want a denied %s with reason %s", last[len(last)-1], recorded, reason)
	}
}

func email(address string, more ...string) map[string][]string {
	m := map[string][]string{"email": {address}}
	for i := 0; i+1 < len(more); i += 2 {
		m[more[i]] = append(m[more[i]], more[i+1])
	}
	return m
}

func (w *world) records() []audit.Record {
	w.t.Helper()
	lines, _, err := w.db.Audit(w.t.Context(), store.AuditQuery{})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.SortFunc(lines, func(a, b store.AuditLine) int {
		return strings.Compare(fmt.Sprintf("%s %09d", a.Writer, a.Sequence), fmt.Sprintf("%s %09d", b.Writer, b.Sequence))
	})
	var out []audit.Record
	for _, l := range lines {
		r, err := audit.ParseLine(l.Line)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b audit.Record) int { return a.Time.Compare(b.Time) })
	return out
}

// types are the types of the records since a sign-in began, and details finds the details of the last of a type.
func (w *world) types() []string {
	var out []string
	for _, r := range w.records() {
		out = append(out, r.Type.String())
	}
	return out
}

func (w *world) details(t audit.Type, into any) {
	w.t.Helper()
	records := w.records()
	for i := len(records) - 1; i >= 0; i-- {
		if records[i].Type == t {
			if err := json.Unmarshal(records[i].Details.(json.RawMessage), into); err != nil {
				w.t.Fatal(err)
			}
			return
		}
	}
	w.t.Fatalf("no record %s in %v", t, w.types())
}

func (w *world) groups(userID string) []string {
	w.t.Helper()
	groups, err := w.db.Groups(w.t.Context(), userID)
	if err != nil {
		w.t.Fatal(err)
	}
	out := []string{}
	for _, g := range groups {
		name := g.IdP.Name + "/" + g.Name
		if !g.InvalidatedAt.IsZero() {
			name += " (invalid)"
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (w *world) sessions() int {
	w.t.Helper()
	sessions, _, err := w.db.Sessions(w.t.Context(), store.SessionQuery{})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(sessions)
}

// step moves the clock, so that records of later steps sort after.
func (w *world) step() { w.clock.Step(time.Second) }

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		t.Errorf("%s: got %s, want %s", what, a, b)
	}
}
