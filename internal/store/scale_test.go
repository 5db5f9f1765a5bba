package store_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/internal/audit/ration"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// sizes are what the benchmarks compare: the cost must not grow from the first to the second.
var sizes = []int{1000, 1_000_000}

// round is how many sign-ins each store gets before it is the other's turn, so that whatever else the machine does meets both alike.
const round = 200

// BenchmarkSignIn signs people in, on PostgreSQL, with few and with many users, sessions and audit records in the store, in turns. An iteration is one round on
// each. Half of the people come again with what they had, which is what most sign-ins are; half are new.
func BenchmarkSignIn(b *testing.B) {
	var crowds []*signIns
	for _, users := range sizes {
		crowds = append(crowds, newSignIns(b, users, store.Options{}))
	}
	if err := store.Exec(crowds[0].db, "CHECKPOINT"); err != nil {
		b.Fatal(err)
	}
	for n := 0; b.Loop(); n++ {
		for i := range crowds {
			crowds[(n+i)%len(crowds)].round(b)
		}
	}
	for _, c := range crowds {
		c.report(b)
	}
}

// signIns is a store that people sign in to, and how long each took.
type signIns struct {
	users   int
	db      *store.DB
	service *provision.Service
	mapping *identity.CompiledMapping
	domains *identity.DomainTable
	number  atomic.Int64

	mu    sync.Mutex
	took  map[string][]time.Duration
	spent time.Duration
	wal   int64
}

func newSignIns(b testing.TB, users int, o store.Options) *signIns {
	b.Helper()
	mapping, err := identity.CompileMapping(identity.Preset("Generic"))
	if err != nil {
		b.Fatal(err)
	}
	d := crowd(b, users, o)
	return &signIns{
		users: users, db: d, service: provision.NewService(d, ration.New(clock.RealClock{}, d.WriteAudit, nil)), mapping: mapping, took: map[string][]time.Duration{},
		domains: identity.NewDomainTable([]snapshot.Domain{{Domain: "example.com", Connection: "idp"}}, nil),
	}
}

func (s *signIns) round(b *testing.B) {
	b.Helper()
	before, began := written(b, s.db), time.Now()
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for range round / runtime.GOMAXPROCS(0) {
				if err := s.one(b.Context()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
	s.spent += time.Since(began)
	s.wal += written(b, s.db) - before
}

// one signs somebody in. The known ones, and where in the order of addresses and subjects the new ones come, are all over the table.
func (s *signIns) one(ctx context.Context) error {
	n := s.number.Add(1)
	known := 1 + n*7919%int64(s.users)
	subject, address, kind := fmt.Sprintf("s%d", known), fmt.Sprintf("user%d@example.com", known), "known"
	if n%2 == 0 {
		subject, address, kind = fmt.Sprintf("s%dx%d", known, n), fmt.Sprintf("user%dx%d@example.com", known, n), "new"
	}
	began := time.Now()
	_, err := s.service.SignIn(ctx, provision.SignIn{
		Connection: provision.Connection{IdP: store.IdPRef{UID: "idp", Name: "idp"}, Enabled: true, Provisioning: snapshot.Provisioning{JIT: true}, Mapping: s.mapping},
		Domains:    s.domains, Profile: []snapshot.ProfileAttribute{{Name: "department", Mirror: true}}, Client: provision.Client{IP: "203.0.113.7", Request: fmt.Sprintf("r%d", n)},
		Assertion: provision.Assertion{
			Input: identity.Input{
				NameID: identity.NameID{Value: subject, Format: identity.FormatPersistent},
				Attributes: map[string][]string{
					"email": {address}, "groups": crowdGroups(known), "department": {"ML"}, "firstName": {"Alice"}, "lastName": {"Liddell"},
				},
			},
			ID: fmt.Sprintf("_a%d", n), ReplayUntil: time.Now().Add(time.Hour),
		},
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took[kind] = append(s.took[kind], time.Since(began))
	return err
}

func (s *signIns) report(b *testing.B) {
	all := append(slices.Clone(s.took["known"]), s.took["new"]...)
	report(b, all, fmt.Sprintf("/%d", s.users))
	report(b, s.took["known"], fmt.Sprintf("-known/%d", s.users))
	report(b, s.took["new"], fmt.Sprintf("-new/%d", s.users))
	b.ReportMetric(float64(len(all))/s.spent.Seconds(), fmt.Sprintf("sign-ins/s/%d", s.users))
	b.ReportMetric(float64(s.wal)/float64(len(all)), fmt.Sprintf("WAL-bytes/%d", s.users))
}

// written is how many bytes the server has written to its log so far.
func written(b *testing.B, d *store.DB) (n int64) {
	b.Helper()
	if err := store.Write(d).QueryRow(`SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint`).Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}

// TestWhoComesAgainTouchesNoIndex: a sign-in of somebody known, with what they had, writes the rows of the user and the link where they are (heap-only tuples).
// Otherwise each would also write a page of every index of both tables, all over them.
func TestWhoComesAgainTouchesNoIndex(t *testing.T) {
	s := newSignIns(t, 5000, store.Options{MaxConnections: 1})
	for range 400 {
		if err := s.one(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Exec(s.db, `SELECT pg_stat_force_next_flush()`); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"users", "links"} {
		var updated, inPlace int
		if err := store.Write(s.db).QueryRow(`SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1`, table).Scan(&updated, &inPlace); err != nil {
			t.Fatal(err)
		}
		if updated != 200 || inPlace < updated*95/100 {
			t.Errorf("%s: %d of %d updates touched no index", table, inPlace, updated)
		}
	}
}

// BenchmarkSessionRead reads what a check reads that finds nothing in its cache.
func BenchmarkSessionRead(b *testing.B) {
	for _, users := range sizes {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) {
			d := crowd(b, users, store.Options{})
			var took []time.Duration
			for n := 0; b.Loop(); n++ {
				hash := sha256.Sum256([]byte(strconv.Itoa(1 + n*7919%users)))
				began := time.Now()
				if _, err := d.SessionByHash(b.Context(), hash[:]); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			report(b, took, "")
		})
	}
}

func report(b *testing.B, took []time.Duration, of string) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs"+of)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs"+of)
}

// crowd is a store with so many users, sessions and audit records. The indexes are made after the rows, which takes half as long.
func crowd(b testing.TB, users int, o store.Options) *store.DB {
	b.Helper()
	o.Signer = signer(b)
	d := storetest.Open(b, storetest.PostgresURL(b), o)
	began := time.Now()
	rows, err := store.Write(d).Query(`SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT IN (SELECT conname FROM pg_constraint)`)
	if err != nil {
		b.Fatal(err)
	}
	var drop, create []string
	for rows.Next() {
		var name, definition string
		if err := rows.Scan(&name, &definition); err != nil {
			b.Fatal(err)
		}
		drop, create = append(drop, "DROP INDEX "+name), append(create, definition)
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
	exec := func(statements ...string) {
		for _, s := range statements {
			if err := store.Exec(d, s); err != nil {
				b.Fatalf("%s: %v", s, err)
			}
		}
	}
	exec(drop...)
	fill(b, d, true, users, "users", "links", "groups_of_idps", "memberships", "profiles", "sessions", "audit_records", "audit_writers")
	exec(create...)
	exec("VACUUM ANALYZE")
	b.Logf("%d users in %v", users, time.Since(began).Round(time.Second))
	return d
}
