// Package sink sends audit records to other systems. A sender sends one batch and says how that ended; what to send when, and what to do about a failure,
// is for the outbox. Senders are used by one goroutine at a time.
package sink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/audit/format"
	"sallyport.dev/sallyport/internal/snapshot"
)

// Sender sends a batch: records of one writer in order. nil means that the receiver has it; a RefusedError that it does not want it, whenever it is sent;
// anything else that it may be sent again.
type Sender interface {
	Send(ctx context.Context, batch []audit.Line) error
	Close() error
}

// RefusedError says that the receiver answered and does not want what was sent.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return "refused by the receiver: " + e.Reason }

// Types of sinks, as the snapshot names them.
const (
	TypeWebhook = "Webhook"
	TypeSyslog  = "Syslog"
	TypeOTLP    = "OTLP"
)

// New makes the sender of a sink.
func New(c snapshot.AuditSink) (Sender, error) {
	f, err := format.Parse(c.Format)
	if err != nil {
		return nil, err
	}
	trusted, err := clientTLS(c)
	if err != nil {
		return nil, err
	}
	switch c.Type {
	case TypeWebhook:
		return newWebhook(c, f, trusted)
	case TypeSyslog:
		return newSyslog(c, f, trusted)
	case TypeOTLP:
		return newOTLP(c, f, trusted)
	}
	return nil, fmt.Errorf("audit sink %s: type %q is not Webhook, Syslog or OTLP", c.Name, c.Type)
}

// clientTLS verifies the receiver against the sink's own authorities, or the system's.
func clientTLS(c snapshot.AuditSink) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(c.CABundle) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(c.CABundle) {
			return nil, fmt.Errorf("audit sink %s: the CA bundle holds no certificate", c.Name)
		}
	}
	return config, nil
}

// httpClient follows no redirect: records go where the settings say, and nowhere else.
func httpClient(trusted *tls.Config) *http.Client {
	return &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: trusted, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// refused tells whether an HTTP status means that the same request will never be taken.
func refused(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		// The last three are about the settings, which somebody will mend, and not about the records.
		return false
	}
	return status >= 300 && status < 500
}

func written(f format.Format, batch []audit.Line) ([][]byte, error) {
	out := make([][]byte, 0, len(batch))
	for _, l := range batch {
		text, err := format.Write(f, l.Line)
		if err != nil {
			return nil, &RefusedError{err.Error()}
		}
		out = append(out, text)
	}
	return out, nil
}

// IsRefused tells whether the receiver answered that it does not want the batch.
func IsRefused(err error) bool {
	_, ok := errors.AsType[*RefusedError](err)
	return ok
}
