package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"sallyport.dev/sallyport/internal/audit"
)

// maxAttempts bounds how often a transaction runs again after a conflict.
const maxAttempts = 6

// txn is one transaction. Audit records wait until the end, so that the lock on the writer's chain is held for two statements only.
type txn struct {
	ctx       context.Context
	db        *DB
	sql       querier
	at        time.Time
	records   []audit.Record
	evictions []Eviction
	starts    []chainStart
}

var _ Tx = (*txn)(nil)

// Do runs fn in one transaction: see Store.
func (d *DB) Do(ctx context.Context, fn func(tx Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := d.once(ctx, fn)
		if refusesWrites(err) {
			d.refusing.Store(true)
		}
		if err == nil || !retryable(err) || attempt == maxAttempts {
			return err
		}
		select {
		case <-time.After(time.Duration(rand.Int64N(int64(10*time.Millisecond) << attempt))): // #nosec G404 -- spreads tries; nobody gains by guessing
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d *DB) once(ctx context.Context, fn func(tx Tx) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, d.o.TransactionTimeout)
	defer cancel()
	begun, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	t := &txn{ctx: ctx, db: d, sql: begun, at: d.now()}
	if d.wrap != nil {
		t.sql = d.wrap(begun)
	}
	committed := false
	defer func() {
		if !committed {
			_ = begun.Rollback()
		}
	}()
	if err := fn(t); err != nil {
		return err
	}
	if err := t.writeEvictions(); err != nil {
		return err
	}
	done, err := t.writeAudit()
	if err != nil {
		return err
	}
	defer func() { done(committed) }()
	if err := begun.Commit(); err != nil {
		return fmt.Errorf("store: commit: %w", err)
	}
	committed = true
	d.tell(t.evictions)
	return nil
}

func (t *txn) Now() time.Time { return t.at }

func (t *txn) AppendAudit(records ...audit.Record) error {
	t.records = append(t.records, records...)
	return nil
}

func (t *txn) exec(query string, args ...any) (int64, error) {
	result, err := t.sql.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	return result.RowsAffected()
}

// WriteAudit appends records that belong to no other change.
func (d *DB) WriteAudit(ctx context.Context, records ...audit.Record) error {
	return d.Do(ctx, func(tx Tx) error { return tx.AppendAudit(records...) })
}

// WriteAuditOnce appends records that were not appended before: see Store.
func (d *DB) WriteAuditOnce(ctx context.Context, records ...KeyedRecord) (int, error) {
	added := 0
	err := d.Do(ctx, func(tx Tx) error {
		t := tx.(*txn)
		added = 0
		for _, r := range records {
			n, err := t.exec(`INSERT INTO audit_keys (key, at) VALUES ($1,$2) ON CONFLICT DO NOTHING`, r.Key, micros(t.at))
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			added++
			if err := tx.AppendAudit(r.Record); err != nil {
				return err
			}
		}
		return nil
	})
	return added, err
}
