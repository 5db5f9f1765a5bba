package returnurl

import (
	"net/url"
	"strings"
	"testing"
)

func policy(t *testing.T) *Policy {
	t.Helper()
	p, err := New("https://sso.example.com:8443", []string{"*.example.com", "app.acme.example", "odd.acme.example:9000", "*.dev.acme.example:9443"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAllowed(t *testing.T) {
	for raw, want := range map[string]string{
		"/account":                           "https://sso.example.com:8443/account",
		"/":                                  "https://sso.example.com:8443/",
		"https://sso.example.com:8443/x?y=1": "https://sso.example.com:8443/x?y=1",
		"https://grafana.example.com/d/1?a=b&c=d#e":  "https://grafana.example.com/d/1?a=b&c=d#e",
		"https://a.b.example.com":                    "https://a.b.example.com",
		"https://grafana.example.com:8443/":          "https://grafana.example.com:8443/",
		"https://grafana.example.com:443/":           "https://grafana.example.com:443/",
		"HTTPS://GRAFANA.Example.COM/Path":           "https://grafana.example.com/Path",
		"https://app.acme.example/%2e%2e/x":          "https://app.acme.example/%2e%2e/x",
		"https://odd.acme.example:9000/":             "https://odd.acme.example:9000/",
		"https://x.dev.acme.example:9443/":           "https://x.dev.acme.example:9443/",
		"https://grafana.example.com/?u=https://e.x": "https://grafana.example.com/?u=https://e.x",
		"https://grafana.example.com/a@b":            "https://grafana.example.com/a@b",
	} {
		got, err := policy(t).Check(raw)
		if err != nil || got != want {
			t.Errorf("Check(%q) = %q, %v; want %q", raw, got, err, want)
		}
	}
}

// refused is the open redirect table: everything that has led a browser astray elsewhere.
var refused = []string{
	"", " ", "//evil.example", "///evil.example", "////evil.example/", `/\evil.example`, `\\evil.example`, `\/evil.example`, `https:\\evil.example`,
	`https://grafana.example.com\@evil.example`, `https://evil.example\.example.com`, "https:evil.example", "https:/evil.example", "https:///evil.example",
	"https://grafana.example.com@evil.example/", "https://grafana.example.com:443@evil.example/", "https://user:pw@grafana.example.com/",
	"https://@grafana.example.com/", "https://evil.example/", "https://evil.example?.example.com", "https://evil.example#.example.com",
	"https://evilexample.com/", "https://example.com/", "https://.example.com/", "https://example.com.evil.example/", "https://grafana.example.com.evil.example/",
	"https://grafana.example.com./", "https://grafana..example.com/", "https://grafana.example.com%2eevil.example/", "https://grafana.example.com%00.evil.example/",
	"https://evil.example%2f.example.com/", "https://evil.example%23.example.com/", "http://grafana.example.com/", "http://sso.example.com:8443/",
	"https://grafana.example.com:9999/", "https://odd.acme.example/", "https://x.dev.acme.example/", "https://grafana.example.com:/../evil.example:1/:",
	"javascript:alert(1)", "JaVaScRiPt://sso.example.com:8443/%0aalert(1)", "data:text/html,x", "vbscript:x", "ftp://grafana.example.com/", "file:///etc/passwd",
	"\thttps://grafana.example.com/", "https://grafana.example.com/\r\nSet-Cookie: a=b", "https://gra\tfana.example.com/", "java\nscript:alert(1)",
	"/\t/evil.example", "/\n/evil.example", "\x00https://grafana.example.com/", " https://grafana.example.com/", "https://grafana.example.com/ ",
	"https://grafana.example.com/\x7f", "https://grafаna.example.com/", "https://grafana。example。com/", "https://evil.example／.example.com/",
	"https://[::1]/", "https://127.0.0.1/", "https://0x7f.1/", "https://2130706433/", "https://[fe80::1%25eth0]/", "grafana.example.com", "?x", "#x", "x/y",
	"https://grafana.example.com:443:443/", "https://graf ana.example.com/", "https://*.example.com/", "https://grafana.example.com:99999999/", "https://%67rafana.example.com@evil.example",
	"https://grafana.example.com/%zz", "/%zz",
}

func TestRefused(t *testing.T) {
	long := []string{"https://grafana.example.com/" + strings.Repeat("a", MaxLength), "/" + strings.Repeat("{", MaxLength/3), "https://grafana.example.com/" + strings.Repeat("{", MaxLength/2)}
	for _, raw := range append(refused, long...) {
		if got, err := policy(t).Check(raw); err == nil {
			t.Errorf("Check(%q) = %q, want an error", raw, got)
		}
	}
}

func TestNewNamesTheField(t *testing.T) {
	for _, entry := range []string{"", "*", "*.", "a*.example.com", "https://app.example.com", "app.example.com/", "*.*.example.com", "..", "user@host"} {
		if _, err := New("https://sso.example.com", []string{"ok.example.com", entry}); err == nil || !strings.Contains(err.Error(), "allowedHosts[1]") {
			t.Errorf("New with %q: %v", entry, err)
		}
	}
	if _, err := New("sso.example.com", nil); err == nil {
		t.Error("a URL without scheme was taken")
	}
}

func TestFromQuery(t *testing.T) {
	for query, want := range map[string][2]string{
		"":                            {"", ""},
		"x=1":                         {"", "x=1"},
		"ord=1":                       {"", "ord=1"},
		"rd=/account":                 {"/account", ""},
		"rd=https%3A%2F%2Fa.b%2F&x=1": {"https://a.b/", "x=1"},
		"idp=okta&rd=https://a.b/c?d=e&idp=g%20h":  {"https://a.b/c?d=e&idp=g%20h", "idp=okta"},
		"idp=okta&rd=https%3A%2F%2Fa.b%2F%3Fc&x=1": {"https://a.b/?c", "idp=okta&x=1"},
		"rd=%":                  {"%", ""},
		"ard=1&rd=2":            {"2", "ard=1"},
		"rd=%2F%5Cevil.example": {`/\evil.example`, ""},
		"rd=&x=1":               {"", "x=1"},
		"rd=/a&rd=/b":           {"/a", "rd=%2Fb"},
	} {
		rd, others := FromQuery(query)
		if rd != want[0] || others.Encode() != want[1] {
			t.Errorf("FromQuery(%q) = %q, %q, want %q", query, rd, others.Encode(), want)
		}
	}
}

// FuzzCheck holds the promise: whatever passes is https on an allowed host for a strict reader too, and stays so when checked again.
func FuzzCheck(f *testing.F) {
	for _, seed := range append(refused, "/account", "https://grafana.example.com/d?x=y#z", "https://sso.example.com:8443/") {
		f.Add(seed)
	}
	p, err := New("https://sso.example.com:8443", []string{"*.example.com"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := p.Check(raw)
		if err != nil {
			return
		}
		if strings.ContainsAny(got, "\\\r\n\t ") {
			t.Fatalf("%q passed as %q", raw, got)
		}
		rest, ok := strings.CutPrefix(got, "https://")
		if !ok {
			t.Fatalf("%q passed as %q", raw, got)
		}
		// As a browser finds the host: up to the first slash, question mark or number sign.
		authority := rest
		if end := strings.IndexAny(rest, "/?#"); end >= 0 {
			authority = rest[:end]
		}
		host := strings.TrimSuffix(strings.TrimSuffix(authority, ":443"), ":8443")
		if !strings.HasSuffix(host, ".example.com") || strings.ContainsAny(host, "@:%") {
			t.Fatalf("%q passed as %q: host %q", raw, got, host)
		}
		if again, err := p.Check(got); err != nil || again != got {
			t.Fatalf("%q, checked again: %q, %v", got, again, err)
		}
		if _, err := url.Parse(got); err != nil {
			t.Fatal(err)
		}
	})
}
