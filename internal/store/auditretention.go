package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/audit"
)

// ApplyAuditRetention removes whole ranges that end before a checkpoint which is itself older than before. What stays of each chain starts with that
// checkpoint, so that its beginning is signed. Records that a sink still waits for stay, and so do those that are old by a clock only which is ahead of the database's. One
// replica at a time does it; the others remove 0.
func (d *DB) ApplyAuditRetention(ctx context.Context, before time.Time, limit int) (int, error) {
	// A range between two checkpoints goes as a whole, so there must be room for one.
	limit = max(limitOf(limit, 10_000), 2*audit.CheckpointEvery)
	removed := 0
	err := d.Do(ctx, func(tx Tx) error {
		t := tx.(*txn)
		removed = 0
		if alone, err := t.retainsAlone(); err != nil || !alone {
			return err
		}
		earliest, err := d.earliest(t.ctx, t.sql)
		if err != nil {
			return err
		}
		before := before.Add(min(0, earliest.Sub(t.at)))
		through := map[string]uint64{}
		beginnings, err := t.beginnings()
		if err != nil {
			return err
		}
		all, err := heads(t.ctx, t.sql, `first_sequence < sequence ORDER BY writer`)
		if err != nil {
			return err
		}
		for _, h := range all {
			n, last, err := t.retain(h.Writer, before, limit-removed)
			if err != nil {
				return err
			}
			if n > 0 {
				removed += n
				through[h.Writer] = last.Sequence
			}
			// Only what this process has removed is stated: what is missing besides, somebody else has cut off.
			if n > 0 && last.Sequence == beginnings[h.Writer].Sequence+uint64(n) {
				beginnings[h.Writer] = last
			}
			if removed >= limit {
				break
			}
		}
		if removed == 0 {
			return nil
		}
		if _, err := t.exec(`DELETE FROM audit_keys WHERE at < $1`, micros(before)); err != nil {
			return err
		}
		return t.stateBeginnings(audit.Retention{Before: before.UTC().Format(time.RFC3339), Removed: removed, Through: through}, slices.Collect(maps.Values(beginnings)))
	})
	return removed, err
}

// retentionLock is the number of the lock that one replica has while it applies retention.
const retentionLock = 7_012_026_001

// retainsAlone keeps every other replica from applying retention until the transaction ends: each states anew where the chains begin, and goes by what the last one has stated.
func (t *txn) retainsAlone() (alone bool, err error) {
	if !t.db.dialect.notify {
		return true, nil
	}
	err = t.sql.QueryRowContext(t.ctx, `SELECT pg_try_advisory_xact_lock($1)`, retentionLock).Scan(&alone)
	return alone, err
}

// retain removes the records of one writer before its newest old checkpoint and returns how many, and the last one removed.
func (t *txn) retain(writer string, before time.Time, limit int) (int, audit.Head, error) {
	var first int64
	if err := t.sql.QueryRowContext(t.ctx, `SELECT first_sequence FROM audit_writers WHERE writer = $1`, writer).Scan(&first); err != nil {
		return 0, audit.Head{}, err
	}
	// Every registered sink has a cursor for every writer that it has been given records of; one without a cursor has been given none.
	var waiting int64
	err := t.sql.QueryRowContext(t.ctx, `SELECT COALESCE(MIN(COALESCE(c.sequence, 0)), $2) FROM audit_cursors s LEFT JOIN audit_cursors c ON c.sink = s.sink AND c.writer = $1
		WHERE s.writer = ''`, writer, int64(1)<<62).Scan(&waiting)
	if err != nil {
		return 0, audit.Head{}, err
	}
	var checkpoint int64
	err = t.sql.QueryRowContext(t.ctx, `SELECT COALESCE(MAX(sequence), 0) FROM audit_records WHERE writer = $1 AND type = $2 AND at < $3 AND sequence <= $4`,
		writer, audit.TypeAuditCheckpoint.String(), micros(before), min(waiting+1, first+int64(limit))).Scan(&checkpoint)
	if err != nil || checkpoint <= first {
		return 0, audit.Head{}, err
	}
	n, err := t.exec(`DELETE FROM audit_records WHERE writer = $1 AND sequence < $2`, writer, checkpoint)
	if err != nil || n == 0 {
		return 0, audit.Head{}, err
	}
	t.starts = append(t.starts, chainStart{writer, checkpoint})
	left, err := lines(t.ctx, t.sql, ` WHERE writer = $1 AND sequence = $2`, writer, checkpoint)
	if err != nil || len(left) != 1 {
		return 0, audit.Head{}, errors.Join(err, fmt.Errorf("store: checkpoint %d of %s is not there", checkpoint, writer))
	}
	r, err := audit.ParseLine(left[0].Line)
	return int(n), audit.Head{Writer: writer, Sequence: uint64(checkpoint) - 1, Hash: r.PreviousHash}, err
}

