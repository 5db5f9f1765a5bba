package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"k8s.io/utils/clock"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"sallyport.dev/sallyport/internal/audit"
)

// Options of Open. Zero fields take the defaults.
type Options struct {
	Clock clock.PassiveClock
	// AuditWriter names this process's chains; it should be stable over restarts, such as a pod's name. Default: the host's name.
	AuditWriter string
	// Signer seals the chains; nil leaves them without checkpoints.
	Signer *audit.Signer
	// DebugMaxEntries and DebugRetention bound the debug log; defaults 500 and 24 h. See also SetDebugBounds.
	DebugMaxEntries int
	DebugRetention  time.Duration
	// MaxPending bounds the sign-ins in flight that anybody can begin; default 32,000. When more are there, the oldest go.
	MaxPending int
	// MaxConnections to PostgreSQL; default 16.
	MaxConnections int
	// Lanes are the audit chains that this process writes side by side on PostgreSQL, so that commits do not wait for each other; default 4. SQLite has one.
	Lanes int
	// Reload returns the store's URL of today, for every new connection to PostgreSQL, so that a rotated password needs no restart. nil keeps the first.
	Reload func() (string, error)
	// CABundle returns the authorities of today as PEM, for every new connection to PostgreSQL. With it each connection has TLS and is verified against them and against
	// the name of its host, whatever sslmode the URL has; verify-ca alone is kept, which takes any name. nil: sslmode decides, with the system's roots.
	CABundle func() ([]byte, error)
	// LockTimeout is how long to wait for another process that still holds the SQLite file; default 30 s.
	LockTimeout time.Duration
	// TransactionTimeout bounds each try of a transaction, with its wait for a connection, so that none stops all others for good, whatever it waits for; default 2 min.
	TransactionTimeout time.Duration
}

func (o *Options) defaults() {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.AuditWriter == "" {
		o.AuditWriter, _ = os.Hostname()
	}
	if o.DebugMaxEntries == 0 {
		o.DebugMaxEntries = 500
	}
	if o.DebugRetention == 0 {
		o.DebugRetention = 24 * time.Hour
	}
	if o.MaxPending == 0 {
		o.MaxPending = 32_000
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 16
	}
	if o.Lanes == 0 {
		o.Lanes = 4
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = 30 * time.Second
	}
	if o.TransactionTimeout == 0 {
		o.TransactionTimeout = 2 * time.Minute
	}
}

// DB is the Store on SQLite or PostgreSQL. It is safe for concurrent use.
type DB struct {
	o       Options
	dialect dialect
	// write is the one connection that writes to SQLite; read the others. On PostgreSQL both are the pool.
	write, read *sql.DB
	// sessionByHash is what every miss of the session cache asks, prepared: SQLite takes longer to parse it than to answer it. Nil on PostgreSQL, whose driver
	// prepares by itself.
	sessionByHash *sql.Stmt
	pool          *pgxpool.Pool
	lock          *os.File
	lanes         chan *lane
	bounds        atomic.Pointer[debugBounds]
	// debugAdds and pendingAdds count rows towards the next trim.
	debugAdds, pendingAdds atomic.Uint64
	// refusing is true after a write that the database refused, until one works again.
	refusing atomic.Bool
	// wrap lets a test see every statement of a transaction; nil otherwise.
	wrap func(querier) querier

	mu          sync.Mutex
	subscribers map[int]func(Eviction)
	nextID      int
}

var _ Store = (*DB)(nil)

// Open connects to sqlite://FILE or postgres://..., migrates the schema under a lock and returns the store. It fails with ErrNewerSchema when a newer version was here before.
func Open(ctx context.Context, storeURL string, o Options) (*DB, error) {
	o.defaults()
	d := &DB{o: o, subscribers: map[int]func(Eviction){}}
	d.SetDebugBounds(o.DebugMaxEntries, o.DebugRetention)
	var err error
	switch scheme, rest, _ := strings.Cut(storeURL, "://"); scheme {
	case "sqlite":
		d.dialect = sqliteDialect
		err = d.openSQLite(ctx, rest)
	case "postgres", "postgresql":
		d.dialect = postgresDialect
		err = d.openPostgres(ctx, storeURL)
	default:
		return nil, errors.New("the store's URL must start with sqlite:// or postgres://")
	}
	if err == nil {
		err = d.migrate(ctx)
	}
	if err == nil && !d.dialect.notify {
		d.sessionByHash, err = d.read.PrepareContext(ctx, d.sessionSelect()+sessionOfHash)
	}
	if err != nil {
		_ = d.Close()
		return nil, err
	}
	d.makeLanes()
	return d, nil
}

