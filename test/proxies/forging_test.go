package proxies

import (
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

const forged = "ceo@victim.example"

// identityNames are the headers that applications believe, in the form that frameworks reduce names to.
var identityNames = map[string]bool{
	"remote-user": true, "remote-email": true, "remote-name": true, "remote-groups": true,
	"x-auth-request-user": true, "x-auth-request-email": true, "x-auth-request-groups": true, "x-auth-request-preferred-username": true, "x-auth-request-jwt": true,
}

// spellings are names that some server between here and an application could take for an identity header.
var spellings = []string{
	"Remote-User", "remote-user", "REMOTE-USER", "rEmOtE-uSeR", "Remote_User", "REMOTE_USER", "remote_user", "Remote.User", "Remote~User", "Remote!User", "Remote+User",
	"Remote-Groups", "remote_groups", "Remote-Email", "Remote-Name", "X-Auth-Request-User", "x_auth_request_user", "X-Auth_Request-User", "X_Auth-Request_User",
	"x-auth-request-groups", "X.Auth.Request.Groups", "X-Auth-Request-Email", "X-Auth-Request-Preferred-Username", "X_Auth_Request_Preferred_Username",
	"X-Auth-Request-Jwt", "x_auth_request_jwt", "X-Auth_Request-JWT", "X.Auth.Request.Jwt",
}

// tricks are header lines for HTTP/1.1, as they go over the wire.
var tricks = map[string]string{
	"twice":                         "Remote-User: " + forged + "\r\nRemote-User: " + forged + "\r\n",
	"twice, in two spellings":       "Remote-User: " + forged + "\r\nremote_user: " + forged + "\r\n",
	"a space before the colon":      "Remote-User : " + forged + "\r\n",
	"a tab before the colon":        "Remote-User\t: " + forged + "\r\n",
	"a continuation":                "X-Other: a\r\n Remote-User: " + forged + "\r\n",
	"a continuation of our own":     "Remote-User: a\r\n " + forged + "\r\n",
	"a bare LF":                     "X-Other: a\nRemote-User: " + forged + "\r\n",
	"a bare CR":                     "X-Other: a\rRemote-User: " + forged + "\r\n",
	"a NUL":                         "Remote-User\x00: " + forged + "\r\n",
	"an empty name":                 ": Remote-User: " + forged + "\r\n",
	"named in Connection":           "Remote-User: " + forged + "\r\nConnection: Remote-User\r\n",
	"the answer's name in it":       "Connection: keep-alive, Remote-User, X-Auth-Request-User, Remote-Groups\r\n",
	"the cookie in Connection":      "Connection: keep-alive, Cookie, X-Forwarded-Uri, X-Forwarded-Host, X-Original-Url\r\nRemote-User: " + forged + "\r\n",
	"a trailer":                     "Trailer: Remote-User\r\nRemote-User: " + forged + "\r\n",
	"where the proxy says it goes":  "X-Forwarded-Uri: /public/x\r\nX-Forwarded-Host: " + ssoHost + "\r\nX-Original-Url: " + appURL + "/public/x\r\nX-Forwarded-Method: OPTIONS\r\nRemote-User: " + forged + "\r\n",
	"what Envoy would be asked for": "X-Envoy-Original-Path: /public/x\r\nX-Rewrite-Url: /public/x\r\nRemote-User: " + forged + "\r\n",
}

// judge looks at what the application got: of every identity header, in every spelling, at most one, and what the service provider says of this person.
// Lines are taken apart as the most careless server would.
func judge(t *testing.T, what, head, user string) {
	t.Helper()
	count := map[string]int{}
	for i, line := range strings.FieldsFunc(head, func(r rune) bool { return r == '\n' || r == '\r' }) {
		name, value, _ := strings.Cut(line, ":")
		if i > 0 && line != "" && (line[0] == ' ' || line[0] == '\t') {
			t.Errorf("%s: a continuation reached the application: %q", what, line)
		}
		reduced := strings.Map(func(r rune) rune {
			switch {
			case r >= 'A' && r <= 'Z':
				return r + 'a' - 'A'
			case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
				return r
			}
			return '-'
		}, strings.TrimSpace(name))
		if !identityNames[reduced] {
			continue
		}
		count[reduced]++
		if strings.Contains(value, "victim") || count[reduced] > 1 {
			t.Errorf("%s: the application got %q", what, line)
		}
		if (reduced == "x-auth-request-jwt") && (strings.TrimSpace(value) != "") != (user != "") {
			t.Errorf("%s: the signed header is %q for %q", what, value, user)
		}
		if reduced == "remote-user" && strings.TrimSpace(value) != user {
			t.Errorf("%s: Remote-User is %q, not %q", what, value, user)
		}
	}
}

// TestForgedIdentity sends every trick through every proxy, signed out to a public path and signed in.
func TestForgedIdentity(t *testing.T) {
	each(t, nil, func(t *testing.T, p *running) {
		const email = "alice@acme.example"
		b, _ := p.signIn(t, email, appURL+"/")
		application := w(t).application
		application.take()
		visits := 0
		for _, as := range []struct{ cookies, path, user string }{{b.cookies(), "/d/board", email}, {"", "/public/x", ""}} {
			try := func(what, lines string) {
				t.Helper()
				status, connection, _ := raw(t, p.address, "GET "+as.path+" HTTP/1.1\r\nHost: "+appHost+"\r\nCookie: "+as.cookies+"\r\n"+lines+"\r\n")
				connection.Close()
				seen := application.take()
				if len(seen) == 0 && status == 200 {
					t.Errorf("%s: 200, and not from the application", what)
				}
				for _, head := range seen {
					judge(t, what, head, as.user)
				}
				visits += len(seen)
			}
			for _, name := range spellings {
				try(name, name+": "+forged+"\r\n")
				try(name+" twice", name+": "+forged+"\r\n"+name+": "+forged+"\r\n")
			}
			for what, lines := range tricks {
				if what == "the cookie in Connection" || what == "the answer's name in it" || what == "named in Connection" {
					// Whoever disowns these gets less, never somebody else: it is judged without its own name.
					status, connection, _ := raw(t, p.address, "GET "+as.path+" HTTP/1.1\r\nHost: "+appHost+"\r\nCookie: "+as.cookies+"\r\n"+lines+"\r\n")
					connection.Close()
					for _, head := range application.take() {
						if user := headerOf(head, "remote-user"); user != "" && user != as.user || strings.Contains(head, forged) {
							t.Errorf("%s: %d, and the application got %q", what, status, head)
						}
					}
					continue
				}
				try(what, lines)
			}
			for _, name := range spellings {
				for _, field := range []hpack.HeaderField{{Name: name, Value: forged}, {Name: strings.ToLower(name), Value: forged}, {Name: strings.ToLower(name), Value: "a\r\nremote-user: " + forged},
					{Name: strings.ToLower(name) + "\r\nremote-user", Value: forged}, {Name: "x-other", Value: "a\r\nRemote-User: " + forged}, {Name: strings.ToLower(name) + " ", Value: forged}} {
					rawHTTP2(t, p.address, as.path, hpack.HeaderField{Name: "cookie", Value: as.cookies}, field, field)
					seen := application.take()
					for _, head := range seen {
						judge(t, "HTTP/2 "+field.Name+": "+field.Value, head, as.user)
					}
					visits += len(seen)
				}
			}
		}
		// Most of it reaches the application, cleaned: a proxy that refuses everything would prove nothing.
		if visits < 50 {
			t.Errorf("only %d requests reached the application", visits)
		}
	})
}
