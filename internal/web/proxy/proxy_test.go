package proxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func trust(t *testing.T, trusted ...string) *Trust {
	t.Helper()
	list, err := NewTrust(trusted)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func request(peer string, headers ...string) *http.Request {
	r := httptest.NewRequest("GET", "/authz/nginx", nil)
	r.RemoteAddr = peer
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func TestClient(t *testing.T) {
	list := trust(t, "10.0.0.0/8", "2001:db8::/32", "192.0.2.1")
	for name, c := range map[string]struct {
		peer string
		xff  []string
		want string
	}{
		"untrusted peer, header ignored":        {"203.0.113.9:1", []string{"198.51.100.1"}, "203.0.113.9"},
		"trusted peer":                          {"10.1.1.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		"client's own entry is not believed":    {"10.1.1.1:1", []string{"1.1.1.1, 198.51.100.1, 10.2.2.2"}, "198.51.100.1"},
		"two header lines":                      {"192.0.2.1:1", []string{"1.1.1.1", "198.51.100.1"}, "198.51.100.1"},
		"with ports and brackets":               {"10.1.1.1:1", []string{"[2001:db9::5]:443"}, "2001:db9::5"},
		"garbage ends the walk":                 {"10.1.1.1:1", []string{"198.51.100.1, <script>, 10.3.3.3"}, "10.3.3.3"},
		"nothing but proxies":                   {"10.1.1.1:1", []string{"10.4.4.4"}, "10.4.4.4"},
		"no header":                             {"10.1.1.1:1", nil, "10.1.1.1"},
		"an IPv4 address in IPv6 clothes":       {"[::ffff:10.1.1.1]:1", []string{"198.51.100.1"}, "198.51.100.1"},
		"a peer that is no address is no proxy": {"@", []string{"198.51.100.1"}, ""},
	} {
		r := request(c.peer)
		for _, line := range c.xff {
			r.Header.Add("X-Forwarded-For", line)
		}
		if got := list.Client(r); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestOriginal(t *testing.T) {
	list := trust(t, "127.0.0.1")
	const peer = "127.0.0.1:9"
	forwarded := func(method, scheme, host, uri string) []string {
		return []string{"X-Forwarded-Method", method, "X-Forwarded-Proto", scheme, "X-Forwarded-Host", host, "X-Forwarded-Uri", uri}
	}
	for name, c := range map[string]struct {
		r    *http.Request
		want string
	}{
		"traefik":          {request(peer, forwarded("POST", "https", "App.example.com", "/a?b=c")...), "POST https://app.example.com/a?b=c"},
		"a websocket":      {request(peer, forwarded("GET", "wss", "app.example.com", "/")...), "GET https://app.example.com/"},
		"untrusted":        {request("203.0.113.1:9", forwarded("GET", "https", "app.example.com", "/")...), ""},
		"nothing":          {request(peer), ""},
		"two hosts":        {request(peer, append(forwarded("GET", "https", "a.example.com", "/"), "X-Forwarded-Host", "b.example.com")...), ""},
		"two URIs":         {request(peer, append(forwarded("GET", "https", "a.example.com", "/"), "X-Forwarded-Uri", "/public")...), ""},
		"a list of hosts":  {request(peer, forwarded("GET", "https", "a.example.com, b.example.com", "/")...), ""},
		"user in the host": {request(peer, forwarded("GET", "https", "a.example.com@evil.example", "/")...), ""},
		// A proxy that folds ASCII alone serves another host than the one that this would become.
		"a letter whose lower case is in ASCII": {request(peer, forwarded("GET", "https", "w\u0130ki.example.com", "/")...), ""},
		"relative URI":                          {request(peer, forwarded("GET", "https", "a.example.com", "a")...), ""},
		"scheme":                                {request(peer, forwarded("GET", "javascript", "a.example.com", "/")...), ""},
		"nginx's headers do not count here": {request(peer, append(forwarded("GET", "https", "a.example.com", "/secret"), "X-Original-Url", "https://a.example.com/public")...),
			"GET https://a.example.com/secret"},
	} {
		o, ok := list.Forwarded(c.r)
		check(t, "forwarded: "+name, o, ok, c.want)
	}
	for name, c := range map[string]struct {
		r    *http.Request
		want string
	}{
		"ingress-nginx":                         {request(peer, "X-Original-Url", "https://app.example.com:8443/a?b", "X-Original-Method", "PUT"), "PUT https://app.example.com:8443/a?b"},
		"untrusted":                             {request("203.0.113.1:9", "X-Original-Url", "https://app.example.com/", "X-Original-Method", "GET"), ""},
		"a letter whose lower case is in ASCII": {request(peer, "X-Original-Url", "https://\u212a.example.com/", "X-Original-Method", "GET"), ""},
		"no slash":                              {request(peer, "X-Original-Url", "https://app.example.com", "X-Original-Method", "GET"), ""},
		"no method":                             {request(peer, "X-Original-Url", "https://app.example.com/"), ""},
		"the client's X-Forwarded headers do not count": {request(peer, forwarded("GET", "https", "app.example.com", "/public")...), ""},
	} {
		o, ok := list.XOriginal(c.r)
		check(t, "original: "+name, o, ok, c.want)
	}
}

func check(t *testing.T, name string, o Original, ok bool, want string) {
	t.Helper()
	got := ""
	if ok {
		got = o.Method + " " + o.URL()
	}
	if got != want {
		t.Errorf("%s: %q, want %q", name, got, want)
	}
}

func TestNewTrustNamesTheField(t *testing.T) {
	if _, err := NewTrust([]string{"10.0.0.0/8", "10.0.0.0/33"}); err == nil || !strings.Contains(err.Error(), "trustedProxies[1]") {
		t.Error(err)
	}
}

func TestKindOf(t *testing.T) {
	const html = "text/html,application/xhtml+xml,*/*;q=0.8"
	for name, c := range map[string]struct {
		method  string
		headers []string
		want    Kind
	}{
		"browser page":       {"GET", []string{"Accept", html, "Sec-Fetch-Mode", "navigate"}, Page},
		"old browser":        {"GET", []string{"Accept", html}, Page},
		"form":               {"POST", []string{"Accept", html, "Sec-Fetch-Mode", "navigate"}, PageWithBody},
		"fetch":              {"GET", []string{"Accept", "*/*", "Sec-Fetch-Mode", "cors"}, API},
		"fetch of HTML":      {"GET", []string{"Accept", html, "Sec-Fetch-Mode", "same-origin"}, API},
		"htmx and jQuery":    {"GET", []string{"Accept", html, "X-Requested-With", "XMLHttpRequest"}, API},
		"image":              {"GET", []string{"Accept", "image/avif", "Sec-Fetch-Mode", "no-cors"}, API},
		"curl":               {"GET", []string{"Accept", "*/*"}, API},
		"no Accept":          {"GET", nil, API},
		"JSON":               {"POST", []string{"Accept", "application/json"}, API},
		"PUT":                {"PUT", []string{"Accept", html}, API},
		"websocket":          {"GET", []string{"Upgrade", "WebSocket", "Connection", "Upgrade", "Accept", html}, WebSocket},
		"preflight":          {"OPTIONS", []string{"Origin", "https://a.example.com", "Access-Control-Request-Method", "PUT"}, Preflight},
		"OPTIONS by a human": {"OPTIONS", []string{"Accept", html}, API},
	} {
		if got := KindOf(c.method, request("", c.headers...).Header); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
