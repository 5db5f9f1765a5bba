package sink_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/audit/sink"
	"sallyport.dev/sallyport/internal/snapshot"
)

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// batch is records 1 to n of one writer.
func batch(t *testing.T, n int) []audit.Line {
	t.Helper()
	head := audit.Head{Writer: "pod-1/0"}
	var out []audit.Line
	for i := range n {
		s, err := head.Append(audit.Record{
			Type: audit.TypeUserSignedInSAML, Actor: audit.Actor{Kind: audit.ActorUser, ID: "u1", Email: "alice@acme.example", IP: "192.0.2.7"}, Request: fmt.Sprint("R", i),
			Details: audit.SignIn{IdP: "okta"},
		}, start.Add(time.Duration(i)*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, audit.Line{ID: s.ID, Writer: s.Writer, Sequence: s.Sequence, Line: s.Line})
	}
	return out
}

func texts(lines []audit.Line) string {
	var b strings.Builder
	for _, l := range lines {
		b.Write(l.Line)
		b.WriteByte('\n')
	}
	return b.String()
}

func sender(t *testing.T, c snapshot.AuditSink) sink.Sender {
	t.Helper()
	s, err := sink.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func caOf(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func send(t *testing.T, s sink.Sender, lines []audit.Line) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return s.Send(ctx, lines)
}

func TestWebhookSignsWhatItSends(t *testing.T) {
	key := []byte("a key that both sides know")
	answer := http.StatusNoContent
	var got struct {
		header http.Header
		body   []byte
	}
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.header = r.Header
		got.body, _ = io.ReadAll(r.Body)
		if answer == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(answer)
	}))
	defer receiver.Close()
	s := sender(t, snapshot.AuditSink{Name: "siem", Type: sink.TypeWebhook, Endpoint: receiver.URL + "/in?token=secret", Secret: key, CABundle: caOf(receiver)})
	lines := batch(t, 3)
	if err := send(t, s, lines); err != nil {
		t.Fatal(err)
	}
	if string(got.body) != texts(lines) {
		t.Errorf("the lines changed on their way: %s", got.body)
	}
	if got.header.Get(sink.BatchHeader) != "pod-1/0:1-3" || got.header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%v", got.header)
	}
	seconds, _, _ := strings.Cut(strings.TrimPrefix(got.header.Get(sink.SignatureHeader), "t="), ",")
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || sink.Signature(key, time.Unix(at, 0), got.body) != got.header.Get(sink.SignatureHeader) {
		t.Errorf("the signature %q does not belong to the body", got.header.Get(sink.SignatureHeader))
	}
	if sink.Signature([]byte("another key"), time.Unix(at, 0), got.body) == got.header.Get(sink.SignatureHeader) {
		t.Error("any key gives this signature")
	}
	for status, wantRefused := range map[int]bool{400: true, 413: true, 422: true, 302: true, 401: false, 403: false, 404: false, 408: false, 429: false, 500: false, 503: false} {
		answer = status
		if err := send(t, s, lines); err == nil || sink.IsRefused(err) != wantRefused {
			t.Errorf("%d: %v", status, err)
		}
	}
	receiver.Close()
	if err := send(t, s, lines); err == nil || sink.IsRefused(err) || strings.Contains(err.Error(), "secret") {
		t.Errorf("without a receiver: %v", err)
	}
}

