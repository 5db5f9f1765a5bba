package proxies

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// hostTricks name one host to the proxy and another one to whom it asks, or hope to.
var hostTricks = map[string]string{
	"an absolute address":                   "GET " + appURL + "/d/board HTTP/1.1\r\nHost: " + openHost + "\r\n",
	"an absolute address, the other way":    "GET https://" + openHost + "/d/board HTTP/1.1\r\nHost: " + appHost + "\r\n",
	"an absolute address over http":         "GET http://" + appHost + "/d/board HTTP/1.1\r\nHost: " + openHost + "\r\n",
	"two hosts":                             "GET /d/board HTTP/1.1\r\nHost: " + appHost + "\r\nHost: " + openHost + "\r\n",
	"two hosts, the other way":              "GET /d/board HTTP/1.1\r\nHost: " + openHost + "\r\nHost: " + appHost + "\r\n",
	"a host that goes on":                   "GET /d/board HTTP/1.1\r\nHost: " + appHost + ", " + openHost + "\r\n",
	"a host with a port that is none":       "GET /d/board HTTP/1.1\r\nHost: " + appHost + ":@" + openHost + "\r\n",
	"a host with a dot":                     "GET /d/board HTTP/1.1\r\nHost: " + appHost + ".\r\n",
	"an address in the place of a host":     "GET /d/board HTTP/1.1\r\nHost: https://" + openHost + "/" + appHost + "\r\n",
	"the proxy's own words":                 "GET /d/board HTTP/1.1\r\nHost: " + appHost + "\r\nX-Forwarded-Host: " + openHost + "\r\nX-Original-Url: https://" + openHost + "/\r\n",
	"the proxy's own words, underlined":     "GET /d/board HTTP/1.1\r\nHost: " + appHost + "\r\nX_Forwarded_Host: " + openHost + "\r\nX_Original_Url: https://" + openHost + "/\r\n",
	"a host of a standard that is not used": "GET /d/board HTTP/1.1\r\nHost: " + appHost + "\r\nForwarded: host=" + openHost + ";proto=https\r\nX-Host: " + openHost + "\r\n",
}

// TestAHostIsGuardedByItsOwnRules: nobody who is signed out gets at one host by naming another one that is for everybody.
func TestAHostIsGuardedByItsOwnRules(t *testing.T) {
	each(t, nil, func(t *testing.T, p *running) {
		application := w(t).application
		application.take()
		for what, lines := range hostTricks {
			status, connection, _ := raw(t, p.address, lines+"Accept: */*\r\nConnection: close\r\n\r\n")
			connection.Close()
			for _, head := range application.take() {
				t.Errorf("%s: %d, and the application got %q", what, status, head)
			}
		}
		for _, field := range []hpack.HeaderField{{Name: "host", Value: openHost}, {Name: ":authority", Value: openHost}, {Name: "x-forwarded-host", Value: openHost}} {
			status := rawHTTP2(t, p.address, "/d/board", field)
			for _, head := range application.take() {
				t.Errorf("HTTP/2 with %s: %d, and the application got %q", field.Name, status, head)
			}
		}
	})
}

// pathTricks are ways to write /admin, or something that one program or another takes for it.
var pathTricks = []string{
	"/admin", "/admin/", "/admin/x", "/ADMIN", "/Admin/x", "/%61dmin", "/%41dmin", "//admin", "///admin", "/./admin", "/x/../admin", "/public/../admin", "/public/./../admin", "/public/%2e%2e/admin",
	"/public/.%2e/admin", "/public/%2e%2e%2fadmin", "/public/..%2fadmin", "/public/..%5cadmin", "/public\\..\\admin", "/public%2f..%2fadmin", "/public/%252e%252e/admin", "/public/..;/admin", "/public;/../admin",
	"/admin;x", "/admin;x=y/", "/;x/admin", "/admin%3bx", "/admin%00", "/admin%09", "/admin%0a", "/admin%0d%0a", "/admin%20", "/admin%85", "/admin%a0", "/admin%c2%a0", "/admin%1f", "/admin.", "/admin./x",
	"/admin.json", "/admin~", "/admin#x", "/admin%23x", "/admin%3fx", "/admin?x=/../public", "/admin#/../public", "/public/%c0%ae%c0%ae/admin", "/%ef%bd%81dmin", "/adm%c4%b1n", "/public/..%ef%bc%8fadmin",
	"/.sallyport/../admin", "/.sallyport/%2e%2e/admin", "/.sallyport/..%2fadmin", "/.sallyport//../admin", "/.sallyport/;/../admin",
}

// careless reads a request's target as the most careless application would: it decodes twice, forgets what it does not like, and does not care for case.
func careless(target string) string {
	for range 2 {
		if decoded, err := url.PathUnescape(target); err == nil {
			target = decoded
		}
	}
	target, _, _ = strings.Cut(target, "?")
	target, _, _ = strings.Cut(target, "#")
	target = strings.ToLower(strings.ToUpper(strings.NewReplacer("\\", "/", "\xc0\xae", ".", "\uff41", "a", "\uff0f", "/").Replace(target)))
	var segments []string
	for segment := range strings.SplitSeq(target, "/") {
		segment, _, _ = strings.Cut(segment, ";")
		segments = append(segments, strings.TrimFunc(segment, func(r rune) bool { return r <= ' ' || r >= 0x7f && r <= 0xa0 || r == 0xfffd }))
	}
	return path.Clean(strings.Join(segments, "/"))
}

// TestAPathIsGuardedHoweverItIsWritten: somebody who is signed in and not in the group gets nothing to the application that could be taken for /admin.
func TestAPathIsGuardedHoweverItIsWritten(t *testing.T) {
	for target, want := range map[string]string{"/public/..;/ADMIN%20": "/admin", "/admin%20?x": "/admin", "/%c0%ae%c0%ae/admin%00": "/admin", "/d/board?x=/admin": "/d/board"} {
		if got := careless(target); got != want {
			t.Fatalf("%q is %q to the test's own application, want %q", target, got, want)
		}
	}
	each(t, nil, func(t *testing.T, p *running) {
		b, _ := p.signIn(t, "alice@acme.example", appURL+"/")
		application := w(t).application
		application.take()
		visits := 0
		for _, prefix := range []string{"", "https://" + appHost} {
			for _, target := range append(pathTricks, "/d/board") {
				status, connection, _ := raw(t, p.address, "GET "+prefix+target+" HTTP/1.1\r\nHost: "+appHost+"\r\nCookie: "+b.cookies()+"\r\nConnection: close\r\n\r\n")
				connection.Close()
				for _, head := range application.take() {
					visits++
					asked := strings.Fields(head)[1]
					if read := careless(asked); read == "/admin" || strings.HasPrefix(read, "/admin/") || strings.HasPrefix(read, "/admin.") || strings.HasPrefix(read, "/admin~") {
						t.Errorf("%s: %d, and the application was asked for %q", target, status, asked)
					}
				}
			}
		}
		if visits == 0 {
			t.Error("nothing reached the application, so that nothing is proved")
		}
	})
}
