package web_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/tracing"
	"sallyport.dev/sallyport/internal/tracing/tracingtest"
)

// traced is a world whose service provider sends its traces to the address.
func traced(t *testing.T, to string, edit ...func(*snapshot.Snapshot)) *world {
	t.Helper()
	tracer := tracingtest.Tracer(t, to)
	w := newWorld(t, edit...)
	w.tracer = tracer
	w.restart()
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
	c := tracingtest.NewCollector(t)
	w := traced(t, c.URL)
	b := w.browser()
	b.Transport = withHeader{b.Transport, "Traceparent", traceparent}
	b.signIn("alice@acme.example")
	if got := b.check(""); got.status != http.StatusOK {
		t.Fatal(got.status)
	}
	b.finish(asked{idp: "okta"}, url.Values{"SAMLResponse": {"bWFsbG9yeQ=="}})
	waitFor(t, "both responses and the request", func() bool { return len(c.Named("saml.acs")) == 2 && len(c.Named("saml.authn_request")) == 1 })
	// In the order in which they end: children first.
	root := c.Named("saml.acs")[0]
	for _, name := range []string{"saml.parse", "saml.verify_response", "saml.decrypt", "saml.verify_assertion", "saml.read_claims", "identity.map", "identity.provision", "store.transaction", "store.pending"} {
		found := c.Named(name)
		if !slices.ContainsFunc(found, func(s *tracev1.Span) bool {
			return string(s.TraceId) == string(root.TraceId) && s.EndTimeUnixNano >= s.StartTimeUnixNano
		}) {
			t.Errorf("the trace has no span %s: %v", name, found)
		}
	}
	for _, s := range append(c.Named("saml.acs"), c.Named("saml.authn_request")...) {
		if len(s.ParentSpanId) != 0 || fmt.Sprintf("%x", s.TraceId) == proxyTrace {
			t.Errorf("who called decided about the trace: %v", s)
		}
		if len(s.Links) != 1 || fmt.Sprintf("%x", s.Links[0].TraceId) != proxyTrace {
			t.Errorf("the trusted proxy's trace is not linked: %v", s.Links)
		}
	}
	all := c.Text()
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
	c := tracingtest.NewCollector(t)
	w := traced(t, c.URL, func(s *snapshot.Snapshot) { s.ServiceProvider.TrustedProxies = nil })
	b := w.browser()
	b.Transport = withHeader{b.Transport, "Traceparent", traceparent}
	b.signIn("alice@acme.example")
	waitFor(t, "the trace", func() bool { return len(c.Named("saml.acs")) == 1 })
	if s := c.Named("saml.acs")[0]; len(s.Links) != 0 || len(s.ParentSpanId) != 0 || strings.Contains(c.Text(), proxyTrace) {
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
			if tracer, err := tracing.FromEnvironment(t.Context(), "sallyport", slog.New(slog.DiscardHandler)); tracer != nil || err != nil {
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
