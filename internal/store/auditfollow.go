package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"sallyport.dev/sallyport/internal/audit"
)

// followOverlap is how far before a cursor following begins again: the order of identifiers is that of time, and a transaction may commit later than one
// that began after it.
const followOverlap = time.Minute

// AuditPosition is how far each chain was read: the last sequence number by writer. Chains have no gaps and commit in order, so nothing is passed over.
type AuditPosition map[string]uint64

// AuditFrom is the position of a time or of a cursor; both zero mean the present end. From a cursor, up to a minute of records comes again.
func (d *DB) AuditFrom(ctx context.Context, since time.Time, cursor string) (AuditPosition, error) {
	if cursor != "" {
		at, err := timeOfID(cursor)
		if err != nil {
			return nil, err
		}
		since = at.Add(-followOverlap)
	}
	if since.IsZero() {
		all, err := d.AuditHeads(ctx)
		if err != nil {
			return nil, err
		}
		p := AuditPosition{}
		for _, h := range all {
			p[h.Writer] = h.Sequence
		}
		return p, nil
	}
	rows, err := d.read.QueryContext(ctx, `SELECT w.writer, COALESCE((SELECT r.sequence FROM audit_records r WHERE r.writer = w.writer AND r.id < $1
		ORDER BY r.sequence DESC LIMIT 1), 0) FROM audit_writers w`, idFloor(since))
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	p := AuditPosition{}
	for rows.Next() {
		var writer string
		var sequence int64
		if err := rows.Scan(&writer, &sequence); err != nil {
			return nil, err
		}
		p[writer] = uint64(sequence)
	}
	return p, rows.Err()
}

// AuditAfter returns the records beyond a position that match, in the order of each writer, and moves the position on. Fewer than the limit mean that there is
// nothing more now. Since, Until, Cursor and NewestFirst of q say nothing here.
func (d *DB) AuditAfter(ctx context.Context, q AuditQuery, p AuditPosition) ([]AuditLine, error) {
	all, err := d.AuditHeads(ctx)
	if err != nil {
		return nil, err
	}
	limit := limitOf(q.Limit, 1000)
	var out []AuditLine
	for _, h := range all {
		if h.Sequence <= p[h.Writer] {
			continue
		}
		var w where
		w.add("writer = %s", h.Writer)
		w.add("sequence > %s", int64(p[h.Writer]))
		w.add("sequence <= %s", int64(h.Sequence))
		q.filter(&w)
		more, err := lines(ctx, d.read, w.String()+fmt.Sprintf(" ORDER BY sequence LIMIT %d", limit-len(out)), w.args...)
		if err != nil {
			return out, err
		}
		if out = append(out, more...); len(out) == limit {
			p[h.Writer] = more[len(more)-1].Sequence
			break
		}
		p[h.Writer] = h.Sequence
	}
	return out, nil
}

// filter adds what selects records wherever they are.
func (q AuditQuery) filter(w *where) {
	var types, outcomes []any
	for _, t := range q.Types {
		types = append(types, t.String())
	}
	for _, o := range q.Outcomes {
		outcomes = append(outcomes, string(o))
	}
	w.in("type", types)
	w.in("outcome", outcomes)
	if q.Actor != "" {
		w.add("actor = %s AND actor <> ''", q.Actor)
	}
	if q.IdP != "" {
		w.add("idp = %s AND idp <> ''", q.IdP)
	}
	if q.Request != "" {
		w.add("request = %s AND request <> ''", q.Request)
	}
}

// timeOfID is the time that a UUIDv7 carries, in whole milliseconds.
func timeOfID(id string) (time.Time, error) {
	if !isID(id) {
		return time.Time{}, ErrCursor
	}
	ms, err := strconv.ParseInt(id[:8]+id[9:13], 16, 64)
	if err != nil {
		return time.Time{}, ErrCursor
	}
	return time.UnixMilli(ms).UTC(), nil
}

func isID(id string) bool {
	return len(id) == len(audit.NewID(time.Time{})) && id[8] == '-' && id[13] == '-'
}
