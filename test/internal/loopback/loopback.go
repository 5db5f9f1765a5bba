// Package loopback finds addresses for the programs that the tests start.
package loopback

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Below are the ports that the kernel gives to connections and to whoever asks for any port (from 32768), and that nodes give to Services (from 30000).
const firstPort, ports = 12000, 18000

// Free is an address of loopback that nobody listens on. Its port is none that the kernel gives away by itself: between now and when a program listens on it, no
// connection of another test can get it.
func Free(t testing.TB) string {
	t.Helper()
	for range 100 {
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(ports))))
		if err == nil {
			defer listener.Close()
			return listener.Addr().String()
		}
	}
	t.Fatal("no port of loopback is free")
	return ""
}