// chainStart is the first record that retention has left of a chain.
type chainStart struct {
	writer string
	first  int64
}

// moveStarts comes when the transaction has its lane. While it waited for one, it would keep those who have the lanes from moving the ends of their chains, which are in the
// same rows.
func (t *txn) moveStarts() error {
	for _, s := range t.starts {
		if _, err := t.exec(`UPDATE audit_writers SET first_sequence = $2 WHERE writer = $1`, s.writer, s.first); err != nil {
			return err
		}
	}
	return nil
}

// beginningsPerRecord is how many chains one retention record names: a record has a bounded length.
const beginningsPerRecord = 500

// beginnings returns the last removed record of every chain of which any was removed, as the newest retention records have stated it. The table of the chains says
// it too, but nobody has signed that. What this transaction states comes later, whichever replica's clock is ahead.
func (t *txn) beginnings() (map[string]audit.Head, error) {
	all := map[string]audit.Head{}
	newest := ""
	for beyond, more := "", true; more; {
		where, args := ` WHERE type = $1`, []any{audit.TypeAuditRetentionApplied.String()}
		if beyond != "" {
			where, args = where+` AND id < $2`, append(args, beyond)
		}
		page, err := lines(t.ctx, t.sql, where+` ORDER BY id DESC LIMIT 10`, args...)
		if err != nil {
			return nil, err
		}
		more = len(page) == 10
		for _, l := range page {
			beyond = l.ID
			var r struct{ Details audit.Retention }
			if json.Unmarshal(l.Line, &r) != nil || !t.db.o.Signer.Made(r.Details) {
				continue // forged, as verification will say
			}
			if newest == "" {
				newest = r.Details.Time
				if err := t.after(l.ID); err != nil {
					return nil, err
				}
			}
			if r.Details.Time != newest {
				return all, nil
			}
			for _, b := range r.Details.Beginnings {
				all[b.Writer] = b
			}
		}
	}
	return all, nil
}

// after moves the transaction's time on, so that its records sort after one of another replica.
func (t *txn) after(id string) error {
	at, err := timeOfID(id)
	if next := at.Add(time.Millisecond); err == nil && next.After(t.at) {
		t.at = next
	}
	return err
}

// stateBeginnings records what retention has done, and where all chains begin now: the records that said so before may be among those that went.
func (t *txn) stateBeginnings(done audit.Retention, beginnings []audit.Head) error {
	slices.SortFunc(beginnings, func(a, b audit.Head) int { return strings.Compare(a.Writer, b.Writer) })
	for first := true; first || len(beginnings) > 0; first = false {
		n := min(len(beginnings), beginningsPerRecord)
		done.Beginnings, beginnings = beginnings[:n], beginnings[n:]
		r, err := t.db.o.Signer.Retention(done, t.at)
		if err != nil {
			return err
		}
		if err := t.AppendAudit(r); err != nil {
			return err
		}
		done.Removed, done.Through = 0, nil
	}
	return nil
}
