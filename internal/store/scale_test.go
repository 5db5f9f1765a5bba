package store_test

import (
	"fmt"
	"slices"
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
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) {
			storeURL := storetest.PostgresURL(b)
			d := storetest.Open(b, storeURL, store.Options{Signer: signer(b)})
			fill(b, d, true, users)
			service := provision.NewService(d)
			mapping, err := identity.CompileMapping(identity.Preset("Generic"))
			if err != nil {
				b.Fatal(err)
			}
			domains := identity.NewDomainTable([]snapshot.Domain{{Domain: "example.com", Connection: "idp"}}, nil)
			var number atomic.Int64
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
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "sign-ins/s")
		})
	}
}
