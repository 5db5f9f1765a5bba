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
	// overlap is how far back each read looks, for transactions that committed late; evictionsKept is how long rows stay, for replicas that were cut off.
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
	// at is the database's time of the last read, seen the rows of the overlap that were told already.
	at   int64
	seen map[string]int64
}

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
		limited, cancel := context.WithTimeout(ctx, 2*pollEvery)
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

func (w *watcher) poll(ctx context.Context, c *pgx.Conn) error {
	var now int64
	if err := c.QueryRow(ctx, "SELECT "+dbClock).Scan(&now); err != nil {
		return err
	}
	if !w.started {
		// What ended before the cache existed needs no telling.
		w.started, w.at = true, now
	}
	if now-w.at > (evictionsKept - overlap).Microseconds() {
		w.fn(Eviction{Scope: EvictAll})
	}
	rows, err := c.Query(ctx, `SELECT id, at, hash FROM evictions WHERE at > $1`, w.at-overlap.Microseconds())
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
	w.at = now
	for id, at := range w.seen {
		if at <= now-2*overlap.Microseconds() {
			delete(w.seen, id)
		}
	}
	return nil
}
