package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"sallyport.dev/sallyport/internal/audit"
)

// leaseTime is how long one replica delivers to a sink before it must renew; sendTime is how long one delivery may take, well below it.
const (
	leaseTime = 30 * time.Second
	sendTime  = 20 * time.Second
)

// process tells this process from all others in leases.
var process = uuid.NewString()

// RegisterSink makes a sink known. The row with the empty writer marks it; chains that exist already start at their present end.
func (d *DB) RegisterSink(ctx context.Context, sink string) error {
	return d.Do(ctx, func(tx Tx) error {
		t := tx.(*txn)
		n, err := t.exec(`INSERT INTO audit_cursors (sink, writer, sequence) VALUES ($1,'',0) ON CONFLICT DO NOTHING`, sink)
		if err != nil || n == 0 {
			return err
		}
		_, err = t.exec(`INSERT INTO audit_cursors (sink, writer, sequence) SELECT $1, writer, sequence FROM audit_writers WHERE true ON CONFLICT DO NOTHING`, sink)
		return err
	})
}

// RemoveSink forgets a sink.
func (d *DB) RemoveSink(ctx context.Context, sink string) error {
	_, err := d.write.ExecContext(ctx, `DELETE FROM audit_cursors WHERE sink = $1`, sink)
	return err
}

// Sinks are the names of the sinks that are registered.
func (d *DB) Sinks(ctx context.Context) ([]string, error) {
	rows, err := d.read.QueryContext(ctx, `SELECT sink FROM audit_cursors WHERE writer = '' ORDER BY sink`)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		out = append(out, name)
	}
	return out, rows.Err()
}

// DeadLetter passes over a record that a sink refuses: see AuditLog.
func (d *DB) DeadLetter(ctx context.Context, sink string, l AuditLine, reason string) error {
	return d.Do(ctx, func(tx Tx) error {
		t := tx.(*txn)
		n, err := t.exec(`UPDATE audit_cursors SET sequence = $3 WHERE sink = $1 AND writer = $2 AND sequence < $3`, sink, l.Writer, int64(l.Sequence))
		if err != nil {
			return err
		}
		if n == 0 {
			n, err = t.exec(`INSERT INTO audit_cursors (sink, writer, sequence) SELECT $1, $2, $3 WHERE EXISTS (SELECT 1 FROM audit_cursors WHERE sink = $1 AND writer = '')
				ON CONFLICT DO NOTHING`, sink, l.Writer, int64(l.Sequence))
			if err != nil || n == 0 {
				return err // it has moved on, or the sink is gone
			}
		}
		return tx.AppendAudit(audit.Record{Type: audit.TypeAuditDeadLettered, Outcome: audit.OutcomeFailure, Reason: "refused", Actor: audit.Actor{Kind: audit.ActorSystem},
			Target: audit.Target{Kind: audit.KindAudit, Name: sink}, Details: audit.DeadLetter{Sink: sink, Writer: l.Writer, Sequence: l.Sequence, Record: l.ID, Error: reason}})
	})
}

// lease takes or renews the right to deliver to a sink. A lease that ends later than any can was taken by a clock that has been set back since, and holds nobody up.
func (d *DB) lease(ctx context.Context, sink string) (bool, error) {
	now := d.now()
	result, err := d.write.ExecContext(ctx, `INSERT INTO leases (name, holder, until) VALUES ($1,$2,$3)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until WHERE leases.holder = excluded.holder OR leases.until < $4 OR leases.until > $5`,
		"sink/"+sink, process+d.o.AuditWriter, micros(now.Add(leaseTime)), micros(now), micros(now.Add(leaseTime+ClockSlack)))
	if err != nil {
		return false, fmt.Errorf("store: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

type backlog struct {
	writer string
	after  uint64
}

func (d *DB) backlogs(ctx context.Context, sink string) ([]backlog, error) {
	rows, err := d.read.QueryContext(ctx, `SELECT w.writer, COALESCE(c.sequence, 0) FROM audit_writers w LEFT JOIN audit_cursors c ON c.sink = $1 AND c.writer = w.writer
		WHERE w.sequence > COALESCE(c.sequence, 0) ORDER BY w.writer`, sink)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	var out []backlog
	for rows.Next() {
		var b backlog
		var after int64
		if err := rows.Scan(&b.writer, &after); err != nil {
			return nil, err
		}
		b.after = uint64(after)
		out = append(out, b)
	}
	return out, rows.Err()
}

// Deliver hands unsent records to a sink: see AuditLog.
func (d *DB) Deliver(ctx context.Context, sink string, limit int, send func(ctx context.Context, lines []AuditLine) error) (int, error) {
	var registered int
	if err := d.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM audit_cursors WHERE sink = $1 AND writer = ''`, sink).Scan(&registered); err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	if registered == 0 {
		return 0, fmt.Errorf("the audit sink %q is not registered", sink)
	}
	// At rest nothing is written.
	if waiting, err := d.backlogs(ctx, sink); err != nil || len(waiting) == 0 {
		return 0, err
	}
	// The lease comes before the cursor is read: whoever had it before has moved it.
	if held, err := d.lease(ctx, sink); err != nil || !held {
		return 0, err
	}
	waiting, err := d.backlogs(ctx, sink)
	if err != nil {
		return 0, err
	}
	limit = limitOf(limit, 1000)
	sent := 0
	for _, b := range waiting {
		if sent >= limit {
			break
		}
		if held, err := d.lease(ctx, sink); err != nil || !held {
			return sent, err
		}
		batch, err := d.AuditChain(ctx, b.writer, b.after, limit-sent)
		if err != nil {
			return sent, err
		}
		if len(batch) == 0 {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, sendTime)
		err = send(limited, batch)
		cancel()
		if err != nil {
			return sent, err
		}
		_, err = d.write.ExecContext(ctx, `INSERT INTO audit_cursors (sink, writer, sequence) VALUES ($1,$2,$3) ON CONFLICT (sink, writer) DO UPDATE SET sequence = excluded.sequence`,
			sink, b.writer, int64(batch[len(batch)-1].Sequence))
		if err != nil {
			return sent, errors.Join(errors.New("delivered, but the cursor did not move: these records will come again"), err)
		}
		sent += len(batch)
	}
	return sent, nil
}

// Backlog is what waits for a sink: how many records, and since when the oldest has; zero when none does.
type Backlog struct {
	Records int
	Oldest  time.Time
}

// Outbox is what waits for a sink.
func (d *DB) Outbox(ctx context.Context, sink string) (Backlog, error) {
	var b Backlog
	err := d.read.QueryRowContext(ctx, `SELECT COALESCE(SUM(w.sequence - COALESCE(c.sequence, 0)), 0) FROM audit_writers w
		LEFT JOIN audit_cursors c ON c.sink = $1 AND c.writer = w.writer WHERE w.sequence > COALESCE(c.sequence, 0)`, sink).Scan(&b.Records)
	if err != nil || b.Records == 0 {
		return b, err
	}
	waiting, err := d.backlogs(ctx, sink)
	if err != nil {
		return b, err
	}
	for _, w := range waiting {
		var at int64
		err := d.read.QueryRowContext(ctx, `SELECT at FROM audit_records WHERE writer = $1 AND sequence > $2 ORDER BY sequence LIMIT 1`, w.writer, int64(w.after)).Scan(&at)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return b, fmt.Errorf("store: %w", err)
		}
		if since := fromMicros(at); b.Oldest.IsZero() || since.Before(b.Oldest) {
			b.Oldest = since
		}
	}
	return b, nil
}
