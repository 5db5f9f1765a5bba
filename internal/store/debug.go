package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"sallyport.dev/sallyport/internal/audit"
)

type debugBounds struct {
	max       int
	retention time.Duration
}

const (
	// maxDebugXML is how much of a response is kept, in bytes.
	maxDebugXML = 256 << 10
	// trimEvery is how many entries are added between two trims, so that a flood costs one insert each.
	trimEvery = 25
)

// SetDebugBounds changes how many entries are kept and for how long.
func (d *DB) SetDebugBounds(maxEntries int, retention time.Duration) {
	d.bounds.Store(&debugBounds{maxEntries, retention})
}

// AddDebugEntry keeps an entry: see DebugLog.
func (d *DB) AddDebugEntry(ctx context.Context, e DebugEntry) error {
	if e.At.IsZero() {
		e.At = d.now()
	}
	if e.ID == "" {
		e.ID = audit.NewID(e.At)
	}
	xml := e.XML
	if len(xml) > maxDebugXML {
		xml = xml[:maxDebugXML]
	}
	if xml == nil {
		xml = []byte{}
	}
	e.XML = nil
	text, err := document(e)
	if err != nil {
		return err
	}
	// #nosec G202 -- placeholders and nothing else
	_, err = d.write.ExecContext(ctx, `INSERT INTO debug_entries (id, reference, at, idp_uid, idp_name, error_type, document, xml) VALUES `+placeholders(1, 1, 8),
		e.ID, e.Reference, micros(e.At), e.IdP.UID, e.IdP.Name, e.ErrorType, text, xml)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if d.debugAdds.Add(1)%trimEvery == 0 {
		return d.trimDebug(ctx)
	}
	return nil
}

// trimDebug removes the oldest entries beyond the bound, but the last one of an IdP and error type only when such entries alone are twice as many: with very many IdPs,
// a response of each kind to each of them would fill the disk.
func (d *DB) trimDebug(ctx context.Context) error {
	var n int
	if err := d.write.QueryRowContext(ctx, `SELECT COUNT(*) FROM debug_entries`).Scan(&n); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	most := d.bounds.Load().max
	if n <= most {
		return nil
	}
	result, err := d.write.ExecContext(ctx, fmt.Sprintf(`DELETE FROM debug_entries WHERE id IN (
		SELECT id FROM debug_entries e WHERE EXISTS (SELECT 1 FROM debug_entries n WHERE n.idp_uid = e.idp_uid AND n.error_type = e.error_type AND n.id > e.id)
		ORDER BY id LIMIT %d)`, n-most))
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	removed, err := result.RowsAffected()
	if err != nil || n-int(removed) <= 2*most {
		return err
	}
	if _, err = d.write.ExecContext(ctx, fmt.Sprintf(`DELETE FROM debug_entries WHERE id IN (SELECT id FROM debug_entries ORDER BY id LIMIT %d)`, n-int(removed)-2*most)); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// DebugEntries are newest first, without XML.
func (d *DB) DebugEntries(ctx context.Context, q DebugQuery) ([]DebugEntry, error) {
	var w where
	if q.IdPUID != "" {
		w.add("idp_uid = %s", q.IdPUID)
	}
	if q.IdP != "" {
		w.add("idp_name = %s", q.IdP)
	}
	if q.ErrorType != "" {
		w.add("error_type = %s", q.ErrorType)
	}
	if !q.After.IsZero() {
		w.add("at > %s", micros(q.After))
	}
	rows, err := d.read.QueryContext(ctx, fmt.Sprintf(`SELECT document FROM debug_entries%s ORDER BY id DESC LIMIT %d`, w.String(), limitOf(q.Limit, 500)), w.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []DebugEntry
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		var e DebugEntry
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

// DebugEntry finds one by ID or reference, with XML.
func (d *DB) DebugEntry(ctx context.Context, idOrReference string) (DebugEntry, error) {
	var e DebugEntry
	var text string
	var xml []byte
	err := d.read.QueryRowContext(ctx, `SELECT document, xml FROM debug_entries WHERE id = $1 OR reference = $1 ORDER BY id DESC LIMIT 1`, idOrReference).Scan(&text, &xml)
	if err != nil {
		return e, notFound(err)
	}
	err = json.Unmarshal([]byte(text), &e)
	e.XML = xml
	return e, err
}
