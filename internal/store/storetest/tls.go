package storetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TLSFor starts a server for a test, on a port of 127.0.0.1. It speaks TLS with the certificate, both as PEM, and takes connections without TLS too; without a certificate it
// takes those alone.
func TLSFor(tb testing.TB, certificate, key []byte) *Server {
	tb.Helper()
	s, err := newServer()
	if err != nil {
		tb.Fatal(err)
	}
	err = errors.Join(s.onPort(), s.command("initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"))
	if err == nil && certificate != nil {
		err = s.writeCertificate(certificate, key)
		s.settings = append(s.settings, "ssl=on", "ssl_cert_file="+s.file("server.crt"), "ssl_key_file="+s.file("server.key"))
	}
	if err == nil {
		err = s.run()
	}
	if err != nil {
		_ = os.RemoveAll(s.dir)
		tb.Fatal(err)
	}
	tb.Cleanup(s.Stop)
	return s
}

// Certify gives the server another certificate and returns when new connections get it.
func (s *Server) Certify(ctx context.Context, certificate, key []byte) error {
	if err := s.writeCertificate(certificate, key); err != nil {
		return err
	}
	// A server that has read its settings again has read the certificate before.
	var before, now time.Time
	loaded := func(into *time.Time) error { return s.query(ctx, "SELECT pg_conf_load_time()", into) }
	if err := errors.Join(loaded(&before), s.execute(ctx, "SELECT pg_reload_conf()")); err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err := loaded(&now); err != nil || now.After(before) {
			return err
		}
		if time.Now().After(deadline) {
			return errors.New("the server did not read its certificate again")
		}
	}
}

// At is the host and port of the server under a name of this machine.
func (s *Server) At(name string) string { return fmt.Sprintf("%s:%d", name, s.port) }

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) writeCertificate(certificate, key []byte) error {
	for name, content := range map[string][]byte{"server.crt": certificate, "server.key": key} {
		if err := os.WriteFile(s.file(name), content, 0o600); err != nil {
			return err
		}
		if c := s.as.Credential; c != nil {
			if err := os.Chown(s.file(name), int(c.Uid), int(c.Gid)); err != nil {
				return err
			}
		}
	}
	return nil
}
