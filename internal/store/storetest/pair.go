package storetest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Pair is a primary and a streaming standby, both on ports of 127.0.0.1. A commit is acknowledged when the standby has it too.
type Pair struct{ primary, standby *Server }

// StartPair makes both, and returns when the standby is synchronous.
func StartPair(ctx context.Context) (*Pair, error) {
	p := &Pair{}
	var err error
	if p.primary, err = newServer(); err != nil {
		return nil, err
	}
	if err := p.primary.onPort(); err != nil {
		return nil, err
	}
	if err := p.primary.command("initdb", "-D", p.primary.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		return nil, err
	}
	if err := p.primary.run(); err != nil {
		return nil, err
	}
	if p.standby, err = newServer(); err == nil {
		err = p.follow(ctx)
	}
	if err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// PairFor is both, for a test, and the URL of an empty database that leads to whichever is the primary.
func PairFor(t testing.TB) (*Pair, string) {
	t.Helper()
	p, err := StartPair(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	storeURL, err := p.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p, storeURL
}

func (p *Pair) follow(ctx context.Context) error {
	if err := p.standby.onPort(); err != nil {
		return err
	}
	if err := p.standby.command("pg_basebackup", "-h", "127.0.0.1", "-p", strconv.Itoa(p.primary.port), "-U", "postgres", "-D", p.standby.data(), "-R", "-X", "stream", "-c", "fast"); err != nil {
		return err
	}
	if err := p.standby.run(); err != nil {
		return err
	}
	// From here on a commit waits for the standby. The standby's own copy of the settings was made before, so that it waits for nobody when it is the primary.
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"} {
		if err := p.primary.execute(ctx, statement); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := p.primary.execute(ctx, "SELECT 1 / count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// onPort lets the server be reached as over a network, and acknowledge a commit only when it is kept.
func (s *Server) onPort() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	s.port = listener.Addr().(*net.TCPAddr).Port
	s.settings = []string{"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(s.port), "synchronous_commit=on", "shared_buffers=64MB", "wal_receiver_status_interval=1s"}
	return nil
}

func (s *Server) execute(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// query reads the one value that a statement returns.
func (s *Server) query(ctx context.Context, statement string, into any) error {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.QueryRow(ctx, statement).Scan(into)
}

// NewDatabase makes an empty database and returns a URL that names both servers and leads to whichever is the primary.
func (p *Pair) NewDatabase(ctx context.Context) (string, error) {
	const name = "sso"
	if err := p.primary.execute(ctx, "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d,127.0.0.1:%d/%s?target_session_attrs=read-write&connect_timeout=2", p.primary.port, p.standby.port, name), nil
}

// KillPrimary ends it without a word, as a power failure does.
func (p *Pair) KillPrimary() error {
	content, err := os.ReadFile(filepath.Join(p.primary.data(), "postmaster.pid"))
	if err != nil {
		return err
	}
	line, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	_ = p.primary.stdin.Close()
	<-p.primary.done
	return nil
}

// Promote makes the standby the primary.
func (p *Pair) Promote(ctx context.Context) error {
	return p.standby.execute(ctx, "SELECT pg_promote(true, 30)")
}

// Stop ends both and removes their files.
func (p *Pair) Stop() {
	for _, s := range []*Server{p.primary, p.standby} {
		if s == nil {
			continue
		}
		if s.stdin == nil {
			_ = os.RemoveAll(s.dir)
			continue
		}
		s.Stop()
	}
}
