package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOneAddressTakesOnlyItsShareOfConnections: the next one is closed, other addresses are let in, and what is given back can be had again.
func TestOneAddressTakesOnlyItsShareOfConnections(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	l := newPerAddress(inner, 2, slog.New(slog.NewTextHandler(&log, nil)))
	defer l.Close()
	dial := func(from string) net.Conn {
		t.Helper()
		conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext(t.Context(), "tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	accept := func(from string) net.Conn {
		t.Helper()
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if address := conn.RemoteAddr().String(); !strings.HasPrefix(address, from+":") {
			t.Fatalf("%s was let in", address)
		}
		return conn
	}
	dial("127.0.0.2")
	dial("127.0.0.2")
	first := accept("127.0.0.2")
	accept("127.0.0.2")
	third := dial("127.0.0.2")
	dial("127.0.0.3")
	accept("127.0.0.3")
	if _, err := third.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("one too many gets %v", err)
	}
	if !strings.Contains(log.String(), "address=127.0.0.2 connections=2") {
		t.Errorf("nobody is told: %s", log.String())
	}
	for range 2 { // closing twice gives one back
		first.Close()
	}
	dial("127.0.0.2")
	accept("127.0.0.2")
	dial("127.0.0.2")
	dial("127.0.0.3")
	accept("127.0.0.3")
}

func TestNobodyTakesEveryConnectionForGRPC(t *testing.T) {
	dir := t.TempDir()
	tokenFile := filepath.Join(dir, "token")
	if err := os.WriteFile(tokenFile, []byte("a-management-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	writeSnapshot(t, dir, "First")
	at, stop := started(t, "--snapshot-dir", dir, "--store", "sqlite://"+dir+"/db", "--listen", "127.0.0.1:0", "--management-listen", "127.0.0.1:0",
		"--grpc-listen", "127.0.0.1:0", "--management-token-file", tokenFile, "--drain", "1ms", "--audit-writer", "test")
	var all []net.Conn
	for range maxGRPCConnections + 1 {
		conn, err := net.Dial("tcp", at.grpc)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, conn)
	}
	if _, err := io.Copy(io.Discard, all[maxGRPCConnections]); err != nil {
		t.Error(err)
	}
	for _, conn := range all {
		conn.Close()
	}
	if _, stderr := stop(); !strings.Contains(stderr, "its address has as many as it may") {
		t.Errorf("it was not refused: %s", stderr)
	}
}