func TestReceiversAreVerified(t *testing.T) {
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("records went to a receiver that nobody vouches for")
	}))
	defer receiver.Close()
	receiver.Config.ErrorLog = nil
	for _, kind := range []string{sink.TypeWebhook, sink.TypeOTLP, sink.TypeSyslog} {
		endpoint := receiver.URL
		if kind == sink.TypeSyslog {
			endpoint = strings.TrimPrefix(endpoint, "https://")
		}
		s := sender(t, snapshot.AuditSink{Name: "siem", Type: kind, Endpoint: endpoint, Secret: []byte("key")})
		if err := send(t, s, batch(t, 1)); err == nil || sink.IsRefused(err) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestSettingsThatCannotBeUsed(t *testing.T) {
	for name, c := range map[string]snapshot.AuditSink{
		"plain http": {Type: sink.TypeWebhook, Endpoint: "http://siem.example", Secret: []byte("k")}, "no key": {Type: sink.TypeWebhook, Endpoint: "https://siem.example"},
		"no port": {Type: sink.TypeSyslog, Endpoint: "siem.example"}, "plain OTLP": {Type: sink.TypeOTLP, Endpoint: "http://siem.example"},
		"another type": {Type: "Carrier pigeon"}, "another format": {Type: sink.TypeSyslog, Endpoint: "a:1", Format: "XLSX"}, "no CA": {Type: sink.TypeSyslog, Endpoint: "a:1", CABundle: []byte("x")},
	} {
		if _, err := sink.New(c); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// TestOTLPArrivesAtACollector decodes what arrives with the protocol's own definitions.
func TestOTLPArrivesAtACollector(t *testing.T) {
	var got []*logs.LogRecord
	var header http.Header
	answer, partial := http.StatusOK, int64(0)
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		body, _ := io.ReadAll(unpacked)
		var request collector.ExportLogsServiceRequest
		if err := proto.Unmarshal(body, &request); err != nil || r.URL.Path != "/v1/logs" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		got = nil
		for _, r := range request.ResourceLogs {
			for _, s := range r.ScopeLogs {
				got = append(got, s.LogRecords...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
		w.WriteHeader(answer)
		out, _ := proto.Marshal(&collector.ExportLogsServiceResponse{PartialSuccess: &collector.ExportLogsPartialSuccess{RejectedLogRecords: partial}})
		w.Write(out) //nolint:errcheck
	}))
	defer receiver.Close()
	s := sender(t, snapshot.AuditSink{Name: "otel", Type: sink.TypeOTLP, Endpoint: receiver.URL + "/v1/logs", Secret: []byte("bearer-token\n"), CABundle: caOf(receiver)})
	lines := batch(t, 5)
	if err := send(t, s, lines); err != nil {
		t.Fatal(err)
	}
	if len(got) != 5 || header.Get("Authorization") != "Bearer bearer-token" {
		t.Fatalf("%d records, %v", len(got), header)
	}
	for i, r := range got {
		if r.Body.GetStringValue() != string(lines[i].Line) {
			t.Errorf("record %d: %s", i, r.Body.GetStringValue())
		}
		if want := start.Add(time.Duration(i) * time.Second).UnixNano(); int64(r.TimeUnixNano) != want || r.EventName != "sallyport.user_signed_in_saml" {
			t.Errorf("record %d: %v", i, r)
		}
		attributes := map[string]string{}
		for _, a := range r.Attributes {
			attributes[a.Key] = a.Value.String()
		}
		if attributes["log.record.uid"] == "" || !strings.Contains(attributes["sallyport.sequence"], strconv.Itoa(i+1)) {
			t.Errorf("record %d: %v", i, attributes)
		}
	}
	for status, wantRefused := range map[int]bool{400: true, 503: false, 401: false} {
		answer = status
		if err := send(t, s, lines); err == nil || sink.IsRefused(err) != wantRefused {
			t.Errorf("%d: %v", status, err)
		}
	}
	if answer, partial = 200, 2; !sink.IsRefused(send(t, s, lines)) {
		t.Error("records that the collector rejected count as delivered")
	}
}

// certificate makes a self-signed certificate for 127.0.0.1 and writes it and its key as PEM.
func certificate(t *testing.T, dir string) (certFile, keyFile string, ca []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "syslog.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, content := range map[string][]byte{certFile: ca, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile, ca
}

// rsyslog runs a real rsyslog with TLS that writes every message, as it came in, on a line of a file. stop ends it in good order; address stays the same.
type rsyslog struct {
	t            *testing.T
	dir, address string
	ca           []byte
	out          string
	process      *exec.Cmd
}

func newRsyslog(t *testing.T) *rsyslog {
	t.Helper()
	dir := t.TempDir()
	cert, key, ca := certificate(t, dir)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	r := &rsyslog{t: t, dir: dir, address: address, ca: ca, out: filepath.Join(dir, "out")}
	config := fmt.Sprintf(`global(workDirectory="%s" maxMessageSize="256k" defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="%s" defaultNetstreamDriverCertFile="%s" defaultNetstreamDriverKeyFile="%s")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imtcp" address="127.0.0.1" port="%s")
template(name="raw" type="string" string="%%rawmsg%%\n")
action(type="omfile" file="%s" template="raw" flushOnTXEnd="on")
`, dir, cert, cert, key, port, r.out)
	if err := os.WriteFile(filepath.Join(dir, "rsyslog.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	r.start()
	return r
}

func (r *rsyslog) start() {
	r.t.Helper()
	log, err := os.OpenFile(filepath.Join(r.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	r.process = exec.Command("/usr/sbin/rsyslogd", "-n", "-f", filepath.Join(r.dir, "rsyslog.conf"), "-i", filepath.Join(r.dir, "pid"))
	r.process.Stdout, r.process.Stderr = log, log
	if err := r.process.Start(); err != nil {
		r.t.Fatalf("rsyslog (Debian's rsyslog and rsyslog-openssl): %v", err)
	}
	waitFor(r.t, "rsyslog to listen", func() bool {
		c, err := tls.Dial("tcp", r.address, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // only whether it listens
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

func (r *rsyslog) stop() {
	if r.process == nil {
		return
	}
	_ = r.process.Process.Signal(syscall.SIGTERM)
	_ = r.process.Wait()
	r.process = nil
	if r.t.Failed() {
		log, _ := os.ReadFile(filepath.Join(r.dir, "log"))
		r.t.Logf("rsyslog: %s", log)
	}
}

func (r *rsyslog) lines() []string {
	content, _ := os.ReadFile(r.out)
	return strings.Split(strings.TrimSpace(string(bytes.TrimSpace(content))), "\n")
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestSyslogArrivesAtRsyslog(t *testing.T) {
	server := newRsyslog(t)
	s := sender(t, snapshot.AuditSink{Name: "syslog", Type: sink.TypeSyslog, Endpoint: server.address, CABundle: server.ca})
	lines := batch(t, 200)
	if err := send(t, s, lines[:120]); err != nil {
		t.Fatal(err)
	}
	server.stop()
	if err := send(t, s, lines[120:]); err == nil || sink.IsRefused(err) {
		t.Fatalf("a receiver that is down took records: %v", err)
	}
	server.start()
	if err := send(t, s, lines[120:]); err != nil {
		t.Fatal(err)
	}
	var ours []string
	waitFor(t, "all records", func() bool {
		ours = nil
		for _, line := range server.lines() {
			if strings.Contains(line, " sallyport - ") {
				ours = append(ours, line)
			}
		}
		return len(ours) >= 200
	})
	for i, line := range ours {
		// <PRI>VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG
		fields := strings.SplitN(line, " ", 8)
		if len(fields) != 8 || fields[0] != "<109>1" || fields[1] != start.Add(time.Duration(i)*time.Second).Format("2006-01-02T15:04:05.000000Z") ||
			fields[3] != "sallyport" || fields[4] != "-" || fields[5] != "user_signed_in_saml" || fields[6] != "-" || fields[7] != string(lines[i].Line) {
			t.Fatalf("record %d arrived as %s", i, line)
		}
	}
}
