package identity

import (
	"strings"

	"sallyport.dev/sallyport/internal/snapshot"
)

// DomainTable routes addresses to connections and says which connection may assert which address. It is immutable and safe for concurrent use;
// a look-up costs one map access per label of the domain, whatever the number of bindings.
type DomainTable struct {
	bound    map[string]snapshot.Domain
	catchAll string
}

// NewDomainTable builds the table of a snapshot. The compiler has already resolved conflicts; where a domain still occurs twice the first one counts.
func NewDomainTable(domains []snapshot.Domain, connections []snapshot.Connection) *DomainTable {
	t := &DomainTable{bound: make(map[string]snapshot.Domain, len(domains))}
	for _, d := range domains {
		if _, taken := t.bound[d.Domain]; !taken {
			t.bound[d.Domain] = d
		}
	}
	for _, c := range connections {
		if c.CatchAll && t.catchAll == "" {
			t.catchAll = c.Name
		}
	}
	return t
}

// Binding finds the binding that a domain falls under: its own, else that of the nearest parent with Subdomains.
func (t *DomainTable) Binding(domain string) (snapshot.Domain, bool) {
	if d, ok := t.bound[domain]; ok {
		return d, true
	}
	for {
		dot := strings.IndexByte(domain, '.')
		if dot < 0 {
			return snapshot.Domain{}, false
		}
		domain = domain[dot+1:]
		if d, ok := t.bound[domain]; ok && d.Subdomains {
			return d, true
		}
	}
}

// Route finds the connection that signs in an address, and the name of the DomainBinding that says so ("" for the catch-all).
// The connection may be disabled or have no trust yet: that is for the caller to say.
func (t *DomainTable) Route(a Address) (connection, binding string, ok bool) {
	if d, ok := t.Binding(a.Domain); ok {
		return d.Connection, d.Binding, true
	}
	return t.catchAll, "", t.catchAll != ""
}

// MayAssert says whether a connection may assert an address: a bound domain only its own connection, an unbound one only the catch-all.
func (t *DomainTable) MayAssert(connection string, a Address) bool {
	owner, _, ok := t.Route(a)
	return ok && owner == connection
}

// Owns says whether the address is of a domain that is bound to the connection: the catch-all owns nothing.
func (t *DomainTable) Owns(connection string, a Address) bool {
	d, ok := t.Binding(a.Domain)
	return ok && d.Connection == connection
}

// Empty says that nothing is bound.
func (t *DomainTable) Empty() bool { return len(t.bound) == 0 }
