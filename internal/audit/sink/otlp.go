package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/audit/format"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/version"
)

// otlp sends log records by OTLP over HTTP, with OpenTelemetry's own exporter. Its retries are off: the outbox has its own.
type otlp struct {
	format   format.Format
	exporter *otlploghttp.Exporter
	provider *sdklog.LoggerProvider
	logger   log.Logger
	made     *collected
	client   *http.Client
	status   *lastStatus
}

func newOTLP(c snapshot.AuditSink, f format.Format, trusted *tls.Config) (Sender, error) {
	if !strings.HasPrefix(c.Endpoint, "https://") {
		return nil, fmt.Errorf("audit sink %s: the URL must start with https://", c.Name)
	}
	client := httpClient(trusted)
	status := &lastStatus{next: client.Transport}
	client.Transport = status
	options := []otlploghttp.Option{
		otlploghttp.WithEndpointURL(c.Endpoint), otlploghttp.WithHTTPClient(client), otlploghttp.WithCompression(otlploghttp.GzipCompression),
		otlploghttp.WithRetry(otlploghttp.RetryConfig{Enabled: false}),
	}
	if len(c.Secret) > 0 {
		options = append(options, otlploghttp.WithHeaders(map[string]string{"Authorization": "Bearer " + strings.TrimSpace(string(c.Secret))}))
	}
	exporter, err := otlploghttp.New(context.Background(), options...)
	if err != nil {
		return nil, fmt.Errorf("audit sink %s: %w", c.Name, err)
	}
	made := &collected{}
	provider := sdklog.NewLoggerProvider(sdklog.WithProcessor(made), sdklog.WithAttributeValueLengthLimit(-1), sdklog.WithAttributeCountLimit(-1),
		sdklog.WithResource(resource.NewSchemaless(attribute.String("service.name", "sallyport"), attribute.String("service.version", version.Version))))
	return &otlp{format: f, exporter: exporter, provider: provider, logger: provider.Logger("sallyport.dev/audit"), made: made, client: client, status: status}, nil
}

func (o *otlp) Send(ctx context.Context, batch []audit.Line) error {
	o.made.records = o.made.records[:0]
	for _, l := range batch {
		r, err := audit.ParseLine(l.Line)
		if err != nil {
			return &RefusedError{err.Error()}
		}
		text, err := format.Write(o.format, l.Line)
		if err != nil {
			return &RefusedError{err.Error()}
		}
		o.logger.Emit(ctx, logRecord(r, text))
	}
	o.status.code.Store(0)
	err := o.exporter.Export(ctx, o.made.records)
	if err == nil {
		return nil
	}
	// With 2xx and an error, the receiver has taken a part: sending the whole again would not help.
	if code := int(o.status.code.Load()); code/100 == 2 || refused(code) {
		return &RefusedError{fmt.Sprintf("%d %s", code, http.StatusText(code))}
	}
	return errors.New(withoutURL(err))
}

func (o *otlp) Close() error {
	o.client.CloseIdleConnections()
	return o.exporter.Shutdown(context.Background())
}

func logRecord(r audit.Record, text []byte) log.Record {
	var out log.Record
	out.SetTimestamp(r.Time)
	out.SetObservedTimestamp(time.Now())
	out.SetEventName("sallyport." + r.Type.String())
	out.SetSeverity(log.SeverityInfo)
	if r.Outcome != audit.OutcomeSuccess {
		out.SetSeverity(log.SeverityWarn)
	}
	out.SetSeverityText(string(r.Outcome))
	out.SetBody(attribute.StringValue(string(text)))
	out.AddAttributes(
		attribute.String("log.record.uid", r.ID), attribute.String("sallyport.type", r.Type.String()), attribute.String("sallyport.tier", string(r.Tier)),
		attribute.String("sallyport.outcome", string(r.Outcome)), attribute.String("sallyport.writer", r.Writer), attribute.Int64("sallyport.sequence", int64(r.Sequence)))
	if r.Request != "" {
		out.AddAttributes(attribute.String("sallyport.request", r.Request))
	}
	return out
}

// collected keeps what the SDK makes of the records, so that a batch is exported in the sender's own time and its end is known.
type collected struct{ records []sdklog.Record }

func (c *collected) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }

func (c *collected) OnEmit(_ context.Context, r *sdklog.Record) error {
	c.records = append(c.records, r.Clone())
	return nil
}

func (c *collected) Shutdown(context.Context) error   { return nil }
func (c *collected) ForceFlush(context.Context) error { return nil }

// lastStatus remembers the status of the last answer, which the exporter only puts into words.
type lastStatus struct {
	next http.RoundTripper
	code atomic.Int64
}

func (l *lastStatus) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.next.RoundTrip(r)
	if err == nil {
		l.code.Store(int64(response.StatusCode))
	}
	return response, err
}
