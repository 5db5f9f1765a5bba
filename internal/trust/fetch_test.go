package trust

import (
	"bufio"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	testclock "k8s.io/utils/clock/testing"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func testFetcher(o FetcherOptions) *Fetcher {
	o.AllowLoopback, o.Clock = true, testclock.NewFakePassiveClock(testNow)
	if o.Proxy == nil {
		o.Proxy = func(*url.URL) (*url.URL, error) { return nil, nil }
	}
	return NewFetcher(o)
}

func TestFetchOfEverythingAServerPlays(t *testing.T) {
	s := newMetadataServer(t)
	cases := []struct {
		path string
		kind Kind
		says string
	}{
		{"good", "", ""},
		{"gzip", "", ""},
		{"redirect", "", ""},
		{"redirect-3", "", ""},
		{"big-etag", "", ""},
		{"missing", KindHTTPStatus, "404"},
		{"status500", KindHTTPStatus, "500"},
		{"status403", KindHTTPStatus, "without signing in"},
		{"status429", KindHTTPStatus, "429"},
		{"not-modified-unasked", KindHTTPStatus, "304"},
		{"redirect-4", KindRedirect, "more than 3 times"},
		{"redirect-loop", KindRedirect, "more than 3 times"},
		{"redirect-inside", KindAddressRefused, "169.254.169.254"},
		{"redirect-private", KindAddressRefused, "private network"},
		{"redirect-http", KindRedirect, "http"},
		{"redirect-file", KindRedirect, "not an absolute URL"},
		{"redirect-user", KindRedirect, "user name"},
		{"redirect-nowhere", KindRedirect, "not a URL"},
		{"huge", KindTooLarge, "larger than 50000000 bytes"},
		{"gzip-bomb", KindTooLarge, "larger than 50000000 bytes"},
		{"gzip-broken", KindNotXML, "gzip"},
		{"html", KindNotXML, "web page"},
		{"truncated", KindNotXML, "breaks off"},
		{"broken-off", KindConnection, "broke off"},
		{"dtd", KindDTD, "document type"},
		{"expired", KindExpired, "2026-05-31"},
		{"wrong-entity", KindEntityNotFound, "https://other.example.com"},
		{"big-headers", KindConnection, ""},
	}
	// 50 MB through TLS take their time where the race detector looks on.
	f := testFetcher(FetcherOptions{Timeout: time.Minute})
	for _, c := range cases {
		t.Run(c.path, func(t *testing.T) {
			result, err := f.Fetch(t.Context(), Request{URL: s.URL + "/" + c.path, CABundle: s.ca(), Parse: ParseOptions{EntityID: "https://idp.example.com"}})
			if kindOf(err) != c.kind || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %s %v, want %s and %q", kindOf(err), err, c.kind, c.says)
			}
			if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "passwd") && c.path != "redirect-file") {
				t.Errorf("what the server sent is quoted: %v", err)
			}
			if err == nil && result.Metadata.Trust.EntityID != "https://idp.example.com" {
				t.Errorf("result %+v", result)
			}
			if c.path == "big-etag" && result.ETag != "" {
				t.Errorf("an ETag of %d bytes is kept", len(result.ETag))
			}
		})
	}
}

func TestFetchTimesOutOnServersThatHang(t *testing.T) {
	s := newMetadataServer(t)
	f := testFetcher(FetcherOptions{Timeout: testTimeout})
	for _, path := range []string{"hang", "slow"} {
		_, err := f.Fetch(t.Context(), Request{URL: s.URL + "/" + path, CABundle: s.ca()})
		if kindOf(err) != KindTimeout || !strings.Contains(err.Error(), "within 100ms") {
			t.Errorf("%s: %v", path, err)
		}
	}
	// One that accepts the connection and never speaks TLS.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := f.Fetch(t.Context(), Request{URL: "https://" + silent.Addr().String()}); kindOf(err) != KindTimeout {
		t.Errorf("silent: %v", err)
	}
}

