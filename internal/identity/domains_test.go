package identity_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/snapshot"
)

// modelOwner is the reference: the binding of the longest name that covers the domain, else the catch-all.
func modelOwner(domain string, bindings []snapshot.Domain, catchAll string) string {
	owner, longest := catchAll, -1
	for _, b := range bindings {
		covers := b.Domain == domain || b.Subdomains && strings.HasSuffix(domain, "."+b.Domain)
		if covers && len(b.Domain) > longest {
			owner, longest = b.Connection, len(b.Domain)
		}
	}
	return owner
}

// TestRoutingAndEnforcementAgreeWithTheModel draws random bindings and IdPs and asks about random addresses in random spellings.
func TestRoutingAndEnforcementAgreeWithTheModel(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 42))
		labels := []string{"a", "b", "example", "xn--bcher-kva", "com", "org"}
		domain := func() string {
			parts := []string{labels[r.IntN(len(labels))], labels[r.IntN(len(labels))]}
			for r.IntN(2) == 0 && len(parts) < 5 {
				parts = append([]string{labels[r.IntN(len(labels))]}, parts...)
			}
			return strings.Join(parts, ".")
		}
		var connections []snapshot.Connection
		catchAll := ""
		for i := range 1 + r.IntN(5) {
			c := snapshot.Connection{Name: fmt.Sprintf("idp%d", i)}
			if catchAll == "" && r.IntN(4) == 0 {
				c.CatchAll, catchAll = true, c.Name
			}
			connections = append(connections, c)
		}
		var bindings []snapshot.Domain
		taken := map[string]bool{}
		for range r.IntN(30) {
			if d := domain(); !taken[d] {
				taken[d] = true
				bindings = append(bindings, snapshot.Domain{Domain: d, Subdomains: r.IntN(2) == 0, Connection: connections[r.IntN(len(connections))].Name, Binding: "b-" + d})
			}
		}
		table := identity.NewDomainTable(bindings, connections)
		for range 100 {
			asked := domain()
			spelled := strings.ReplaceAll(asked, "xn--bcher-kva", "bücher")
			if r.IntN(2) == 0 {
				spelled = strings.ToUpper(spelled)
			}
			a, err := identity.NormaliseAddress("Alice@" + spelled)
			if err != nil {
				t.Fatal(err)
			}
			want := modelOwner(asked, bindings, catchAll)
			got, _, ok := table.Route(a)
			if got != want || ok != (want != "") {
				t.Fatalf("seed %d: %s goes to %q, want %q; bindings %+v", seed, a, got, want, bindings)
			}
			for _, c := range connections {
				if table.MayAssert(c.Name, a) != (c.Name == want) {
					t.Fatalf("seed %d: may %s assert %s: %v, the owner is %q", seed, c.Name, a, table.MayAssert(c.Name, a), want)
				}
			}
		}
	}
}

func TestRouteNamesTheBinding(t *testing.T) {
	table := identity.NewDomainTable([]snapshot.Domain{
		{Domain: "example.com", Subdomains: true, Connection: "okta", Binding: "example-com"},
		{Domain: "sub.example.com", Connection: "adfs", Binding: "sub"},
	}, []snapshot.Connection{{Name: "okta"}, {Name: "adfs"}, {Name: "rest", CatchAll: true}})
	for address, want := range map[string]string{
		"a@example.com": "okta/example-com", "a@x.y.example.com": "okta/example-com", "a@sub.example.com": "adfs/sub",
		// sub.example.com does not include its subdomains, so the nearest parent that does has them.
		"a@x.sub.example.com": "okta/example-com", "a@notexample.com": "rest/", "a@com.example": "rest/",
	} {
		a, err := identity.NormaliseAddress(address)
		if err != nil {
			t.Fatal(err)
		}
		connection, binding, _ := table.Route(a)
		if got := connection + "/" + binding; got != want {
			t.Errorf("%s goes to %s, want %s", address, got, want)
		}
	}
	if table.Owns("rest", identity.Address{Domain: "elsewhere.example"}) {
		t.Error("the catch-all owns a domain")
	}
}

func BenchmarkRoute(b *testing.B) {
	for _, n := range []int{5, 5000} {
		b.Run(fmt.Sprintf("bindings=%d", n), func(b *testing.B) {
			var domains []snapshot.Domain
			for i := range n {
				domains = append(domains, snapshot.Domain{Domain: fmt.Sprintf("company%d.example", i), Subdomains: i%2 == 0, Connection: "okta", Binding: "b"})
			}
			table := identity.NewDomainTable(domains, nil)
			a := identity.Address{Local: "alice", Domain: "a.b.company4.example"}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, ok := table.Route(a); !ok {
					b.Fatal("not found")
				}
			}
		})
	}
}
