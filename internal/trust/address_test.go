package trust

import (
	"net/netip"
	"testing"
)

func TestAddresses(t *testing.T) {
	const always, private, loopback, public = "always", "private", "loopback", "public"
	for address, want := range map[string]string{
		"8.8.8.8": public, "2606:4700::1111": public, "64:ff9b::808:808": public, "2002:808:808::1": public, "::ffff:8.8.8.8": public,
		"127.0.0.1": loopback, "127.8.9.10": loopback, "::1": loopback, "::ffff:127.0.0.1": loopback, "64:ff9b::7f00:1": loopback,
		"2002:7f00:1::": loopback, "::127.0.0.1": loopback,
		"10.0.0.1": private, "172.16.0.1": private, "172.31.255.255": private, "192.168.1.1": private, "100.64.0.1": private,
		"fd12::1": private, "fec0::1": private, "::ffff:10.0.0.1": private, "64:ff9b::a00:1": private, "2002:a00:1::": private,
		"64:ff9b:1::1": private, "198.18.0.1": private,
		"0.0.0.0": always, "::": always, "0.1.2.3": always, "169.254.169.254": always, "::ffff:169.254.169.254": always,
		"::ffff:0:169.254.169.254": always, "::ffff:0:10.0.0.1": always, "200::1": always, "4000::1": always, "e000::1": always, "100:0:0:1::1": always, "3fff::1": always,
		"64:ff9b::a9fe:a9fe": always, "fe80::1": always, "fe80::1%eth0": always, "224.0.0.1": always, "239.1.2.3": always,
		"ff02::1": always, "255.255.255.255": always, "240.0.0.1": always, "192.0.0.1": always, "192.0.2.1": always, "2001:db8::1": always,
		"2001::1": always, "fd00:ec2::254": always, "100.100.100.200": always, "168.63.129.16": always,
		"172.32.0.1": public, "100.128.0.1": public, "2001:4860::1": public,
	} {
		a := netip.MustParseAddr(address)
		strict := addressPolicy{}.check(a) == nil
		withPrivate := addressPolicy{allowPrivate: true}.check(a) == nil
		withLoopback := addressPolicy{allowLoopback: true}.check(a) == nil
		got := map[[3]bool]string{{false, false, false}: always, {false, true, false}: private, {false, false, true}: loopback, {true, true, true}: public}[[3]bool{strict, withPrivate, withLoopback}]
		if got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}
