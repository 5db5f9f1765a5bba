// Package proxy reads what reverse proxies tell about a request: who the client is, what was asked for, and what kind of request it was.
// Headers that any client can send count only when the peer of the connection is a trusted proxy.
package proxy

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Trust is the list of proxies whose forwarding headers count. The zero value trusts nobody.
type Trust struct {
	prefixes []netip.Prefix
}

// NewTrust takes CIDR prefixes or single addresses.
func NewTrust(trusted []string) (*Trust, error) {
	t := &Trust{}
	for i, entry := range trusted {
		prefix, err := netip.ParsePrefix(entry)
		if err != nil {
			address, addressErr := netip.ParseAddr(entry)
			if addressErr != nil {
				return nil, fmt.Errorf("trustedProxies[%d]: %q is neither an address nor a CIDR such as 10.0.0.0/8", i, entry)
			}
			prefix = netip.PrefixFrom(address, address.BitLen())
		}
		t.prefixes = append(t.prefixes, prefix.Masked())
	}
	return t, nil
}

func (t *Trust) contains(address netip.Addr) bool {
	for _, prefix := range t.prefixes {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// Peer is the address at the other end of the connection; the zero Addr when it is not an IP address, and then it is not trusted.
func Peer(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap()
}

// Trusted says whether the request came from a trusted proxy. It does not allocate.
func (t *Trust) Trusted(r *http.Request) bool {
	return len(t.prefixes) > 0 && t.contains(Peer(r))
}

// Client is the address of the client: the peer or, behind trusted proxies, the last address in X-Forwarded-For that is not one of them.
// What cannot be parsed ends the walk, because whoever wrote it is not to be believed.
func (t *Trust) Client(r *http.Request) string {
	client := Peer(r)
	if !t.Trusted(r) {
		return text(client)
	}
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		hops := strings.Split(lines[i], ",")
		for j := len(hops) - 1; j >= 0; j-- {
			hop, err := parseHop(strings.TrimSpace(hops[j]))
			if err != nil {
				return text(client)
			}
			client = hop
			if !t.contains(client) {
				return text(client)
			}
		}
	}
	return text(client)
}

// parseHop takes an address as proxies write it, with or without a port.
func parseHop(s string) (netip.Addr, error) {
	if address, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return address.Unmap(), nil
	}
	withPort, err := netip.ParseAddrPort(s)
	return withPort.Addr().Unmap(), err
}

func text(address netip.Addr) string {
	if !address.IsValid() {
		return ""
	}
	return address.WithZone("").String()
}

// Original is the request that the proxy asks about.
type Original struct {
	Method string
	// Scheme is https or http.
	Scheme string
	// Host may have a port. It is in lower case.
	Host string
	// URI is the path with its query and starts with a slash.
	URI string
}

// URL is the absolute URL that was asked for.
func (o Original) URL() string { return o.Scheme + "://" + o.Host + o.URI }

// Path is URI without the query.
func (o Original) Path() string {
	path, _, _ := strings.Cut(o.URI, "?")
	return path
}

// Forwarded reads X-Forwarded-Method, -Proto, -Host and -Uri, which Traefik and Caddy write themselves in every request that they ask about.
// ok is false when the peer is not trusted, or when the headers are absent, doubled or malformed.
func (t *Trust) Forwarded(r *http.Request) (o Original, ok bool) {
	if !t.Trusted(r) {
		return Original{}, false
	}
	o = Original{Method: one(r, "X-Forwarded-Method"), Scheme: one(r, "X-Forwarded-Proto"), Host: one(r, "X-Forwarded-Host"), URI: one(r, "X-Forwarded-Uri")}
	return o.normal()
}

// XOriginal reads X-Original-URL and X-Original-Method, which ingress-nginx writes and every nginx must be configured to write. No other header is
// looked at, because nginx hands on what the client sent. ok is as in Forwarded.
func (t *Trust) XOriginal(r *http.Request) (o Original, ok bool) {
	if !t.Trusted(r) {
		return Original{}, false
	}
	scheme, rest, found := strings.Cut(one(r, "X-Original-Url"), "://")
	slash := strings.IndexByte(rest, '/')
	if !found || slash < 0 {
		return Original{}, false
	}
	o = Original{Method: one(r, "X-Original-Method"), Scheme: scheme, Host: rest[:slash], URI: rest[slash:]}
	return o.normal()
}

// Host is the host of a request in lower case, and "" where it has a letter outside of ASCII: two of those have lower cases that are in it, so that a proxy which
// folds ASCII alone would serve another host than the one that is asked about.
func Host(host string) string {
	for i := range len(host) {
		if host[i] >= utf8.RuneSelf {
			return ""
		}
	}
	return strings.ToLower(host)
}

// normal puts the host in lower case and takes WebSocket schemes for what they run on.
func (o Original) normal() (Original, bool) {
	o.Host = Host(o.Host)
	switch o.Scheme {
	case "wss":
		o.Scheme = "https"
	case "ws":
		o.Scheme = "http"
	}
	return o, o.valid()
}

func (o Original) valid() bool {
	return (o.Scheme == "https" || o.Scheme == "http") && o.Host != "" && !strings.ContainsAny(o.Host, ", /\\@?#") && strings.HasPrefix(o.URI, "/") && o.Method != ""
}

// one is the value of a header; a header that is there twice is worth nothing, since one of the two was not the proxy's.
func one(r *http.Request, name string) string {
	if values := r.Header[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}
