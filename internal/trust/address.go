package trust

import (
	"fmt"
	"net/netip"
	"syscall"
)

// addressPolicy says which addresses may be connected to. It is asked when a connection is made, with the very address that is dialled,
// so that a name that resolves differently the second time gains nothing.
type addressPolicy struct {
	allowPrivate  bool
	allowLoopback bool
}

// Ranges by what they are (IANA special-purpose address registries).
var (
	privateRanges = prefixes(
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15",
		"fc00::/7", "fec0::/10", "64:ff9b:1::/48")
	// neverRanges are not hosts on any network that metadata could be fetched from.
	neverRanges = prefixes(
		"0.0.0.0/8", "192.0.0.0/24", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16")
	// instanceMetadata are the addresses where clouds hand credentials to their machines, besides 169.254.169.254, which is link-local.
	instanceMetadata = prefixes("fd00:ec2::254/128", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32")

	// global is all that is assigned of IPv6 (RFC 4291 2.4); what is outside of it and not private leads nowhere but to translators, such as ::ffff:0:a.b.c.d (RFC 2765).
	global    = netip.MustParsePrefix("2000::/3")
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
	v4in6     = netip.MustParsePrefix("::/96")
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func within(ranges []netip.Prefix, address netip.Addr) bool {
	for _, p := range ranges {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

// addressError says why an address was refused.
type addressError struct {
	address netip.Addr
	what    string
	// private: the operator's flag would let it through.
	private bool
}

func (e *addressError) Error() string { return fmt.Sprintf("%s is %s", e.address, e.what) }

// check refuses addresses inside the cluster and the cloud that a metadata URL must not lead to. IPv6 forms that carry an IPv4 address
// are judged by that address: IPv4-mapped, IPv4-compatible, NAT64 (RFC 6052) and 6to4.
func (p addressPolicy) check(address netip.Addr) error {
	address = embedded(address.WithZone("").Unmap())
	switch {
	case !address.IsValid():
		return &addressError{address: address, what: "no address"}
	case address.IsLoopback():
		if p.allowLoopback {
			return nil
		}
		return &addressError{address: address, what: "the machine itself"}
	case within(instanceMetadata, address):
		return &addressError{address: address, what: "a service of the cloud for its own machines"}
	case address.IsUnspecified(), address.IsMulticast(), address.IsLinkLocalUnicast(), within(neverRanges, address):
		return &addressError{address: address, what: "link-local, multicast or reserved"}
	case within(privateRanges, address):
		if p.allowPrivate {
			return nil
		}
		return &addressError{address: address, what: "in a private network", private: true}
	case address.Is6() && !global.Contains(address):
		return &addressError{address: address, what: "link-local, multicast or reserved"}
	}
	return nil
}

func embedded(address netip.Addr) netip.Addr {
	if !address.Is6() || address.IsLoopback() || address.IsUnspecified() {
		return address
	}
	b := address.As16()
	switch {
	case nat64.Contains(address), v4in6.Contains(address):
		return netip.AddrFrom4([4]byte(b[12:16]))
	case sixToFour.Contains(address):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return address
}

// control is a net.Dialer's Control.
func (p addressPolicy) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return &addressError{what: "no address"}
	}
	return p.check(to.Addr())
}