func TestConditionalRequests(t *testing.T) {
	s := newMetadataServer(t)
	f := testFetcher(FetcherOptions{})
	request := Request{URL: s.URL + "/good", CABundle: s.ca()}
	first, err := f.Fetch(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if first.ETag != `"v1"` || first.LastModified != "Mon, 01 Jun 2026 00:00:00 GMT" {
		t.Fatalf("validators %q, %q", first.ETag, first.LastModified)
	}
	for _, r := range []Request{
		{URL: request.URL, CABundle: request.CABundle, ETag: first.ETag},
		{URL: request.URL, CABundle: request.CABundle, LastModified: first.LastModified},
	} {
		again, err := f.Fetch(t.Context(), r)
		if err != nil || !again.NotModified || again.Metadata != nil || again.ETag != r.ETag || again.LastModified != r.LastModified {
			t.Errorf("got %+v %v, want 304 with the validators kept", again, err)
		}
	}
	changed, err := f.Fetch(t.Context(), Request{URL: request.URL, CABundle: request.CABundle, ETag: `"v0"`})
	if err != nil || changed.NotModified {
		t.Errorf("another ETag: %+v %v", changed, err)
	}
}

func TestTLSAndConnectionErrorsAreTold(t *testing.T) {
	s := newMetadataServer(t)
	old := oldTLSServer(t)
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.URL, "https://"))
	for name, c := range map[string]struct {
		r    Request
		kind Kind
		says string
	}{
		"unknown authority": {Request{URL: s.URL + "/good"}, KindTLS, "spec.saml.metadata.caBundle"},
		"another name":      {Request{URL: "https://localhost:" + port + "/good", CABundle: s.ca()}, KindTLS, "not for the name localhost"},
		"empty bundle":      {Request{URL: s.URL, CABundle: []byte("nothing")}, KindTLS, "spec.saml.metadata.caBundle"},
		"old TLS":           {Request{URL: old.URL}, KindTLS, "TLS"},
		"no TLS":            {Request{URL: "https://" + strings.TrimPrefix(plain.URL, "http://")}, KindTLS, "does not speak TLS"},
		"nobody there":      {Request{URL: "https://" + closed.Addr().String()}, KindConnection, "Nothing listens"},
		"http":              {Request{URL: "http://idp.example.com/"}, KindInvalidURL, "Use https"},
		"ftp":               {Request{URL: "ftp://idp.example.com/"}, KindInvalidURL, "must be https"},
		"no host":           {Request{URL: "https:///metadata"}, KindInvalidURL, "absolute"},
		"password":          {Request{URL: "https://alice:pw@idp.example.com/"}, KindInvalidURL, "password"},
		"control character": {Request{URL: "https://idp.example.com/\n"}, KindInvalidURL, "absolute"},
		"literal address":   {Request{URL: "https://[::ffff:169.254.169.254]/"}, KindAddressRefused, "169.254.169.254"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := testFetcher(FetcherOptions{}).Fetch(t.Context(), c.r)
			if kindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %s %v, want %s and %q", kindOf(err), err, c.kind, c.says)
			}
		})
	}
}

// nameServer is a real DNS server on loopback, and a resolver that asks it.
func nameServer(t *testing.T) *net.Resolver {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	records := map[string]string{
		"good.example.com. A": "127.0.0.1", "private.example.com. A": "10.1.2.3", "link.example.com. A": "169.254.169.254",
		"mapped.example.com. AAAA": "::ffff:169.254.169.254", "local.example.com. AAAA": "fe80::1",
	}
	server := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		question := q.Question[0]
		kind := dns.TypeToString[question.Qtype]
		switch value := records[question.Name+" "+kind]; {
		case value != "":
			if record, err := dns.NewRR(question.Name + " 60 IN " + kind + " " + value); err == nil {
				answer.Answer = append(answer.Answer, record)
			}
		case strings.HasPrefix(question.Name, "fail."):
			answer.Rcode = dns.RcodeServerFailure
		case strings.HasPrefix(question.Name, "none."):
			answer.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(answer)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", packets.LocalAddr().String())
	}}
}

func TestNamesAreResolvedAndTheirAddressesChecked(t *testing.T) {
	s := newMetadataServer(t)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.URL, "https://"))
	f := testFetcher(FetcherOptions{Resolver: nameServer(t)})
	for host, want := range map[string]struct {
		kind Kind
		says string
	}{
		"good.example.com":    {"", ""},
		"none.example.com":    {KindDNS, "has no address"},
		"fail.example.com":    {KindDNS, "do not answer"},
		"private.example.com": {KindAddressRefused, "10.1.2.3"},
		"link.example.com":    {KindAddressRefused, "169.254.169.254"},
		"mapped.example.com":  {KindAddressRefused, "169.254.169.254"},
		"local.example.com":   {KindAddressRefused, "fe80::1"},
	} {
		_, err := f.Fetch(t.Context(), Request{URL: "https://" + host + ":" + port + "/good", CABundle: s.ca()})
		if kindOf(err) != want.kind || err != nil && !strings.Contains(err.Error(), want.says) {
			t.Errorf("%s: got %s %v, want %s and %q", host, kindOf(err), err, want.kind, want.says)
		}
	}
}

// A name that leads to a refused address is refused when it is dialled; localhost is such a name on every machine.
func TestAddressesAreCheckedWhenDialling(t *testing.T) {
	s := newMetadataServer(t)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.URL, "https://"))
	f := NewFetcher(FetcherOptions{Proxy: func(*url.URL) (*url.URL, error) { return nil, nil }})
	for _, host := range []string{"localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"} {
		_, err := f.Fetch(t.Context(), Request{URL: "https://" + net.JoinHostPort(strings.Trim(host, "[]"), port) + "/good", CABundle: s.ca()})
		if kindOf(err) != KindAddressRefused {
			t.Errorf("%s: %v", host, err)
		}
	}
	if n := s.requests.Load(); n != 0 {
		t.Errorf("%d requests reached the server", n)
	}
	_, err := f.Fetch(t.Context(), Request{URL: "https://10.1.2.3/metadata"})
	if kindOf(err) != KindAddressRefused || !strings.Contains(err.Error(), "--allow-private-metadata") {
		t.Errorf("a private address: %v", err)
	}
}

