package web_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
)

// aging serves gRPC where time passes as soon as nobody has anything to do, so that the bounds that hold in production are waited for in no time. Sockets would stop the
// clock: connections lead through memory.
func aging(t *testing.T, test func(t *testing.T, dial func() net.Conn)) {
	t.Helper()
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		listener := bufconn.Listen(1 << 20)
		server := w.process.web.NewExtAuthz()
		go server.Serve(listener) //nolint:errcheck // stopped below
		defer server.Stop()
		test(t, func() net.Conn {
			conn, err := listener.Dial()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			if err := conn.SetReadDeadline(time.Now().Add(time.Hour)); err != nil { // whatever ends it, the test does
				t.Fatal(err)
			}
			return conn
		})
	})
}

// agingClient is a gRPC client as it comes, and how many connections it has made.
func agingClient(t *testing.T, dial func() net.Conn) (client *grpc.ClientConn, connections *int) {
	t.Helper()
	connections = new(int)
	client, err := grpc.NewClient("passthrough:memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { *connections++; return dial(), nil }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client, connections
}

// checks asks one question, which needs no answer from the store.
func checks(t *testing.T, ctx context.Context, client *grpc.ClientConn) error {
	t.Helper()
	_, err := authv3.NewAuthorizationClient(client).Check(ctx, &authv3.CheckRequest{})
	return err
}

func TestAGRPCConnectionWithoutChecksEnds(t *testing.T) {
	aging(t, func(t *testing.T, dial func() net.Conn) {
		client, _ := agingClient(t, dial)
		if err := checks(t, t.Context(), client); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		client.WaitForStateChange(t.Context(), connectivity.Ready)
		if after := time.Since(began); client.GetState() != connectivity.Idle || after < 3*time.Minute || after > 3*time.Minute+time.Second {
			t.Errorf("%s after %s", client.GetState(), after)
		}
		if err := checks(t, t.Context(), client); err != nil {
			t.Error("the next check makes another connection:", err)
		}
	})
}

// TestAGRPCConnectionIsReplacedWithoutLoss: pods that were added get their share of the next ones.
func TestAGRPCConnectionIsReplacedWithoutLoss(t *testing.T) {
	aging(t, func(t *testing.T, dial func() net.Conn) {
		client, connections := agingClient(t, dial)
		for began := time.Now(); time.Since(began) < time.Hour; time.Sleep(time.Second) {
			if err := checks(t, t.Context(), client); err != nil {
				t.Fatal(err)
			}
		}
		// Five minutes each, and a tenth more or less, so that many do not end at once.
		if *connections < 11 || *connections > 14 {
			t.Errorf("%d connections in an hour", *connections)
		}
	})
}

func TestAGRPCClientWithTooManyHeadersIsRefused(t *testing.T) {
	aging(t, func(t *testing.T, dial func() net.Conn) {
		client, _ := agingClient(t, dial)
		for size, refused := range map[int]bool{8 << 10: false, 20 << 10: true} {
			err := checks(t, metadata.AppendToOutgoingContext(t.Context(), "x-large", strings.Repeat("x", size)), client)
			if (err != nil) != refused {
				t.Errorf("%d bytes of headers: %v", size, err)
			}
		}
	})
}

// TestAGRPCClientMayPingEveryFiveSeconds, and one that does so more often is told to calm down, and its connection ends.
func TestAGRPCClientMayPingEveryFiveSeconds(t *testing.T) {
	for every, want := range map[time.Duration]string{5 * time.Second: "NO_ERROR max_idle", time.Second: "ENHANCE_YOUR_CALM too_many_pings"} {
		aging(t, func(t *testing.T, dial func() net.Conn) {
			after, goodbye := lifetime(t, dial(), true, func(framer *http2.Framer) {
				for framer.WritePing(false, [8]byte{1}) == nil {
					time.Sleep(every)
				}
			})
			if goodbye != want {
				t.Errorf("a ping every %s ends after %s with %s", every, after, goodbye)
			}
		})
	}
}

// TestWhatHangsInAGRPCConnectionEnds: checks that do not end, of a client that answers and of one that is gone, and a connection that says nothing.
func TestWhatHangsInAGRPCConnectionEnds(t *testing.T) {
	within := func(t *testing.T, what string, after, from, to time.Duration) {
		t.Helper()
		if after < from || after > to {
			t.Errorf("%s ends after %s", what, after)
		}
	}
	hangs := func(framer *http2.Framer) { _ = beginCheck(framer, 1, "memory") }
	aging(t, func(t *testing.T, dial func() net.Conn) {
		after, _ := lifetime(t, dial(), true, hangs)
		// A tenth more or less than five minutes, and the grace.
		within(t, "a check that does not end", after, 5*time.Minute, 6*time.Minute)
		after, _ = lifetime(t, dial(), false, hangs)
		within(t, "a check of a client that is gone", after, time.Minute, 70*time.Second)
		began := time.Now()
		_, _ = io.Copy(io.Discard, dial())
		within(t, "a connection that says nothing", time.Since(began), 10*time.Second, 10*time.Second)
	})
}

// lifetime says how long the server keeps a connection on which the client sends something, and what it says at the end. A client that answers acknowledges what it is asked to.
func lifetime(t *testing.T, conn net.Conn, answers bool, send func(*http2.Framer)) (after time.Duration, goodbye string) {
	t.Helper()
	began := time.Now()
	sends, reads := http2.NewFramer(conn, nil), http2.NewFramer(conn, conn)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := sends.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	var sending sync.WaitGroup
	sending.Go(func() { send(sends) })
	defer func() { conn.Close(); sending.Wait() }()
	for {
		frame, err := reads.ReadFrame()
		if err != nil {
			return time.Since(began), goodbye
		}
		switch f := frame.(type) {
		case *http2.GoAwayFrame:
			goodbye = f.ErrCode.String() + " " + string(f.DebugData())
		case *http2.PingFrame:
			if answers && !f.IsAck() {
				_ = reads.WritePing(true, f.Data)
			}
		}
	}
}
