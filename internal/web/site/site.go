// Package site is a snapshot made ready to serve: keys parsed, mappings compiled, tables built. A Site never changes; a new snapshot makes a new one,
// and a Holder swaps it in for every request that starts after.
package site

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/saml"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/access"
	"sallyport.dev/sallyport/internal/web/jwt"
	"sallyport.dev/sallyport/internal/web/proxy"
	"sallyport.dev/sallyport/internal/web/returnurl"
)

// Site serves one snapshot. Everything in it is read-only and safe for concurrent use.
type Site struct {
	Snapshot snapshot.Snapshot
	Revision string
	// Host is the host of the service provider's URL, with its port.
	Host    string
	Domains *identity.DomainTable
	Returns *returnurl.Policy
	Proxies *proxy.Trust
	Cookie  Cookie
	// HandsOver says that there are allowed hosts which the session's cookie does not reach.
	HandsOver bool
	// Access is nil where every signed-in person may enter every host.
	Access *access.Access
	// Limits bound the messages of IdPs.
	Limits saml.Limits
	// Signer is nil where there is no signed header.
	Signer *jwt.Signer

	byName  map[string]*Connection
	byUID   map[string]*Connection
	enabled []*Connection
	// names and disabled are by UID, of every connection in the snapshot, also of those that could not be made ready.
	names    map[string]string
	disabled map[string]bool
	// gone are IdPs that the store knows and that do not exist any more, by UID.
	gone map[string]store.IdPRef
}

// Connection is one IdP ready to serve.
type Connection struct {
	snapshot.Connection
	// UID is the IdentityProvider's, or its name where there is no Kubernetes to give it one.
	UID     string
	SAML    *saml.Connection
	Mapping *identity.CompiledMapping
}

// Usable says whether people can sign in through it now.
func (c *Connection) Usable() bool { return c.Enabled && c.Trust != nil }

// Label is what people know the IdP by.
func (c *Connection) Label() string { return cmp.Or(c.DisplayName, c.Name) }

// Cookie is how the session's cookie is written.
type Cookie struct {
	Name, Domain string
	// Elsewhere is the name of the cookie of a host that Domain does not cover.
	Elsewhere string
	SameSite  string
	Lifetime  time.Duration
}

// Broken is a connection that could not be made ready. The others are served.
type Broken struct {
	Connection string
	Err        error
}

// Compile makes a Site. A connection that cannot be made ready is left out and reported; a fault in the service provider's own settings is an error. It takes over from the
// Site before (nil: there was none) the connections that are the same: to parse the keys of a thousand of them takes half a second.
func Compile(before *Site, s snapshot.Snapshot, revision string) (*Site, []Broken, error) {
	base, err := url.Parse(s.ServiceProvider.URL)
	if err != nil || base.Host == "" || base.Scheme != "https" {
		return nil, nil, fmt.Errorf("serviceProvider.url %q is not an https URL", s.ServiceProvider.URL)
	}
	returns, err := returnurl.New(s.ServiceProvider.URL, s.ServiceProvider.AllowedHosts)
	if err != nil {
		return nil, nil, err
	}
	proxies, err := proxy.NewTrust(s.ServiceProvider.TrustedProxies)
	if err != nil {
		return nil, nil, err
	}
	rules, err := access.Compile(s.ServiceProvider.Access)
	if err != nil {
		return nil, nil, err
	}
	signer, err := signerOf(s.ServiceProvider)
	if err != nil {
		return nil, nil, err
	}
	site := &Site{
		Access: rules, Signer: signer, Limits: saml.LimitsFor(s.ServiceProvider.MaxResponseBytes),
		Snapshot: s, Revision: revision, Host: base.Host, Returns: returns, Proxies: proxies, Cookie: cookie(s.ServiceProvider),
		Domains: identity.NewDomainTable(s.Domains, s.Connections),
		byName:  make(map[string]*Connection, len(s.Connections)), byUID: make(map[string]*Connection, len(s.Connections)),
		names: make(map[string]string, len(s.Connections)), disabled: map[string]bool{},
	}
	var broken []Broken
	for i := range s.Connections {
		c := &s.Connections[i]
		uid := UIDOf(*c)
		site.names[uid] = c.Name
		if !c.Enabled {
			site.disabled[uid] = true
		}
		ready := before.same(c, site.Limits)
		if ready == nil {
			if ready, err = prepare(*c, s.ServiceProvider.Namespace, site.Limits); err != nil {
				broken = append(broken, Broken{c.Name, err})
				continue
			}
		}
		site.byName[c.Name], site.byUID[uid] = ready, ready
		if ready.Usable() {
			site.enabled = append(site.enabled, ready)
		}
	}
	for _, allowed := range s.ServiceProvider.AllowedHosts {
		site.HandsOver = site.HandsOver || !site.CookieReaches(strings.TrimPrefix(allowed, "*."))
	}
	slices.SortFunc(site.enabled, func(a, b *Connection) int {
		return cmp.Or(cmp.Compare(strings.ToLower(a.Label()), strings.ToLower(b.Label())), cmp.Compare(a.Name, b.Name))
	})
	return site, broken, nil
}

