package web_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/saml/samltest"
)

// TestFloodOfBadResponses floods the assertion consumer service, from 24 connections of one client, with responses that are as expensive
// as the limits allow and answer a request that really waits. People who sign in meanwhile all arrive.
func TestFloodOfBadResponses(t *testing.T) {
	w := newWorld(t)
	mallory := w.browser()
	asked := mallory.begin("mallory@acme.example", appURL)
	form := w.respond(asked, "mallory@acme.example", func(r *samltest.Response) {
		r.EditSent = func(s string) string {
			return strings.Replace(s, "<saml:Subject>", strings.Repeat("<a/>", 5800)+"<saml:Subject>", 1)
		}
	})
	flood := func() (*http.Response, error) {
		r, err := http.NewRequest("POST", spURL+"/saml/okta/acs", strings.NewReader(form.Encode()))
		if err != nil {
			return nil, err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Forwarded-For", "203.0.113.7")
		response, err := mallory.Do(r)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		return response, err
	}
	var stop atomic.Bool
	var refused, busy atomic.Int64
	var running sync.WaitGroup
	for range 24 {
		running.Go(func() {
			for !stop.Load() {
				response, err := flood()
				switch {
				case err != nil:
					t.Error(err)
					return
				case response.StatusCode == http.StatusForbidden:
					refused.Add(1)
				case response.StatusCode == http.StatusServiceUnavailable:
					busy.Add(1)
				default:
					t.Errorf("a bad response got %d", response.StatusCode)
					return
				}
			}
		})
	}
	waitFor(t, "the flood to run", func() bool { return refused.Load() > 24 })
	var times []time.Duration
	for range 12 {
		alice := w.browser()
		a := alice.begin("alice@acme.example", appURL)
		good := w.respond(a, "alice@acme.example")
		started := time.Now()
		if got := alice.finish(a, good); got.status != http.StatusSeeOther || got.location != appURL {
			t.Errorf("signing in beside the flood: %d %q", got.status, got.location)
		}
		times = append(times, time.Since(started))
	}
	// A logout request of the IdP passes too.
	l := w.logoutOf("alice@acme.example")
	query, err := w.idps["okta"].Query(w.idps["okta"].LogoutRequest(l), l)
	if err != nil {
		t.Fatal(err)
	}
	if a := mallory.atIdP(mallory.get("/saml/okta/slo?" + query)); a.request.Kind != "LogoutResponse" {
		t.Errorf("signing out beside the flood: %+v", a.request)
	}
	stop.Store(true)
	running.Wait()
	slices.Sort(times)
	t.Logf("signing in beside the flood: median %v, worst %v; %d bad responses were refused and %d turned away meanwhile", times[len(times)/2], times[len(times)-1], refused.Load(), busy.Load())
	quiet := w.browser()
	a := quiet.begin("alice@acme.example", appURL)
	if got := quiet.post("/saml/okta/acs", "cross-site", url.Values{"SAMLResponse": {"%%%"}, "RelayState": {a.request.RelayState}}); got.status != http.StatusForbidden {
		t.Errorf("after the flood: %d", got.status)
	}
}

// TestBodiesThatComeDropByDrop holds a client to its share of the bodies that are read at once: everybody else gets theirs read, and the client does too, when it has let go.
func TestBodiesThatComeDropByDrop(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		path, field              string
		maxBody, announced, many int
	}{
		{"/saml/okta/acs", "SAMLResponse", 256 << 10, 200_000, 64},
		{"/saml/okta/slo", "SAMLRequest", 256 << 10, 200_000, 64},
		{"/saml/okta/acs", "SAMLResponse", 2 << 20, 2_000_000, 8},
		{"/saml/okta/slo", "SAMLRequest", 2 << 20, 2_000_000, 8},
		// What usual sign-ins take is no more where larger ones are allowed.
		{"/saml/okta/acs", "SAMLResponse", 2 << 20, 200_000, 64},
	} {
		path, field := c.path, c.field
		w.snapshot.ServiceProvider.MaxResponseBytes = c.maxBody
		w.apply(w.process)
		probe := func() int {
			r, err := http.NewRequest("POST", spURL+path, strings.NewReader(field+"=x"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("X-Forwarded-For", "203.0.113.7")
			return w.browser().do(r).status
		}
		if got := probe(); got != http.StatusForbidden {
			t.Fatalf("%s: %d", path, got)
		}
		var slow []net.Conn
		for range c.many {
			conn, err := tls.Dial("tcp", w.process.public.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test server's own certificate
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := fmt.Fprint(conn, "POST "+path+" HTTP/1.1\r\nHost: sso.example.com\r\nX-Forwarded-For: 203.0.113.7\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ", c.announced, "\r\n\r\n"+field+"="); err != nil {
				t.Fatal(err)
			}
			slow = append(slow, conn)
		}
		waitFor(t, "the client to have its share", func() bool { return probe() == http.StatusServiceUnavailable })
		w.browser().signIn("alice@acme.example")
		for _, conn := range slow {
			conn.Close()
		}
		waitFor(t, "the client to be read again", func() bool { return probe() == http.StatusForbidden })
	}
}
