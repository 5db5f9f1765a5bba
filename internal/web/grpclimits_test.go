package web_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestAGRPCClientThatWantsTooMuchIsRefused, and the checks of others go on.
func TestAGRPCClientThatWantsTooMuchIsRefused(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice@acme.example")
	address := w.extAuthz()
	good, bad := w.envoyAt(address), w.envoyAt(address)
	works := func(after string) {
		t.Helper()
		answer, err := good.Check(t.Context(), checkRequest("GET", "/d/1", map[string]string{"cookie": b.cookies("https://grafana.example.com/")}, nil))
		if err != nil || answer.GetOkResponse() == nil {
			t.Errorf("after %s nobody is let in any more: %v, %v", after, answer, err)
		}
	}
	works("nothing")

	// As large as Envoy's headers can be is not too large.
	if _, err := bad.Check(t.Context(), checkRequest("GET", "/", map[string]string{"x-large": strings.Repeat("x", 60<<10)}, nil)); err != nil {
		t.Error(err)
	}
	_, err := bad.Check(t.Context(), checkRequest("GET", "/", map[string]string{"x-large": strings.Repeat("x", 200<<10)}, nil))
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a check of 200 KiB: %v", err)
	}
	works("a large check")

	if n := heldStreams(t, address, 1000); n != 100 {
		t.Errorf("one connection may hold %d checks", n)
	}
	works("many checks that do not end")
}

// heldStreams begins so many checks on one connection that it does not end, whatever the server says of how many it may, and returns how many the server has taken.
func heldStreams(t *testing.T, address string, n uint32) uint32 {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for i := range n {
			if beginCheck(framer, 2*i+1, address) != nil {
				return
			}
		}
		_ = framer.WritePing(false, [8]byte{})
	}()
	refused := uint32(0)
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("after %d refusals: %v", refused, err)
		}
		switch f := frame.(type) {
		case *http2.RSTStreamFrame:
			if f.ErrCode != http2.ErrCodeRefusedStream {
				t.Errorf("stream %d: %v", f.StreamID, f.ErrCode)
			}
			refused++
		case *http2.PingFrame:
			// What was sent before it is answered by now.
			if f.IsAck() {
				return n - refused
			}
		}
	}
}

// beginCheck sends the headers of a check, and never what it is about.
func beginCheck(framer *http2.Framer, stream uint32, authority string) error {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	encoder.SetMaxDynamicTableSize(0) // each check has an encoder of its own
	for _, field := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", authority}, {":path", "/envoy.service.auth.v3.Authorization/Check"},
		{"content-type", "application/grpc"}, {"te", "trailers"}} {
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			return err
		}
	}
	return framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true})
}