func (d *DB) openSQLite(ctx context.Context, file string) error {
	if file == "" || strings.Contains(file, ":memory:") {
		return errors.New("the store's URL names no file: write sqlite:///var/lib/sallyport/store.db")
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if err := d.lockFile(ctx, file); err != nil {
		return err
	}
	// synchronous(FULL): a commit that was acknowledged survives a power failure, and an audit record must.
	params := "_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=temp_store(MEMORY)"
	dsn := "file:" + (&url.URL{Path: file}).EscapedPath() + "?" + params
	var err error
	if d.write, err = sql.Open("sqlite", dsn+"&_txlock=immediate"); err != nil {
		return err
	}
	d.write.SetMaxOpenConns(1)
	if err := d.write.PingContext(ctx); err != nil {
		return fmt.Errorf("store: %s: %w", file, err)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if d.read, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		return err
	}
	d.read.SetMaxOpenConns(8)
	d.read.SetMaxIdleConns(8)
	return nil
}

// lockFile makes sure that one process alone uses the file: revocations travel inside the process.
func (d *DB) lockFile(ctx context.Context, file string) error {
	lock, err := os.OpenFile(file+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	deadline := time.Now().Add(d.o.LockTimeout)
	for {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			d.lock = lock
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(deadline) || ctx.Err() != nil {
			_ = lock.Close()
			return fmt.Errorf("store: %s is in use by another process: SQLite serves one replica, use PostgreSQL for more", file)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (d *DB) openPostgres(ctx context.Context, storeURL string) error {
	config, err := pgxpool.ParseConfig(storeURL)
	if err != nil {
		return errors.New("the store's URL is not a PostgreSQL URL: write postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full")
	}
	config.MaxConns = int32(d.o.MaxConnections)
	config.MaxConnLifetimeJitter = time.Minute
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error { return d.ofToday(storeURL, c) }
	if d.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if err := d.pool.Ping(ctx); err != nil {
		return fmt.Errorf("store: PostgreSQL does not answer: %w", d.explain(err))
	}
	d.write = sql.OpenDB(explaining{stdlib.GetPoolConnector(d.pool), d.explain})
	d.write.SetMaxIdleConns(0) // the pool keeps them
	d.read = d.write
	return nil
}

// ofToday gives a new connection the URL and the authorities of today; the URL that the store was opened with where nothing returns another.
func (d *DB) ofToday(storeURL string, c *pgx.ConnConfig) (err error) {
	if d.o.Reload != nil {
		if storeURL, err = d.o.Reload(); err != nil {
			return err
		}
	}
	fresh, err := pgx.ParseConfig(storeURL)
	if err != nil {
		return errors.New("the store's URL is not a PostgreSQL URL")
	}
	if d.o.CABundle != nil {
		if err := verifyAll(fresh, storeURL, d.o.CABundle); err != nil {
			return err
		}
	}
	c.Host, c.Port, c.User, c.Password, c.Database, c.TLSConfig, c.Fallbacks = fresh.Host, fresh.Port, fresh.User, fresh.Password, fresh.Database, fresh.TLSConfig, fresh.Fallbacks
	c.ValidateConnect = fresh.ValidateConnect // target_session_attrs
	return nil
}

// Close ends all connections. Transactions that run are waited for.
func (d *DB) Close() error {
	var errs []error
	if d.sessionByHash != nil {
		errs = append(errs, d.sessionByHash.Close())
	}
	if d.read != nil && d.read != d.write {
		errs = append(errs, d.read.Close())
	}
	if d.write != nil {
		errs = append(errs, d.write.Close())
	}
	if d.pool != nil {
		d.pool.Close()
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
	}
	return errors.Join(errs...)
}
