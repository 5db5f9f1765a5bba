package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	channel = "sallyport_evictions"
	// pollEvery is how often the table is read even when no notification came: a lost one costs a second.
	pollEvery = time.Second
	// overlap is how much further than it has to each read looks back; evictionsKept is how long rows stay, for replicas that were cut off.
	overlap       = time.Minute
	evictionsKept = time.Hour
)

// dbClock is PostgreSQL's own clock in microseconds: replicas need not agree about the time.
const dbClock = `(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT`

// writeEvictions puts what the transaction ended where other replicas find it, and wakes them at the commit.
func (t *txn) writeEvictions() error {
	if !t.db.dialect.notify || len(t.evictions) == 0 {
		return nil
	}
	for batch := range slices.Chunk(t.evictions, 500) {
		ids, hashes := make([]string, 0, len(batch)), make([][]byte, 0, len(batch))
		for _, e := range batch {
			ids, hashes = append(ids, uuid.NewString()), append(hashes, e.Hash)
		}
		if _, err := t.exec(`INSERT INTO evictions (id, at, hash) SELECT i, `+dbClock+`, h FROM UNNEST($1::text[], $2::bytea[]) AS n(i, h)`, ids, hashes); err != nil {
			return err
		}
	}
	_, err := t.exec(`SELECT pg_notify('` + channel + `', '')`)
	return err
}

// tell calls this process's own subscribers, before Do returns.
func (d *DB) tell(evictions []Eviction) {
	if len(evictions) == 0 {
		return
	}
	d.mu.Lock()
	subscribers := make([]func(Eviction), 0, len(d.subscribers))
	for _, fn := range d.subscribers {
		subscribers = append(subscribers, fn)
	}
	d.mu.Unlock()
	for _, fn := range subscribers {
		for _, e := range evictions {
			fn(e)
		}
	}
}

func (d *DB) subscribe(fn func(Eviction)) (cancel func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nextID++
	id := d.nextID
	d.subscribers[id] = fn
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.subscribers, id)
	}
}

// WatchEvictions follows changes to sessions: see Store.
func (d *DB) WatchEvictions(ctx context.Context, fn func(Eviction)) error {
	defer d.subscribe(fn)()
	if !d.dialect.notify {
		<-ctx.Done()
		return ctx.Err()
	}
	w := &watcher{db: d, fn: fn, seen: map[string]int64{}}
	for ctx.Err() == nil {
		w.follow(ctx)
		if ctx.Err() == nil && !w.lost && w.started {
			w.lost = true
			fn(Eviction{Scope: StreamLost})
		}
		select {
		case <-time.After(pollEvery / 2):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// watcher is one replica's place in the table of evictions.
type watcher struct {
	db            *DB
	fn            func(Eviction)
	started, lost bool
	// at is the database's time of the last read. What was written until settled has been told; the next one settles when all who were writing then have ended.
	at, settled int64
	next        mark
	// seen are the rows since settled, and of the overlap, that were told already.
	seen map[string]int64
}

// mark is a moment of the database: its time, and the transactions that were writing evictions.
type mark struct {
	at      int64
	writers []string
}

// writing reads the time and who has rows in the table that nobody else sees: from before such a row gets its time until it shows, its transaction has this lock.
const writing = `SELECT ` + dbClock + `, COALESCE(array_agg(virtualtransaction), '{}') FROM pg_locks WHERE locktype = 'relation' AND relation = 'evictions'::regclass
	AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND mode = 'RowExclusiveLock' AND granted`

// follow listens on one connection until it breaks. Every wake-up and every second it reads the table, which also proves that the connection lives.
func (w *watcher) follow(ctx context.Context) {
	conn, err := w.db.pool.Acquire(ctx)
	if err != nil {
		return
	}
	// The connection has a LISTEN on it: it does not go back to the pool.
	c := conn.Hijack()
	defer func() {
		limited, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Close(limited)
	}()
	if _, err := c.Exec(ctx, "LISTEN "+channel); err != nil {
		return
	}
	for ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, w.patience())
		err := w.poll(limited, c)
		cancel()
		if err != nil {
			return
		}
		if w.lost {
			w.lost = false
			w.fn(Eviction{Scope: StreamBack})
		}
		waiting, cancel := context.WithTimeout(ctx, pollEvery)
		_, err = c.WaitForNotification(waiting)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return
		}
	}
}

// patience is how long a read may take: longer where it may find many rows.
func (w *watcher) patience() time.Duration {
	if w.lost || w.at == 0 || w.at-w.settled > overlap.Microseconds() {
		return 15 * pollEvery
	}
	return 2 * pollEvery
}

func (w *watcher) poll(ctx context.Context, c *pgx.Conn) error {
	var now mark
	if err := c.QueryRow(ctx, writing).Scan(&now.at, &now.writers); err != nil {
		return err
	}
	if w.started && now.at-w.at > (evictionsKept-overlap).Microseconds() {
		w.fn(Eviction{Scope: EvictAll})
	}
	w.started = true
	rows, err := c.Query(ctx, `SELECT id, at, hash FROM evictions WHERE at > $1`, w.settled-overlap.Microseconds())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var at int64
		var hash []byte
		if err := rows.Scan(&id, &at, &hash); err != nil {
			return err
		}
		if _, told := w.seen[id]; !told {
			w.seen[id] = at
			w.fn(Eviction{Scope: EvictSession, Hash: hash})
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	w.at = now.at
	// A row bears the time at which it was written, and shows when its transaction has committed, however long that takes: a standby may hold it up.
	if !slices.ContainsFunc(w.next.writers, func(writer string) bool { return slices.Contains(now.writers, writer) }) {
		w.settled, w.next = w.next.at, now
	}
	for id, at := range w.seen {
		if at <= w.settled-2*overlap.Microseconds() {
			delete(w.seen, id)
		}
	}
	return nil
}
