package proxies

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sallyport.dev/sallyport/test/internal/loopback"
)

// TestSignedOut is what each sort of request gets while nobody is signed in.
func TestSignedOut(t *testing.T) {
	each(t, nil, func(t *testing.T, p *running) {
		b := newBrowser(t, p.address)
		back := func(u string) string { return ssoURL + "/signin?rd=" + url.QueryEscape(u) }
		const page = appURL + "/d/board?a=1&b=2%20x"
		for _, c := range []struct {
			name, method, url string
			headers           []string
			status            int
			location          string
		}{
			{"a page", "GET", page, []string{"Accept", acceptHTML, "Sec-Fetch-Mode", "navigate"}, 302, back(page)},
			{"a page in an old browser", "GET", page, []string{"Accept", acceptHTML}, 302, back(page)},
			{"a form", "POST", appURL + "/save?id=1", []string{"Accept", acceptHTML, "Sec-Fetch-Mode", "navigate"}, 302, back(appURL + "/")},
			{"a call", "GET", appURL + "/api/x", []string{"Accept", "application/json"}, 401, ""},
			{"a call with nothing", "GET", appURL + "/api/x", nil, 401, ""},
			{"a fetch", "GET", appURL + "/api/x", []string{"Accept", acceptHTML, "Sec-Fetch-Mode", "cors"}, 401, ""},
			{"an XMLHttpRequest", "GET", appURL + "/api/x", []string{"Accept", acceptHTML, "X-Requested-With", "XMLHttpRequest"}, 401, ""},
			{"a call that writes", "PUT", appURL + "/api/x", []string{"Accept", "application/json"}, 401, ""},
			{"a preflight", "OPTIONS", appURL + "/api/x", []string{"Origin", "https://other.example.com", "Access-Control-Request-Method", "PUT"}, 401, ""},
			{"a path for operators", "GET", appURL + "/admin", []string{"Accept", "application/json"}, 401, ""},
			{"another address of it", "GET", appURL + "/api/..%2fpublic/x", []string{"Accept", "application/json"}, 403, ""},
		} {
			got := b.ask(c.method, c.url, "", c.headers...)
			// A proxy may refuse an odd path before it asks.
			if c.status == 403 && got.status == 400 {
				continue
			}
			if got.status != c.status || got.location() != c.location {
				t.Errorf("%s: %d %q, want %d %q", c.name, got.status, got.location(), c.status, c.location)
			}
		}
		status, _, _ := raw(t, p.address, handshake(""))
		if status != http.StatusUnauthorized {
			t.Errorf("a WebSocket handshake: %d, want 401", status)
		}
		if seen := w(t).application.take(); len(seen) > 0 {
			t.Errorf("the application got %q", seen)
		}
		if got := b.ask("GET", appURL+"/public/logo.svg", "", "Accept", "image/svg+xml").printed(t); headerOf(got.Head, "remote-user") != "" {
			t.Errorf("a public page: %q", got.Head)
		}
		w(t).application.take()
	})
}

func handshake(cookies string) string {
	return "GET /ws HTTP/1.1\r\nHost: " + appHost + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: " + cookies + "\r\n\r\n"
}

// TestSignedIn is the way in, and what the application is told after.
func TestSignedIn(t *testing.T) {
	each(t, nil, func(t *testing.T, p *running) {
		const email = "alice@acme.example"
		b, landed := p.signIn(t, email, appURL+"/d/board?a=1&b=2%20x")
		got := landed.printed(t)
		if !strings.HasPrefix(got.Head, "GET /d/board?a=1&b=2%20x HTTP/1.1\r\n") {
			t.Errorf("landed on %q", got.Head)
		}
		for name, want := range map[string]string{"Remote-User": email, "Remote-Email": email, "Remote-Name": "Alice Adams", "Remote-Groups": "dev,ml%2Cteam",
			"X-Auth-Request-User": email, "X-Auth-Request-Email": email, "X-Auth-Request-Groups": "dev,ml%2Cteam", "X-Auth-Request-Preferred-Username": email} {
			if value := headerOf(got.Head, name); value != want {
				t.Errorf("%s is %q, want %q", name, value, want)
			}
		}
		// What the check is asked about is not what the application gets: body and method stay.
		if got := b.ask("POST", appURL+"/save", strings.Repeat("x", 100_000), "Accept", acceptHTML).printed(t); !strings.HasPrefix(got.Head, "POST /save ") || len(got.Body) != 100_000 {
			t.Errorf("a form: %q and %d bytes", got.Head, len(got.Body))
		}
		// A preflight never carries a cookie.
		if got := newBrowser(t, p.address).ask("OPTIONS", appURL+"/api", "", "Origin", "https://other.example.com", "Access-Control-Request-Method", "PUT"); got.status != http.StatusUnauthorized {
			t.Errorf("a preflight: %d", got.status)
		}
		denied := b.ask("GET", appURL+"/admin/users", "", "Accept", acceptHTML)
		if denied.status != http.StatusForbidden || !strings.Contains(denied.body, "Access denied") || !strings.Contains(denied.body, email) {
			t.Errorf("a page for operators: %d %s", denied.status, denied.body)
		}
		if got := b.ask("GET", appURL+"/admin/users", "", "Accept", "application/json"); got.status != http.StatusForbidden {
			t.Errorf("a call for operators: %d", got.status)
		}
		status, connection, rest := raw(t, p.address, handshake(b.cookies()))
		if status != http.StatusSwitchingProtocols {
			t.Fatalf("a WebSocket handshake: %d", status)
		}
		echoed := make([]byte, 5)
		_, _ = io.WriteString(connection, "hello")
		if _, err := io.ReadFull(rest, echoed); err != nil || string(echoed) != "hello" {
			t.Errorf("through the WebSocket: %q %v", echoed, err)
		}
		w(t).application.take()
	})
}

