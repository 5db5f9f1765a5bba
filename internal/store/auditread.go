package store

import (
	"context"
	"fmt"
	"time"

	"sallyport.dev/sallyport/internal/audit"
)

// heads reads ends of chains; rest follows WHERE.
func heads(ctx context.Context, q querier, rest string, args ...any) ([]audit.Head, error) {
	return headsThat(ctx, q, func(audit.Head, string) bool { return true }, rest, args...)
}

// signedHeads reads those that somebody with the audit key has signed.
func (t *txn) signedHeads(rest string, args ...any) ([]audit.Head, error) {
	return headsThat(t.ctx, t.sql, t.db.o.Signer.Ended, rest, args...)
}

func headsThat(ctx context.Context, q querier, good func(h audit.Head, signature string) bool, rest string, args ...any) ([]audit.Head, error) {
	rows, err := q.QueryContext(ctx, `SELECT writer, sequence, hash, signature FROM audit_writers WHERE `+rest, args...)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	var out []audit.Head
	for rows.Next() {
		var h audit.Head
		var sequence int64
		var signature string
		if err := rows.Scan(&h.Writer, &sequence, &h.Hash, &signature); err != nil {
			return nil, err
		}
		if h.Sequence = uint64(sequence); good(h, signature) {
			out = append(out, h)
		}
	}
	return out, rows.Err()
}

// AuditChains are the chains by writer, with the first sequence number that retention has left.
func (d *DB) AuditChains(ctx context.Context) ([]AuditChainEnds, error) {
	rows, err := d.read.QueryContext(ctx, `SELECT writer, sequence, hash, first_sequence FROM audit_writers WHERE sequence > 0 ORDER BY writer`)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	var out []AuditChainEnds
	for rows.Next() {
		var c AuditChainEnds
		var sequence, first int64
		if err := rows.Scan(&c.Writer, &sequence, &c.Hash, &first); err != nil {
			return nil, err
		}
		c.Sequence, c.First = uint64(sequence), uint64(first)
		out = append(out, c)
	}
	return out, rows.Err()
}

// AuditHeads are the ends of all chains, by writer.
func (d *DB) AuditHeads(ctx context.Context) ([]audit.Head, error) {
	return heads(ctx, d.read, `sequence > 0 ORDER BY writer`)
}

func lines(ctx context.Context, q querier, rest string, args ...any) ([]AuditLine, error) {
	rows, err := q.QueryContext(ctx, `SELECT id, writer, sequence, line FROM audit_records`+rest, args...)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	var out []AuditLine
	for rows.Next() {
		var l AuditLine
		var sequence int64
		if err := rows.Scan(&l.ID, &l.Writer, &sequence, &l.Line); err != nil {
			return nil, err
		}
		l.Sequence = uint64(sequence)
		out = append(out, l)
	}
	return out, rows.Err()
}

// AuditChain returns lines of one writer in order.
func (d *DB) AuditChain(ctx context.Context, writer string, after uint64, limit int) ([]AuditLine, error) {
	return lines(ctx, d.read, fmt.Sprintf(` WHERE writer = $1 AND sequence > $2 ORDER BY sequence LIMIT %d`, limitOf(limit, 10_000)), writer, int64(after))
}

// idFloor is the smallest UUIDv7 of a time: identifiers compare as text.
func idFloor(at time.Time) string {
	ms := max(at.UnixMilli(), 0)
	return fmt.Sprintf("%08x-%04x-7000-8000-000000000000", ms>>16, ms&0xffff)
}

// span adds what selects records by their time.
func (q AuditQuery) span(w *where) {
	if !q.Since.IsZero() {
		w.add("id >= %s", idFloor(q.Since))
	}
	if !q.Until.IsZero() {
		w.add("id < %s", idFloor(q.Until))
	}
}

// Audit returns a page of lines in the order of time.
func (d *DB) Audit(ctx context.Context, q AuditQuery) ([]AuditLine, string, error) {
	var w where
	q.span(&w)
	q.filter(&w)
	order, beyond := "id", "id > %s"
	if q.NewestFirst {
		order, beyond = "id DESC", "id < %s"
	}
	if q.Cursor != "" {
		if !isID(q.Cursor) {
			return nil, "", ErrCursor
		}
		w.add(beyond, q.Cursor)
	}
	limit := limitOf(q.Limit, 1000)
	out, err := lines(ctx, d.read, w.String()+fmt.Sprintf(" ORDER BY %s LIMIT %d", order, limit), w.args...)
	if err != nil || len(out) < limit {
		return out, "", err
	}
	return out, out[len(out)-1].ID, nil
}

// SealAudit adds checkpoints to this process's chains that have waited long enough.
func (d *DB) SealAudit(ctx context.Context, closing bool) error {
	if d.o.Signer == nil {
		return nil
	}
	// Every lane comes by once; one that is in use will seal itself or be met the next time.
	for range cap(d.lanes) {
		if err := d.sealLane(ctx, closing); err != nil {
			return err
		}
	}
	return nil
}

// sealLane begins its transaction before it takes a lane, as all others do: whoever took a lane first would wait for the one connection that writes to SQLite, which may be
// with somebody who waits for that lane.
func (d *DB) sealLane(ctx context.Context, closing bool) error {
	ctx, cancel := context.WithTimeout(ctx, d.o.TransactionTimeout)
	defer cancel()
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	l, err := d.takeLane(ctx)
	if err != nil {
		return err
	}
	defer func() { d.lanes <- l }()
	next := *l
	t := &txn{ctx: ctx, db: d, sql: tx, at: d.now()}
	if err := t.readLane(&next); err != nil {
		return err
	}
	waited := t.at.Sub(next.sealedAt).Abs() >= audit.CheckpointInterval // also when the clock has been set back since
	if next.head.Sequence == next.sealed || (!waited && !closing) {
		return nil
	}
	from := next.head.Sequence
	sealed, err := t.checkpoint(&next, closing)
	if err != nil {
		return err
	}
	// readLane locked the row, so nothing can have moved it.
	if _, err := t.moveLane(&next, from); err != nil {
		return err
	}
	if err := t.insertRecords([]audit.Sealed{sealed}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		l.known = false
		return fmt.Errorf("store: commit: %w", err)
	}
	*l = next
	l.reached = l.head
	return nil
}