func TestRedirectToLoopbackIsRefused(t *testing.T) {
	s := newMetadataServer(t)
	// The first hop is let through, as if the server were elsewhere; redirects are checked like any URL.
	f := NewFetcher(FetcherOptions{})
	from, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	for path := range map[string]bool{"redirect-loopback": true, "redirect-inside": true, "redirect-private": true} {
		recorder := httptest.NewRecorder()
		plays[path](s, recorder, httptest.NewRequest(http.MethodGet, "/", nil))
		if _, err := f.redirect(from, recorder.Result()); kindOf(err) != KindAddressRefused {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestNothingIdentifiesTheClientButItsName(t *testing.T) {
	headers := make(chan http.Header, 2)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header
		w.Header().Set("Set-Cookie", "tracking=1; Path=/")
		if r.URL.Path == "/" {
			w.Header().Set("Location", "/next")
			w.WriteHeader(http.StatusFound)
		}
	}))
	s.StartTLS()
	defer s.Close()
	_, err := testFetcher(FetcherOptions{UserAgent: "sallyport/1.0"}).Fetch(t.Context(), Request{URL: s.URL, CABundle: pemOf(s)})
	if kindOf(err) != KindNotXML {
		t.Fatal(err)
	}
	<-headers
	second := <-headers
	if second.Get("Cookie") != "" || second.Get("Referer") != "" || second.Get("User-Agent") != "sallyport/1.0" {
		t.Errorf("headers of the second hop: %v", second)
	}
}

func pemOf(s *httptest.Server) []byte {
	return (&metadataServer{Server: s}).ca()
}

func TestProxyOfTheEnvironmentIsUsed(t *testing.T) {
	s := newMetadataServer(t)
	// A CONNECT proxy that leads every name to the test server.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	asked := make(chan string, 4)
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go tunnel(connection, strings.TrimPrefix(s.URL, "https://"), asked)
		}
	}()
	t.Setenv("HTTPS_PROXY", "http://"+listener.Addr().String())
	t.Setenv("NO_PROXY", "inside.example.com")
	f := NewFetcher(FetcherOptions{Clock: testclock.NewFakePassiveClock(testNow)})
	// httptest's certificate is for example.com too.
	result, err := f.Fetch(t.Context(), Request{URL: "https://example.com/good", CABundle: s.ca()})
	if err != nil || result.Metadata.Trust.EntityID != "https://idp.example.com" {
		t.Fatalf("through the proxy: %v", err)
	}
	if got := <-asked; got != "example.com:443" {
		t.Errorf("the proxy was asked for %s", got)
	}
	if _, err := f.Fetch(t.Context(), Request{URL: "https://169.254.169.254/", CABundle: s.ca()}); kindOf(err) != KindAddressRefused {
		t.Errorf("an address in the URL, through the proxy: %v", err)
	}
	if proxy, err := f.o.Proxy(&url.URL{Scheme: "https", Host: "inside.example.com"}); err != nil || proxy != nil {
		t.Errorf("NO_PROXY: %v %v", proxy, err)
	}
}

func tunnel(client net.Conn, to string, asked chan<- string) {
	defer client.Close()
	request, err := http.ReadRequest(bufio.NewReader(client))
	if err != nil || request.Method != http.MethodConnect {
		return
	}
	asked <- request.Host
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(server, client) }()
	_, _ = io.Copy(client, server)
}

func TestRetryAfterIsReadAndBounded(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"120": 2 * time.Minute, "-5": 0, "": 0, "soon": 0, "99999999": 7 * 24 * time.Hour,
		"Mon, 01 Jun 2026 12:05:00 GMT": 5 * time.Minute, "Mon, 01 Jun 2020 12:05:00 GMT": 0, "Mon, 01 Jun 2099 12:05:00 GMT": 7 * 24 * time.Hour,
	} {
		if got := retryAfter(value, testNow); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
	s := newMetadataServer(t)
	_, err := testFetcher(FetcherOptions{}).Fetch(t.Context(), Request{URL: s.URL + "/status429", CABundle: s.ca()})
	if typed, ok := err.(*Error); !ok || typed.RetryAfter != 2*time.Minute {
		t.Errorf("%#v", err)
	}
}

func TestCallersCancellationEndsAFetch(t *testing.T) {
	s := newMetadataServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(testTimeout, cancel)
	if _, err := testFetcher(FetcherOptions{}).Fetch(ctx, Request{URL: s.URL + "/hang", CABundle: s.ca()}); kindOf(err) != KindTimeout {
		t.Error(err)
	}
}
