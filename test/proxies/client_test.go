package proxies

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const acceptHTML = "text/html,application/xhtml+xml,*/*;q=0.8"

// reply is an answer that was read whole.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) location() string { return r.header.Get("Location") }

// printed is what the application says that it got; the test fails when the answer is not the application's.
func (r reply) printed(t *testing.T) printed {
	t.Helper()
	var p printed
	if err := json.Unmarshal([]byte(r.body), &p); err != nil || r.status != http.StatusOK {
		t.Fatalf("not the application's answer: %d %s", r.status, r.body)
	}
	return p
}

// browser keeps cookies, follows no redirect by itself, and finds every host at the proxy.
type browser struct {
	t *testing.T
	*http.Client
}

func newBrowser(t *testing.T, proxy string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, proxy)
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the authority is the test's own
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t, &http.Client{Jar: jar, Transport: transport, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (b *browser) send(r *http.Request) reply {
	b.t.Helper()
	response, err := b.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(body)}
}

func (b *browser) ask(method, address string, body string, headers ...string) reply {
	b.t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return b.send(r)
}

// get opens a page as a browser does.
func (b *browser) get(address string) reply {
	b.t.Helper()
	return b.ask("GET", address, "", "Accept", acceptHTML, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "none")
}

func (b *browser) post(address, site string, form url.Values) reply {
	b.t.Helper()
	return b.ask("POST", address, form.Encode(), "Accept", acceptHTML, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", site,
		"Content-Type", "application/x-www-form-urlencoded", "Origin", ssoURL)
}

// cookies of the application's host, as a header's value.
func (b *browser) cookies() string {
	u, _ := url.Parse(appURL)
	var all []string
	for _, c := range b.Jar.Cookies(u) {
		all = append(all, c.Name+"="+c.Value)
	}
	return strings.Join(all, "; ")
}

func dialTLS(t *testing.T, proxy, protocol string) *tls.Conn {
	t.Helper()
	connection, err := tls.Dial("tcp", proxy, &tls.Config{InsecureSkipVerify: true, ServerName: appHost, NextProtos: []string{protocol}}) //nolint:gosec // as above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	if err := connection.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return connection
}

// raw sends bytes as they are and returns the status line's code, 0 when the connection was closed without an answer.
func raw(t *testing.T, proxy, request string) (status int, connection *tls.Conn, rest *bufio.Reader) {
	t.Helper()
	connection = dialTLS(t, proxy, "http/1.1")
	if _, err := io.WriteString(connection, request); err != nil {
		t.Fatal(err)
	}
	rest = bufio.NewReader(connection)
	response, err := http.ReadResponse(rest, nil)
	if err != nil {
		return 0, connection, rest
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	return response.StatusCode, connection, rest
}

// rawHTTP2 sends one GET with the header fields exactly as they are given, also those that no client library would send. It returns the status, 0 when
// the stream or the connection was closed without one.
func rawHTTP2(t *testing.T, proxy, path string, fields ...hpack.HeaderField) int {
	t.Helper()
	connection := dialTLS(t, proxy, "h2")
	if connection.ConnectionState().NegotiatedProtocol != "h2" {
		t.Fatal("the proxy does not speak HTTP/2")
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range append([]hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: appHost}, {Name: ":path", Value: path}}, fields...) {
		if err := encoder.WriteField(field); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(connection, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(connection, connection)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return 0
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			status := 0
			for _, c := range f.PseudoValue("status") {
				status = status*10 + int(c-'0')
			}
			return status
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return 0
		}
	}
}
