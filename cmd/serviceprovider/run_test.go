package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
)

// writeSnapshot puts a snapshot with one IdP into a directory.
func writeSnapshot(t *testing.T, dir, displayName string) string {
	t.Helper()
	idp, err := samltest.NewIdP("https://idp.example/metadata", "https://idp.example/sso", "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c, err := idp.Connection("https://sso.example.com", "okta", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c.Enabled, c.DisplayName = true, displayName
	encoded, err := snapshot.Encode(snapshot.Snapshot{
		ServiceProvider: snapshot.ServiceProvider{Name: "main", URL: "https://sso.example.com", Session: snapshot.Session{Lifetime: time.Hour}}, Connections: []snapshot.Connection{c},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range encoded.Files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return encoded.Revision
}

func certificate(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"sso.example.com"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// started runs the program with flags and returns where it listens, and how to end it.
func started(t *testing.T, args ...string) (addresses, func() (stdout, stderr string)) {
	t.Helper()
	o, err := parse(args, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	where, done := make(chan addresses, 1), make(chan error, 1)
	go func() {
		done <- run(ctx, o, slog.New(slog.NewJSONHandler(&stderr, nil)), &stdout, func(a addresses) { where <- a })
	}()
	select {
	case a := <-where:
		return a, func() (string, string) {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			return stdout.String(), stderr.String()
		}
	case err := <-done:
		cancel()
		t.Fatalf("%v %s", err, stderr.String())
		return addresses{}, nil
	}
}

func TestServesFilesWithoutKubernetes(t *testing.T) {
	dir := t.TempDir()
	snapshots := filepath.Join(dir, "snapshot")
	if err := os.Mkdir(snapshots, 0o700); err != nil {
		t.Fatal(err)
	}
	tokenFile := filepath.Join(dir, "token")
	if err := os.WriteFile(tokenFile, []byte("a-management-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := certificate(t, dir)
	first := writeSnapshot(t, snapshots, "First")
	at, stop := started(t, "--snapshot-dir", snapshots, "--store", "sqlite://"+dir+"/store/db", "--listen", "127.0.0.1:0", "--management-listen", "127.0.0.1:0",
		"--grpc-listen", "127.0.0.1:0", "--management-token-file", tokenFile, "--tls-cert", certFile, "--tls-key", keyFile, "--drain", "300ms", "--audit-writer", "test")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}} //nolint:gosec // the test's own certificate
	defer client.CloseIdleConnections()
	get := func(url string) (int, string, *http.Response) {
		t.Helper()
		r, err := http.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer a-management-token")
		response, err := client.Do(r)
		if err != nil {
			return 0, err.Error(), nil
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body), response
	}
	if code, body, response := get("https://" + at.public + "/saml/okta"); code != 200 || !strings.Contains(body, "First") || response.ProtoMajor != 2 {
		t.Fatalf("%d %s", code, body)
	}
	if code, body, _ := get("http://" + at.management + "/readyz"); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	if _, body, _ := get("http://" + at.management + "/v1/revision"); !strings.Contains(body, first) {
		t.Fatal(body)
	}
	second := writeSnapshot(t, snapshots, "Second")
	if _, body, _ := get("http://" + at.management + "/v1/revision?timeout=10s&wait=" + second); !strings.Contains(body, second) {
		t.Fatal(body)
	}

	// On SIGTERM readiness fails first, and everything is still answered.
	ended := make(chan struct{})
	var stderr string
	go func() { _, stderr = stop(); close(ended) }()
	refused := false
	for draining := true; draining; {
		code, _, _ := get("http://" + at.management + "/readyz")
		refused = refused || code == http.StatusServiceUnavailable
		if public, body, _ := get("https://" + at.public + "/saml/okta"); public != 200 && !refused {
			t.Errorf("not served before readiness failed: %d %s", public, body)
		}
		select {
		case <-ended:
			draining = false
		default:
		}
	}
	if !refused {
		t.Error("readiness never failed")
	}
	if !strings.Contains(stderr, `"msg":"serving a snapshot"`) {
		t.Error(stderr)
	}
}

func TestFlagsThatCannotWork(t *testing.T) {
	for args, want := range map[string]string{
		"":                 "--snapshot-dir or --snapshot-secret",
		"--snapshot-dir x": "exactly one of --store and --store-url-file",
		"--snapshot-dir x --store sqlite:///x --store-url-file y":       "exactly one of",
		"--snapshot-dir x --store sqlite:///x --tls-cert c":             "go together",
		"--snapshot-dir x --store sqlite:///x --store-ca-file c":        "is for PostgreSQL",
		"--snapshot-dir x --store sqlite:///x extra":                    `"extra" is not a flag`,
		"--snapshot-dir x --store sqlite:///x --session-cache-bytes 10": "1 MiB",
		"--nonsense": "not defined",
	} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
	if o, err := parse([]string{"--version"}, io.Discard); err != nil || !o.version {
		t.Error(err)
	}
}

func TestStoreURLComesFromItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "uri")
	if err := os.WriteFile(file, []byte("postgres://db.example/sso\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &options{storeURLFile: file}
	if url, err := o.storeURL(); err != nil || url != "postgres://db.example/sso" {
		t.Error(url, err)
	}
}
