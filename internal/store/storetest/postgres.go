// Package storetest starts a real PostgreSQL server for tests and opens stores on both databases. It is for tests alone.
package storetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport.dev/sallyport/internal/store"
)

// Server is a PostgreSQL server on a unix socket in a directory of its own.
type Server struct {
	dir string
	// port is of 127.0.0.1; 0: it listens on its socket alone. settings are "name=value", and win over those of every server here.
	port     int
	settings []string
	bin      string
	as       *syscall.SysProcAttr
	stdin    io.Closer
	done     chan struct{}
	log      *bytes.Buffer
	number   atomic.Int64
}

var (
	mu     sync.Mutex
	shared *Server
)

// Main runs the tests of a package and stops the shared server after: call it from TestMain with os.Exit.
func Main(m *testing.M) int {
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		if shared != nil {
			shared.Stop()
			shared = nil
		}
	}()
	return m.Run()
}

// PostgresURL gives a test a fresh, empty database on the package's shared server.
func PostgresURL(tb testing.TB) string {
	tb.Helper()
	mu.Lock()
	if shared == nil {
		s, err := Start()
		if err != nil {
			mu.Unlock()
			tb.Fatal(err)
		}
		shared = s
	}
	s := shared
	mu.Unlock()
	databaseURL, err := s.NewDatabase(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	return databaseURL
}

// SQLiteURL gives a test a fresh file.
func SQLiteURL(tb testing.TB) string {
	tb.Helper()
	return "sqlite://" + filepath.Join(tb.TempDir(), "store.db")
}

// Open opens a store and closes it after the test.
func Open(tb testing.TB, storeURL string, o store.Options) *store.DB {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if o.AuditWriter == "" {
		o.AuditWriter = "test"
	}
	d, err := store.Open(ctx, storeURL, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = d.Close() })
	return d
}

// Each runs a test on both databases.
func Each(t *testing.T, run func(t *testing.T, storeURL string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { run(t, SQLiteURL(t)) })
	t.Run("postgres", func(t *testing.T) { run(t, PostgresURL(t)) })
}

// Start makes and starts a server. It needs Debian's postgresql package and, when run as root, its user postgres.
func Start() (*Server, error) {
	s, err := newServer()
	if err != nil {
		return nil, err
	}
	if err := s.command("initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		return nil, err
	}
	return s, s.run()
}

// newServer has a directory that the server may write to.
func newServer() (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sallyport-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin, as: &syscall.SysProcAttr{}, log: &bytes.Buffer{}}
	if os.Geteuid() == 0 {
		// PostgreSQL refuses to run as root.
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, fmt.Errorf("the tests run as root and need the user postgres: apt-get install -y postgresql: %w", err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			return nil, err
		}
		s.as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return s, nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// command runs one of PostgreSQL's programs to its end.
func (s *Server) command(program string, args ...string) error {
	command := exec.Command(filepath.Join(s.bin, program), args...)
	command.SysProcAttr, command.Dir = s.as, s.dir
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, out)
	}
	return nil
}

// run starts the server. It ends with its standard input, so it cannot outlive a test that was killed.
func (s *Server) run() (err error) {
	const script = `"$@" & P=$!; cat >/dev/null; kill -INT $P; wait $P`
	settings := append([]string{"listen_addresses=", "fsync=off", "synchronous_commit=off", "max_connections=200", "shared_buffers=1GB"}, s.settings...)
	args := []string{"-c", script, "sh", filepath.Join(s.bin, "postgres"), "-D", s.data(), "-k", s.dir}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	server := exec.Command("/bin/sh", args...)
	server.SysProcAttr, server.Dir, server.Stdout, server.Stderr = s.as, s.dir, s.log, s.log
	if s.stdin, err = server.StdinPipe(); err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	s.done = done
	go func() { _ = server.Wait(); close(done) }()
	return s.ready()
}

// Halt takes the server down and cuts all connections; Resume brings it back with what it had.
func (s *Server) Halt() {
	_ = s.stdin.Close()
	<-s.done
}

// Resume starts a server that was halted.
func (s *Server) Resume() error { return s.run() }

func binaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return "", fmt.Errorf("no PostgreSQL server in /usr/lib/postgresql: apt-get install -y postgresql")
	}
	version := func(p string) int {
		n, _ := strconv.Atoi(strings.Split(p, "/")[4])
		return n
	}
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	return filepath.Dir(found[0]), nil
}

func (s *Server) ready() error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		conn, err := pgx.Connect(ctx, s.url("postgres"))
		if err == nil {
			_ = conn.Close(ctx)
			cancel()
			return nil
		}
		cancel()
		if time.Now().After(deadline) {
			s.Stop()
			return fmt.Errorf("PostgreSQL did not start: %w\n%s", err, s.log)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *Server) url(database string) string {
	return "postgres://postgres@/" + database + "?host=" + url.QueryEscape(s.dir) + s.portOf()
}

func (s *Server) portOf() string {
	if s.port == 0 {
		return ""
	}
	return "&port=" + strconv.Itoa(s.port)
}

// NewDatabase makes an empty database and returns its URL.
func (s *Server) NewDatabase(ctx context.Context) (string, error) {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	name := fmt.Sprintf("test%d", s.number.Add(1))
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	return s.url(name), nil
}

// Stop ends the server and removes its files.
func (s *Server) Stop() {
	_ = s.stdin.Close()
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
	}
	_ = os.RemoveAll(s.dir)
}

// EndConnections ends every other connection to a database, as a failover does.
func EndConnections(ctx context.Context, databaseURL string) error {
	c, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	return err
}
