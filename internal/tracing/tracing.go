// Package tracing makes OpenTelemetry spans of sign-ins, and of what the operator does, and sends them by OTLP over HTTP. It is off unless the environment names a collector, and costs nothing then.
//
// Spans hold names of objects, operations and servers, outcomes and reasons from closed lists, and never an assertion, a token or anything about a person.
package tracing

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"sallyport.dev/sallyport/internal/version"
)

const (
	scope = "sallyport.dev/sallyport"
	// exportTimeout bounds one delivery, queueSize how many spans wait for one: what does not fit is dropped, and nobody waits.
	exportTimeout = 5 * time.Second
	queueSize     = 2048
	// lastWords bounds the delivery of what waits at the end.
	lastWords = 2 * time.Second
	// complainEvery bounds how often a collector that does not answer is logged.
	complainEvery = time.Minute
)

// Tracer starts traces. A nil Tracer starts none.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// FromEnvironment makes the Tracer that the OTEL_* variables of the OpenTelemetry specification ask for: nil when neither OTEL_EXPORTER_OTLP_ENDPOINT nor
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT names a collector, or when OTEL_SDK_DISABLED is true or OTEL_TRACES_EXPORTER is none. The SDK reads the other ones. service is the name
// of the process where the variables give none.
func FromEnvironment(ctx context.Context, service string, log *slog.Logger) (*Tracer, error) {
	named := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
	if !named || strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return nil, nil
	}
	// A span that could not be delivered at once is not worth a second try: the next ones are as good.
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithTimeout(exportTimeout), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}))
	if err != nil {
		return nil, err
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", service), attribute.String("service.version", version.Version)), resource.WithFromEnv())
	if err != nil {
		return nil, err
	}
	otel.SetErrorHandler(&complaints{log: log})
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(about),
		sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(queueSize), sdktrace.WithExportTimeout(exportTimeout), sdktrace.WithBatchTimeout(time.Second)))
	return &Tracer{provider: provider, tracer: provider.Tracer(scope)}, nil
}

// Close delivers what waits, within two seconds.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // what could not be delivered was logged
}

// Request starts a trace for a request, and returns the request that carries it. Who calls a public surface must not decide which trace is written or whether one is: a
// W3C traceparent never becomes the parent. That of a trusted proxy becomes a link, so that its trace can be followed to ours; that of anybody else is not looked at.
func (t *Tracer) Request(r *http.Request, name, idp string, trusted bool) (*http.Request, Span) {
	if t == nil {
		return r, Span{}
	}
	options := []trace.SpanStartOption{trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String("sso.idp", idp))}
	if trusted {
		from := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(r.Header)))
		if from.IsValid() {
			// Without its tracestate, which is free text.
			options = append(options, trace.WithLinks(trace.Link{SpanContext: from.WithTraceState(trace.TraceState{})}))
		}
	}
	ctx, span := t.tracer.Start(r.Context(), name, options...)
	return r.WithContext(ctx), Span{span}
}

// Attribute is what a span is about.
type Attribute = attribute.KeyValue

// About makes an attribute. The value is the name of an object or of a server, and nothing about a person.
func About(name, value string) Attribute { return attribute.String(name, value) }

// Work starts a trace of what this process does by itself.
func (t *Tracer) Work(ctx context.Context, name string, about ...Attribute) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithNewRoot(), trace.WithAttributes(about...))
	return ctx, Span{span}
}

// Start begins a part of the trace that the context carries, if it carries one.
func Start(ctx context.Context, name string) (context.Context, Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	ctx, span := parent.TracerProvider().Tracer(scope).Start(ctx, name)
	return ctx, Span{span}
}

// Span is a part of a trace; the zero value is none.
type Span struct{ span trace.Span }

// Recording tells whether anybody will see it.
func (s Span) Recording() bool { return s.span != nil && s.span.IsRecording() }

// Outcome notes how it ended: reason is from a closed list, and empty on success. reference is what the person is shown, "" for none.
func (s Span) Outcome(reason, reference string) {
	if s.span == nil {
		return
	}
	if reference != "" {
		s.span.SetAttributes(attribute.String("sso.reference", reference))
	}
	if reason == "" {
		s.span.SetAttributes(attribute.String("sso.outcome", "success"))
		return
	}
	s.span.SetAttributes(attribute.String("sso.outcome", "failure"), attribute.String("sso.reason", reason))
	s.span.SetStatus(codes.Error, reason)
}

// Failed notes that it did not work, without saying why: errors may hold what must not leave.
func (s Span) Failed() {
	if s.span != nil {
		s.span.SetStatus(codes.Error, "")
	}
}

// End ends it.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}

// complaints logs that spans cannot be delivered, once in a while.
type complaints struct {
	log  *slog.Logger
	last atomic.Int64
}

// Handle is called by the SDK.
func (c *complaints) Handle(err error) {
	now := time.Now().Unix()
	if last := c.last.Load(); now-last >= int64(complainEvery.Seconds()) && c.last.CompareAndSwap(last, now) {
		c.log.Warn("traces are not delivered", "error", err)
	}
}
