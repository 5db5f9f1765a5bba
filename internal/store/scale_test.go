package store_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// BenchmarkSignIn signs people in, on PostgreSQL, with few and with many users, sessions and audit records in the store: the cost must not grow with them.
// Half of the sign-ins are of people who are new.
func BenchmarkSignIn(b *testing.B) {
	for _, users := range []int{1000, 1_000_000} {
		var d *store.DB
		var number atomic.Int64
		all := b
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) {
			if d == nil { // this function runs several times
				d = crowd(all, users)
			}
			service := provision.NewService(d)
			mapping, err := identity.CompileMapping(identity.Preset("Generic"))
			if err != nil {
				b.Fatal(err)
			}
			domains := identity.NewDomainTable([]snapshot.Domain{{Domain: "example.com", Connection: "idp"}}, nil)
			var took []time.Duration
			results := make(chan time.Duration, 1024)
			collected := make(chan struct{})
			go func() {
				defer close(collected)
				for t := range results {
					took = append(took, t)
				}
			}()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					n := number.Add(1)
					address := fmt.Sprintf("user%d@example.com", 1+(n*7919)%int64(users))
					if n%2 == 0 {
						address = fmt.Sprintf("new%d@example.com", n)
					}
					began := time.Now()
					_, err := service.SignIn(b.Context(), provision.SignIn{
						Connection: provision.Connection{IdP: store.IdPRef{UID: "idp", Name: "idp"}, Enabled: true, Provisioning: snapshot.Provisioning{JIT: true}, Mapping: mapping},
						Domains:    domains, Profile: []snapshot.ProfileAttribute{{Name: "department", Mirror: true}},
						Assertion: provision.Assertion{
							Input: identity.Input{Attributes: map[string][]string{
								"email": {address}, "groups": {"group1", "group2", "group3"}, "department": {"ML"}, "firstName": {"Alice"}, "lastName": {"Liddell"},
							}},
							ID: fmt.Sprintf("_a%d", n), ReplayUntil: time.Now().Add(time.Hour),
						},
					})
					if err != nil {
						b.Error(err)
						return
					}
					results <- time.Since(began)
				}
			})
			b.StopTimer()
			close(results)
			<-collected
			report(b, took)
			b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "sign-ins/s")
		})
	}
}

// BenchmarkSessionRead reads what a check reads that finds nothing in its cache.
func BenchmarkSessionRead(b *testing.B) {
	for _, users := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) {
			d := crowd(b, users)
			var took []time.Duration
			for n := 0; b.Loop(); n++ {
				hash := sha256.Sum256([]byte(strconv.Itoa(1 + n*7919%users)))
				began := time.Now()
				if _, err := d.SessionByHash(b.Context(), hash[:]); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			report(b, took)
		})
	}
}

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// crowd is a store with so many users, sessions and audit records. The indexes are made after the rows, which takes half as long.
func crowd(b *testing.B, users int) *store.DB {
	b.Helper()
	d := storetest.Open(b, storetest.PostgresURL(b), store.Options{Signer: signer(b)})
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
