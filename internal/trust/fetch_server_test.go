package trust

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// metadataServer is a real https server that behaves as its path says.
type metadataServer struct {
	*httptest.Server
	t        testing.TB
	document string
	// done ends the handlers that hang.
	done chan struct{}
	// requests that came in.
	requests atomic.Int64
	// current is what /changing says instead of document.
	current atomic.Pointer[string]
}

func newMetadataServer(t testing.TB) *metadataServer {
	t.Helper()
	s := &metadataServer{t: t, document: standalone("https://idp.example.com", goodRole(signer(t, "old"))), done: make(chan struct{})}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	t.Cleanup(func() {
		close(s.done)
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// ca is the server's certificate as a bundle.
func (s *metadataServer) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func (s *metadataServer) serve(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	play, ok := plays[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	play(s, w, r)
}

// hang waits until the client has gone or the test is over.
func (s *metadataServer) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.done:
	}
}

// plays are what the server can do, by path.
var plays = map[string]func(*metadataServer, http.ResponseWriter, *http.Request){
	"good": func(s *metadataServer, w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == `"v1"` || r.Header.Get("If-Modified-Since") == "Mon, 01 Jun 2026 00:00:00 GMT" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Last-Modified", "Mon, 01 Jun 2026 00:00:00 GMT")
		w.Header().Set("Set-Cookie", "tracking=1")
		_, _ = io.WriteString(w, s.document)
	},
	"not-modified-unasked": func(_ *metadataServer, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
	"slow": func(s *metadataServer, w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, s.document[:100])
		w.(http.Flusher).Flush()
		s.hang(r)
	},
	"hang":      func(s *metadataServer, _ http.ResponseWriter, r *http.Request) { s.hang(r) },
	"status500": func(_ *metadataServer, w http.ResponseWriter, _ *http.Request) { http.Error(w, "secret-in-body", 500) },
	"status403": func(_ *metadataServer, w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "secret-in-body", http.StatusForbidden)
	},
	"status429": func(_ *metadataServer, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		http.Error(w, "secret-in-body", http.StatusTooManyRequests)
	},
	"redirect":          to("/good"),
	"redirect-loop":     to("/redirect-loop"),
	"redirect-3":        to("/redirect-2"),
	"redirect-2":        to("/redirect"),
	"redirect-4":        to("/redirect-3"),
	"redirect-inside":   to("https://169.254.169.254/latest/meta-data"),
	"redirect-loopback": to("https://127.0.0.1:1/secret"),
	"redirect-private":  to("https://10.0.0.1/secret"),
	"redirect-http":     to("http://idp.example.com/metadata"),
	"redirect-file":     to("file:///etc/passwd"),
	"redirect-user":     to("https://root:secret@idp.example.com/"),
	"redirect-nowhere":  func(_ *metadataServer, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) },
	"huge": func(s *metadataServer, w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, aggregateHead)
		chunk := bytes.Repeat([]byte(entity("https://x.example.com", "", "")), 1000)
		for range 1000 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	},
	"gzip": func(s *metadataServer, w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			http.Error(w, "gzip is not asked for", http.StatusNotAcceptable)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, s.document)
		_ = z.Close()
	},
	"gzip-bomb": func(_ *metadataServer, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, aggregateHead)
		spaces := bytes.Repeat([]byte(" "), 1<<20)
		for range 1024 {
			if _, err := z.Write(spaces); err != nil {
				return
			}
		}
		_ = z.Close()
	},
	"gzip-broken": func(_ *metadataServer, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, "secret-in-body, not compressed")
	},
	"html": says("<!DOCTYPE html><html><body>secret-in-body<br>Sign in</body></html>"),
	"truncated": func(s *metadataServer, w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, s.document[:len(s.document)/2])
	},
	"broken-off": func(s *metadataServer, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(s.document)))
		_, _ = io.WriteString(w, s.document[:len(s.document)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	},
	"dtd": says(`<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>`),
	"expired": func(s *metadataServer, w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Replace(s.document, "<md:EntityDescriptor", `<md:EntityDescriptor validUntil="2026-05-31T00:00:00Z"`, 1))
	},
	"wrong-entity": func(s *metadataServer, w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Replace(s.document, "idp.example.com\"", "other.example.com\"", 1))
	},
	"big-headers": func(_ *metadataServer, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Big", strings.Repeat("x", 1<<20))
	},
	"big-etag": func(s *metadataServer, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"`+strings.Repeat("x", 10_000)+`"`)
		_, _ = io.WriteString(w, s.document)
	},
}

func to(where string) func(*metadataServer, http.ResponseWriter, *http.Request) {
	return func(_ *metadataServer, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", where)
		w.WriteHeader(http.StatusFound)
	}
}

func says(body string) func(*metadataServer, http.ResponseWriter, *http.Request) {
	return func(_ *metadataServer, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

// oldTLSServer speaks nothing that is accepted.
func oldTLSServer(t testing.TB) *httptest.Server {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = quiet()
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// testTimeout is for the fetches that shall time out.
const testTimeout = 100 * time.Millisecond
