package web_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/tracing"
)

// received is an OTLP collector: what real exporters send to it is decoded and kept.
type received struct {
	*httptest.Server
	mutex sync.Mutex
	spans []*tracev1.Span
	text  strings.Builder
}

func newCollector(t *testing.T) *received {
	t.Helper()
	c := &received{}
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

// named returns the spans of that name.
func (c *received) named(name string) (found []*tracev1.Span) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, s := range c.spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

// traced is a world whose service provider sends its traces to the address.
func traced(t *testing.T, to string, edit ...func(*snapshot.Snapshot)) *world {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", to)
	tracer, err := tracing.FromEnvironment(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil || tracer == nil {
		t.Fatalf("%v, %v", tracer, err)
	}
	w := newWorld(t, edit...)
	w.tracer = tracer
	w.restart()
	t.Cleanup(tracer.Close)
	return w
}

// withHeader sends a header with each request.
type withHeader struct {
	http.RoundTripper
	name, value string
}

func (h withHeader) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set(h.name, h.value)
	return h.RoundTripper.RoundTrip(r)
}

const (
	proxyTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	traceparent = "00-" + proxyTrace + "-00f067aa0ba902b7-00"
)

func TestASignInIsTraced(t *testing.T) {
	c := newCollector(t)
	w := traced(t, c.URL)
	b := w.browser()
	b.Transport = withHeader{b.Transport, "Traceparent", traceparent}
	b.signIn("alice@acme.example")
	if got := b.check(""); got.status != http.StatusOK {
		t.Fatal(got.status)
	}
	b.finish(asked{idp: "okta"}, url.Values{"SAMLResponse": {"bWFsbG9yeQ=="}})
	waitFor(t, "both responses and the request", func() bool { return len(c.named("saml.acs")) == 2 && len(c.named("saml.authn_request")) == 1 })
	// In the order in which they end: children first.
	root := c.named("saml.acs")[0]
	for _, name := range []string{"saml.parse", "saml.verify_response", "saml.decrypt", "saml.verify_assertion", "saml.read_claims", "identity.map", "identity.provision", "store.transaction", "store.pending"} {
		found := c.named(name)
		if !slices.ContainsFunc(found, func(s *tracev1.Span) bool {
			return string(s.TraceId) == string(root.TraceId) && s.EndTimeUnixNano >= s.StartTimeUnixNano
		}) {
			t.Errorf("the trace has no span %s: %v", name, found)
		}
	}
	for _, s := range append(c.named("saml.acs"), c.named("saml.authn_request")...) {
		if len(s.ParentSpanId) != 0 || fmt.Sprintf("%x", s.TraceId) == proxyTrace {
			t.Errorf("who called decided about the trace: %v", s)
		}
		if len(s.Links) != 1 || fmt.Sprintf("%x", s.Links[0].TraceId) != proxyTrace {
			t.Errorf("the trusted proxy's trace is not linked: %v", s.Links)
		}
	}
	all := c.text.String()
	for _, want := range []string{"sso.idp", "okta", "sso.reason", "malformed", "sso.outcome", "service.name"} {
		if !strings.Contains(all, want) {
			t.Errorf("no span holds %q", want)
		}
	}
	for _, forbidden := range []string{"alice", "Alice", "acme.example", "Ærlig", "bWFsbG9yeQ", "PHNhbW", "<saml", "127.0.0.1", "Mozilla", "grafana", "id-of-", "authz"} {
		if strings.Contains(all, forbidden) {
			t.Errorf("a span holds %q", forbidden)
		}
	}
}

// TestStrangersTracesAreNotLinked: anybody can send a traceparent, a proxy alone is believed.
func TestStrangersTracesAreNotLinked(t *testing.T) {
	c := newCollector(t)
	w := traced(t, c.URL, func(s *snapshot.Snapshot) { s.ServiceProvider.TrustedProxies = nil })
	b := w.browser()
	b.Transport = withHeader{b.Transport, "Traceparent", traceparent}
	b.signIn("alice@acme.example")
	waitFor(t, "the trace", func() bool { return len(c.named("saml.acs")) == 1 })
	if s := c.named("saml.acs")[0]; len(s.Links) != 0 || len(s.ParentSpanId) != 0 || strings.Contains(c.text.String(), proxyTrace) {
		t.Errorf("%v", s)
	}
}

// TestACollectorThatHangsHoldsNobodyUp has the collector take connections and never answer, and people sign in all the same.
func TestACollectorThatHangsHoldsNobodyUp(t *testing.T) {
	release, asked := make(chan struct{}), make(chan struct{}, 100)
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(release); hanging.Close() })
	w := traced(t, hanging.URL)
	w.browser().signIn("alice@acme.example")
	<-asked // it hangs now
	began := time.Now()
	for range 10 {
		w.browser().signIn("alice@acme.example")
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("ten sign-ins took %s while the collector hangs", took)
	}
	began = time.Now()
	w.tracer.Close()
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the end took %s", took)
	}
}

// TestTracingIsOffUnlessACollectorIsNamed: and can be switched off by the variables of the specification.
func TestTracingIsOffUnlessACollectorIsNamed(t *testing.T) {
	for _, environment := range []map[string]string{
		{},
		{"OTEL_SERVICE_NAME": "sso"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
	} {
		t.Run(fmt.Sprint(environment), func(t *testing.T) {
			for name, value := range environment {
				t.Setenv(name, value)
			}
			if tracer, err := tracing.FromEnvironment(t.Context(), slog.New(slog.DiscardHandler)); tracer != nil || err != nil {
				t.Errorf("%v, %v", tracer, err)
			}
		})
	}
	r := httptest.NewRequest("POST", "/saml/okta/acs", nil)
	if n := testing.AllocsPerRun(100, func() {
		var off *tracing.Tracer
		r2, span := off.Request(r, "saml.acs", "okta", true)
		_, part := tracing.Start(r2.Context(), "saml.parse")
		part.End()
		span.Outcome("", "")
		span.End()
	}); n > 0 {
		t.Errorf("tracing that is off allocates %v times", n)
	}
}
