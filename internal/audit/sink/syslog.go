package sink

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/audit/format"
	"sallyport.dev/sallyport/internal/snapshot"
)

// syslog sends RFC 5424 messages over TLS with octet counting (RFC 5425). The protocol has no acknowledgement, and what is only written to a socket can be lost.
// So each batch has a connection of its own: it counts as delivered when the receiver has read to its end and closed it in good order.
type syslog struct {
	address string
	host    string
	format  format.Format
	tls     *tls.Config
	dialer  net.Dialer
}

func newSyslog(c snapshot.AuditSink, f format.Format, trusted *tls.Config) (Sender, error) {
	host, _, err := net.SplitHostPort(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("audit sink %s: the address must be host:port", c.Name)
	}
	trusted.ServerName = host
	self, err := os.Hostname()
	if err != nil || self == "" {
		self = "-"
	}
	return &syslog{address: c.Endpoint, host: self, format: f, tls: trusted}, nil
}

func (s *syslog) Send(ctx context.Context, batch []audit.Line) error {
	var frames bytes.Buffer
	for _, l := range batch {
		message, err := s.message(l)
		if err != nil {
			return &RefusedError{err.Error()}
		}
		fmt.Fprintf(&frames, "%d ", len(message))
		frames.Write(message)
	}
	plain, err := s.dialer.DialContext(ctx, "tcp", s.address)
	if err != nil {
		return err
	}
	defer plain.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := plain.SetDeadline(deadline); err != nil {
			return err
		}
	}
	connection := tls.Client(plain, s.tls)
	if err := connection.HandshakeContext(ctx); err != nil {
		return err
	}
	if _, err := connection.Write(frames.Bytes()); err != nil {
		return err
	}
	if err := connection.CloseWrite(); err != nil {
		return err
	}
	// The receiver says nothing: its end of the stream is the answer.
	if _, err := io.Copy(io.Discard, io.LimitReader(connection, 64<<10)); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the receiver did not close in good order: %w", err)
	}
	return nil
}

func (s *syslog) Close() error { return nil }

// facility is "log audit" (13); severities are those of RFC 5424, table 2.
const (
	facility = 13
	warning  = 4
	notice   = 5
	info     = 6
)

// message is HEADER SP STRUCTURED-DATA SP MSG of RFC 5424 6.
func (s *syslog) message(l audit.Line) ([]byte, error) {
	r, err := audit.ParseLine(l.Line)
	if err != nil {
		return nil, err
	}
	text, err := format.Write(s.format, l.Line)
	if err != nil {
		return nil, err
	}
	severity := info
	switch {
	case r.Outcome != audit.OutcomeSuccess:
		severity = warning
	case r.Tier == audit.TierSecurity:
		severity = notice
	}
	header := fmt.Sprintf("<%d>1 %s %s sallyport - %s - ", facility*8+severity, r.Time.UTC().Format("2006-01-02T15:04:05.000000Z"), printable(s.host, 255), printable(r.Type.String(), 32))
	return append([]byte(header), text...), nil
}

// printable is PRINTUSASCII of bounded length.
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f {
			return r
		}
		return -1
	}, s)
	if len(s) > most {
		s = s[:most]
	}
	if s == "" {
		return "-"
	}
	return s
}

// withoutURL is an error of the HTTP client without the URL, which may carry a token.
func withoutURL(err error) string {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}
