package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheAuthoritiesOfTheStoreAreReadAgain: a file that is none any more changes nothing once there was a good one, and says so in the log.
func TestTheAuthoritiesOfTheStoreAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	certificateFile, _ := certificate(t, dir)
	good, err := os.ReadFile(certificateFile)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	file := filepath.Join(dir, "ca.crt")
	ca := &storeCA{file: file, log: slog.New(slog.NewTextHandler(&log, nil))}
	write := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ca.read(); err == nil || !strings.Contains(err.Error(), "--store-ca-file") {
		t.Errorf("without the file: %v", err)
	}
	write([]byte("nonsense"))
	if _, err := ca.read(); err == nil || !strings.Contains(err.Error(), "spec.store.postgres.caBundle") {
		t.Errorf("without a certificate: %v", err)
	}
	write(good)
	if got, err := ca.read(); err != nil || !bytes.Equal(got, good) || log.Len() > 0 {
		t.Errorf("%s, %v, %s", got, err, log.String())
	}
	for _, spoil := range []func(){func() { write([]byte("nonsense")) }, func() { _ = os.Remove(file) }} {
		log.Reset()
		spoil()
		if got, err := ca.read(); err != nil || !bytes.Equal(got, good) || !strings.Contains(log.String(), "going on with the authorities that it had") {
			t.Errorf("%s, %v, %s", got, err, log.String())
		}
	}
	two := append(bytes.Clone(good), good...)
	write(two)
	if got, err := ca.read(); err != nil || !bytes.Equal(got, two) {
		t.Errorf("%s, %v", got, err)
	}
}

// TestAStoreWhoseAuthoritiesAreMissingIsNotOpened: nothing is asked for its password before it is known who it is.
func TestAStoreWhoseAuthoritiesAreMissingIsNotOpened(t *testing.T) {
	o := &options{store: "postgres://user:hunter2@127.0.0.1:1/sso?sslmode=disable", storeCAFile: filepath.Join(t.TempDir(), "ca.crt")}
	_, err := openStore(t.Context(), o, nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err == nil || !strings.Contains(err.Error(), "--store-ca-file") || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}
