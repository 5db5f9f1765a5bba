// Package tracingtest is the other end of a Tracer: an OTLP collector that keeps what real exporters send to it.
package tracingtest

import (
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"sallyport.dev/sallyport/internal/tracing"
)

// Collector decodes spans and keeps them.
type Collector struct {
	*httptest.Server
	mutex sync.Mutex
	spans []*tracev1.Span
	text  strings.Builder
}

// NewCollector starts one and stops it with the test.
func NewCollector(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var from io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			unpacked, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			from = unpacked
		}
		body, err := io.ReadAll(from)
		var request collector.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &request) != nil {
			t.Errorf("%s %s is no delivery of spans: %v", r.Method, r.URL, err)
			return
		}
		c.mutex.Lock()
		defer c.mutex.Unlock()
		fmt.Fprintln(&c.text, &request)
		for _, rs := range request.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				c.spans = append(c.spans, ss.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// Named returns the spans of that name.
func (c *Collector) Named(name string) (found []*tracev1.Span) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, s := range c.spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

// Text is everything that came.
func (c *Collector) Text() string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.text.String()
}

// Tracer sends to a collector until the test ends.
func Tracer(t *testing.T, to string) *tracing.Tracer {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", to)
	tracer, err := tracing.FromEnvironment(t.Context(), "sallyport", slog.New(slog.DiscardHandler))
	if err != nil || tracer == nil {
		t.Fatalf("%v, %v", tracer, err)
	}
	t.Cleanup(tracer.Close)
	return tracer
}
