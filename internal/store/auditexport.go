package store

import (
	"context"
	"fmt"
)

// ExportAudit gives page after page of the records that match, in the order of identifiers. What it is about is decided when it begins: every record that is committed by
// then and is not among those up to a position, which is what the reader has. So a reader that says how far it got with each writer, and goes on from there, gets each record
// once: those of the same moment, and those with an older identifier that were committed meanwhile. Limit is that of a page; Cursor and NewestFirst of q say nothing here.
func (d *DB) ExportAudit(ctx context.Context, q AuditQuery, after AuditPosition, page func([]AuditLine) error) error {
	through, last, err := d.auditEnds(ctx)
	if err != nil {
		return err
	}
	first, err := d.firstBeyond(ctx, after, through)
	if err != nil || first == "" {
		return err
	}
	limit, comparison := limitOf(q.Limit, 1000), "id >= %s"
	for {
		var w where
		q.span(&w)
		q.filter(&w)
		w.add(comparison, first)
		w.add("id <= %s", last)
		found, err := lines(ctx, d.read, w.String()+fmt.Sprintf(" ORDER BY id LIMIT %d", limit), w.args...)
		if err != nil {
			return err
		}
		wanted := make([]AuditLine, 0, len(found))
		for _, l := range found {
			if l.Sequence > after[l.Writer] && l.Sequence <= through[l.Writer] {
				wanted = append(wanted, l)
			}
		}
		if err := page(wanted); err != nil || len(found) < limit {
			return err
		}
		first, comparison = found[len(found)-1].ID, "id > %s"
	}
}

// auditEnds is the position of all that is committed, and the greatest identifier in it.
func (d *DB) auditEnds(ctx context.Context) (through AuditPosition, last string, err error) {
	rows, err := d.read.QueryContext(ctx, `SELECT w.writer, w.sequence, COALESCE((SELECT r.id FROM audit_records r WHERE r.writer = w.writer AND r.sequence <= w.sequence
		ORDER BY r.sequence DESC LIMIT 1), '') FROM audit_writers w`)
	if err != nil {
		return nil, "", fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	through = AuditPosition{}
	for rows.Next() {
		var writer, id string
		var sequence int64
		if err := rows.Scan(&writer, &sequence, &id); err != nil {
			return nil, "", err
		}
		through[writer], last = uint64(sequence), max(last, id)
	}
	return through, last, rows.Err()
}

// firstBeyond is the least identifier between two positions, "" when there is nothing. Those of one writer sort as its records do.
func (d *DB) firstBeyond(ctx context.Context, after, through AuditPosition) (string, error) {
	first := ""
	for writer, end := range through {
		if after[writer] >= end {
			continue
		}
		next, err := lines(ctx, d.read, ` WHERE writer = $1 AND sequence > $2 ORDER BY sequence LIMIT 1`, writer, int64(after[writer]))
		if err != nil {
			return "", err
		}
		if len(next) > 0 && (first == "" || next[0].ID < first) {
			first = next[0].ID
		}
	}
	return first, nil
}
