package store

import (
	"context"
	"time"

	"sallyport.dev/sallyport/internal/audit"
)

// AuditPart are the chains as far as they are between two times, by writer: the first and the last record from since on and before until. Zero times do not bound. A
// writer that has no record in between is not among them.
func (d *DB) AuditPart(ctx context.Context, since, until time.Time) ([]AuditChainEnds, error) {
	all, err := d.AuditChains(ctx)
	if err != nil || since.IsZero() && until.IsZero() {
		return all, err
	}
	before, within := AuditPosition{}, AuditPosition{}
	if !since.IsZero() {
		if before, err = d.AuditFrom(ctx, since, ""); err != nil {
			return nil, err
		}
	}
	if !until.IsZero() {
		if within, err = d.AuditFrom(ctx, until, ""); err != nil {
			return nil, err
		}
	}
	var part []AuditChainEnds
	for _, c := range all {
		c.First = max(c.First, before[c.Writer]+1)
		if !until.IsZero() && within[c.Writer] < c.Sequence {
			if c.Sequence = within[c.Writer]; c.Sequence >= c.First {
				if c.Hash, err = d.hashOf(ctx, c.Head); err != nil {
					return nil, err
				}
			}
		}
		if c.Sequence >= c.First {
			part = append(part, c)
		}
	}
	return part, nil
}

// hashOf is the hash that a record carries.
func (d *DB) hashOf(ctx context.Context, h audit.Head) (string, error) {
	found, err := d.AuditChain(ctx, h.Writer, h.Sequence-1, 1)
	if err != nil || len(found) == 0 {
		return "", err
	}
	r, err := audit.ParseLine(found[0].Line)
	return r.Hash, err
}