// TestPreflightsCanBeLetThrough is the variant that the pages name.
func TestPreflightsCanBeLetThrough(t *testing.T) {
	edit := func(files map[string]string) {
		for name, text := range files {
			files[name] = strings.NewReplacer("/authz/forward\"", "/authz/forward?preflight=allow\"", "uri /authz/forward?\n", "uri /authz/forward?preflight=allow\n",
				":80/authz/forward\n", ":80/authz/forward?preflight=allow\n",
				"path_prefix: /authz/envoy\n", "path_prefix: /authz/envoy-with/preflight=allow\n", "pathPrefix: /authz/envoy\n", "pathPrefix: /authz/envoy-with/preflight=allow\n").Replace(text)
			if name == "dynamic.yaml" {
				files[name] = strings.ReplaceAll(files[name], "/authz/forward\n", "/authz/forward?preflight=allow\n")
			}
		}
	}
	each(t, edit, func(t *testing.T, p *running) {
		if p.name == "nginx" || strings.HasSuffix(p.name, "gRPC") {
			// nginx cannot: its page says so. Over gRPC it is a setting of the route.
			return
		}
		b := newBrowser(t, p.address)
		preflight := []string{"Origin", "https://other.example.com", "Access-Control-Request-Method", "PUT", "Remote-User", forged}
		if got := b.ask("OPTIONS", appURL+"/api", "", preflight...).printed(t); strings.Contains(got.Head, forged) || headerOf(got.Head, "Remote-User") != "" {
			t.Errorf("the preflight carries %q", got.Head)
		}
		if got := b.ask("GET", appURL+"/api", "", preflight...); got.status != http.StatusUnauthorized {
			t.Errorf("a call dressed up as a preflight: %d", got.status)
		}
		w(t).application.take()
	})
}

// TestTheDoorFailsClosed takes the service provider away: nothing reaches the application, not even what is public.
func TestTheDoorFailsClosed(t *testing.T) {
	nobody := loopback.Free(t)
	edit := func(files map[string]string) {
		for name, text := range files {
			files[name] = strings.NewReplacer(w(t).spAddress(), nobody, w(t).grpc, nobody).Replace(text)
		}
	}
	each(t, edit, func(t *testing.T, p *running) {
		b := newBrowser(t, p.address)
		for _, path := range []string{"/", "/public/x", "/api"} {
			if got := b.get(appURL + path); got.status < 500 && (got.status != 403 || !strings.HasPrefix(strings.ToLower(p.name), "envoy")) {
				t.Errorf("%s: %d %s", path, got.status, got.body)
			}
		}
		if seen := w(t).application.take(); len(seen) > 0 {
			t.Errorf("the application got %q", seen)
		}
	})
}

// TestAnotherDomain signs in to an application that the session's cookie does not reach.
func TestAnotherDomain(t *testing.T) {
	edit := func(files map[string]string) {
		for name, text := range files {
			files[name] = strings.ReplaceAll(text, appHost, otherHost)
		}
	}
	each(t, edit, func(t *testing.T, p *running) {
		const email, page = "alice@acme.example", "https://" + otherHost + "/d/board?a=1&b=2%20x"
		b, got := p.signIn(t, email, page)
		for hops := 0; got.status == http.StatusFound || got.status == http.StatusSeeOther; hops++ {
			if hops == 8 {
				t.Fatalf("in circles: %q", got.location())
			}
			got = b.get(got.location())
		}
		if head := got.printed(t).Head; !strings.HasPrefix(head, "GET /d/board?a=1&b=2%20x HTTP/1.1\r\n") || headerOf(head, "Remote-User") != email {
			t.Errorf("landed on %q", head)
		}
		if got := newBrowser(t, p.address).ask("GET", "https://"+otherHost+"/.sallyport/../admin", "", "Accept", "application/json"); got.status == http.StatusOK {
			t.Errorf("past the check by way of the handover: %d %s", got.status, got.body)
		}
		w(t).application.take()
	})
}