// same is what was made of the very same connection before, with the same limits; nil: it was another, or there was none.
func (s *Site) same(c *snapshot.Connection, limits saml.Limits) *Connection {
	if s == nil || s.Limits != limits {
		return nil
	}
	if ready := s.byName[c.Name]; ready != nil && snapshot.SameConnection(&ready.Connection, c) {
		return ready
	}
	return nil
}

func prepare(c snapshot.Connection, namespace string, limits saml.Limits) (*Connection, error) {
	protocol, err := saml.NewConnection(c, limits)
	if err != nil {
		return nil, err
	}
	mapping, err := identity.CompileMapping(c.Mapping)
	if err != nil {
		return nil, fmt.Errorf("mapping: %w", err)
	}
	return &Connection{Connection: c, UID: UIDOf(c), SAML: protocol.WithNamespace(namespace), Mapping: mapping}, nil
}

func signerOf(sp snapshot.ServiceProvider) (*jwt.Signer, error) {
	if sp.SignedHeader == nil {
		return nil, nil //nolint:nilnil // nil is no signed header
	}
	signer, err := jwt.New(sp.URL, sp.SignedHeader.Keys)
	if err != nil {
		return nil, fmt.Errorf("signedHeader: %w", err)
	}
	return signer, nil
}

// cookie names the session's cookie so that browsers refuse it from anybody else: __Host- where it stays on this host, __Secure- where the
// applications below a domain share it (RFC 6265bis 4.1.3).
func cookie(sp snapshot.ServiceProvider) Cookie {
	c := Cookie{Name: "__Host-sso", Domain: sp.Session.CookieDomain, SameSite: cmp.Or(sp.Session.SameSite, "Lax"), Lifetime: sp.Session.Lifetime}
	if c.Domain != "" {
		c.Name = "__Secure-sso"
	}
	c.Elsewhere = "__Host-sso-at"
	if sp.Name != "" {
		c.Name += "-" + sp.Name
		c.Elsewhere += "-" + sp.Name
	}
	return c
}

// Dismiss takes those IdPs for gone that the snapshot does not have. The snapshot must be one that was read after the store was found to know them: then each
// was in an earlier one, and has been deleted since. One without any connection says nothing. Call it before the Site is served.
func (s *Site) Dismiss(known []store.IdPRef) {
	if len(s.names) == 0 {
		return
	}
	s.gone = map[string]store.IdPRef{}
	for _, idp := range known {
		if _, there := s.names[idp.UID]; !there {
			s.gone[idp.UID] = idp
		}
	}
}

// Gone are the IdPs of which the store may still have something to be undone, in no order.
func (s *Site) Gone() []store.IdPRef { return slices.Collect(maps.Values(s.gone)) }

// UIDOf is what everything of an IdP is kept under.
func UIDOf(c snapshot.Connection) string { return cmp.Or(c.UID, c.Name) }

// Connection finds one by name; nil when there is none.
func (s *Site) Connection(name string) *Connection { return s.byName[name] }

// ConnectionByUID finds one by UID; nil when there is none.
func (s *Site) ConnectionByUID(uid string) *Connection { return s.byUID[uid] }

// MaxBody bounds the body of a message, in bytes.
func (s *Site) MaxBody() int64 { return int64(s.Limits.MaxMessage) }

// Hostname is Host without its port.
func (s *Site) Hostname() string { return hostname(s.Host) }

// NameOf is today's name of an IdP, or the one that it had at sign-in where the snapshot does not have it.
func (s *Site) NameOf(idp store.IdPRef) string { return cmp.Or(s.names[idp.UID], idp.Name) }

// Usable are the connections that people can sign in through now, sorted by label.
func (s *Site) Usable() []*Connection { return s.enabled }

// Admits says whether a session of an IdP, for an address of a domain, still counts: the IdP is not disabled, and the domain was not bound to another.
// An IdP that the snapshot does not have is not held against its sessions, since the snapshot may be an old one, unless it is known to be gone; its deletion ends
// them in the store.
func (s *Site) Admits(idpUID, emailDomain string) bool {
	if _, gone := s.gone[idpUID]; gone || s.disabled[idpUID] {
		return false
	}
	binding, bound := s.Domains.Binding(emailDomain)
	return !bound || binding.Connection == s.names[idpUID] || s.names[idpUID] == ""
}

// Refuses is Admits with the reason: "" where a session counts.
func (s *Site) Refuses(idpUID, emailDomain string) identity.Reason {
	_, gone := s.gone[idpUID]
	switch {
	case s.Admits(idpUID, emailDomain):
		return ""
	case gone || s.disabled[idpUID]:
		return identity.ReasonIdPDisabled
	}
	return identity.ReasonDomainNotBound
}

// CookieReaches says whether browsers send the session's cookie to a host.
func (s *Site) CookieReaches(host string) bool {
	if s.Cookie.Domain == "" {
		return hostname(host) == hostname(s.Host)
	}
	domain := strings.TrimPrefix(s.Cookie.Domain, ".")
	return hostname(host) == domain || strings.HasSuffix(hostname(host), "."+domain)
}

func hostname(host string) string { return (&url.URL{Host: host}).Hostname() }
