package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/audit"
)

// lane is one audit chain of this process. Whoever holds it is the only one here that appends to it; another process of the same name is kept out by the row's lock.
type lane struct {
	head  audit.Head
	known bool
	// sealed is the sequence number of the last checkpoint, sealedAt its time.
	sealed   uint64
	sealedAt time.Time
	// vouched says that a checkpoint by this process has named the ends that nobody sealed.
	vouched bool
	// reached is the last record that this process has committed: no end lies before it. lost are those of chains that somebody has meddled with.
	reached audit.Head
	lost    []audit.Head
}

// maxLost is how many of those a checkpoint names.
const maxLost = 16

func (d *DB) makeLanes() {
	n := d.o.Lanes
	if !d.dialect.notify {
		n = 1
	}
	d.lanes = make(chan *lane, n)
	for i := range n {
		d.lanes <- &lane{head: audit.Head{Writer: fmt.Sprintf("%s/%d", d.o.AuditWriter, i)}}
	}
}

// takeLane waits for a lane. Only a transaction that has begun may, and for one alone.
func (d *DB) takeLane(ctx context.Context) (*lane, error) {
	select {
	case l := <-d.lanes:
		return l, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// writeAudit chains the transaction's records. The caller calls done after the commit or rollback, which frees the lane.
func (t *txn) writeAudit() (done func(committed bool), err error) {
	if len(t.records) == 0 {
		return func(bool) {}, nil
	}
	l, err := t.db.takeLane(t.ctx)
	if err != nil {
		return nil, err
	}
	next := *l
	if err = t.append(&next, t.records); err == nil {
		err = t.moveStarts()
	}
	if err != nil {
		l.known = false
		t.db.lanes <- l
		return nil, err
	}
	return func(committed bool) {
		if committed {
			*l = next
			l.reached = l.head
		} else {
			l.known = false
		}
		t.db.lanes <- l
	}, nil
}

// append seals the records, with a checkpoint wherever one is due, and moves the chain's row from the old end to the new one.
func (t *txn) append(l *lane, records []audit.Record) error {
	if !l.known {
		if err := t.readLane(l); err != nil {
			return err
		}
	}
	from := l.head.Sequence
	sealed, err := t.seal(l, records)
	if err != nil {
		return err
	}
	moved, err := t.moveLane(l, from)
	if err != nil {
		return err
	}
	if !moved {
		// Another process of the same name was here: take its end, under its row's lock.
		if err := t.readLane(l); err != nil {
			return err
		}
		from = l.head.Sequence
		if sealed, err = t.seal(l, records); err != nil {
			return err
		}
		if moved, err = t.moveLane(l, from); err != nil || !moved {
			return errors.Join(err, fmt.Errorf("store: the audit chain of %s moved while it was locked", l.head.Writer))
		}
	}
	return t.insertRecords(sealed)
}

func (t *txn) readLane(l *lane) error {
	writer := l.head.Writer
	if _, err := t.exec(`INSERT INTO audit_writers (writer, sequence, hash, sealed_sequence, sealed_at, first_sequence) VALUES ($1,0,'',0,$2,1) ON CONFLICT DO NOTHING`, writer, micros(t.at)); err != nil {
		return err
	}
	var sequence, sealed, at int64
	var hash, signature string
	err := t.sql.QueryRowContext(t.ctx, `SELECT sequence, hash, sealed_sequence, sealed_at, signature FROM audit_writers WHERE writer = $1`+t.db.dialect.forUpdate, writer).
		Scan(&sequence, &hash, &sealed, &at, &signature)
	if err != nil {
		return fmt.Errorf("store: audit chain: %w", err)
	}
	signed := sequence == 0 || t.db.o.Signer.Ended(audit.Head{Writer: writer, Sequence: uint64(sequence), Hash: hash}, signature)
	if !signed || uint64(sequence) < l.reached.Sequence {
		// Somebody without the key has put this end there, or has gone back to an older one, or an older release wrote it. Nothing that follows it is sealed: it stays as it
		// is, for whoever verifies the log.
		fresh, err := freshWriter(writer)
		if err != nil {
			return err
		}
		lost := l.lost
		if l.reached.Sequence > 0 {
			lost = append(slices.Clone(lost[max(0, len(lost)-maxLost+1):]), l.reached)
		}
		*l = lane{head: audit.Head{Writer: fresh}, vouched: l.vouched, lost: lost}
		return t.readLane(l)
	}
	*l = lane{head: audit.Head{Writer: writer, Sequence: uint64(sequence), Hash: hash}, known: true, sealed: uint64(sealed), sealedAt: fromMicros(at), vouched: l.vouched, reached: l.reached, lost: l.lost}
	last, err := lines(t.ctx, t.sql, ` WHERE writer = $1 AND sequence = $2`, writer, sequence)
	if err != nil || len(last) == 0 {
		return err
	}
	return l.head.GoOn(last[0].ID)
}

// freshWriter names another chain of the same process.
func freshWriter(writer string) (string, error) {
	random := make([]byte, 4)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	process, _, _ := strings.Cut(writer, "+")
	return process + "+" + hex.EncodeToString(random), nil
}

func (t *txn) moveLane(l *lane, from uint64) (bool, error) {
	signature, err := t.db.o.Signer.SignHead(l.head)
	if err != nil {
		return false, err
	}
	n, err := t.exec(`UPDATE audit_writers SET sequence = $2, hash = $3, sealed_sequence = $4, sealed_at = $5, signature = $7 WHERE writer = $1 AND sequence = $6`,
		l.head.Writer, int64(l.head.Sequence), l.head.Hash, int64(l.sealed), micros(l.sealedAt), int64(from), signature)
	return n == 1, err
}

func (t *txn) seal(l *lane, records []audit.Record) ([]audit.Sealed, error) {
	var out []audit.Sealed
	for _, r := range records {
		s, err := l.head.Append(r, t.at)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
		if r.Type == audit.TypeAuditCheckpoint {
			l.sealed, l.sealedAt = l.head.Sequence, t.at
		} else if t.db.o.Signer != nil && l.head.Sequence-l.sealed >= audit.CheckpointEvery {
			s, err := t.checkpoint(l, false)
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
	}
	return out, nil
}

// checkpoint seals a lane. It names the ends of the other chains that moved in the last day, so that cutting one off shows in this one, as far as whoever has the key has
// signed them. The first checkpoint of a
// process also names older ends that nobody sealed: in a store that comes from a backup, or that stood still after its pods were killed, nobody else will.
func (t *txn) checkpoint(l *lane, closing bool) (audit.Sealed, error) {
	which := `sealed_at > $1 AND writer <> $2 AND sequence > 0 ORDER BY sealed_at DESC, writer LIMIT 64`
	if !l.vouched {
		which = `(sealed_at > $1 OR sequence > sealed_sequence) AND writer <> $2 AND sequence > 0 ORDER BY sealed_at > $1, sealed_at DESC, writer LIMIT 64`
	}
	others, err := t.signedHeads(which, micros(t.at.Add(-24*time.Hour)), l.head.Writer)
	if err != nil {
		return audit.Sealed{}, err
	}
	l.vouched = true
	// Of a chain that somebody has meddled with, this process knows the end itself.
	others = slices.DeleteFunc(others, func(h audit.Head) bool {
		return slices.ContainsFunc(l.lost, func(lost audit.Head) bool { return lost.Writer == h.Writer })
	})
	others = append(others, l.lost...)
	slices.SortFunc(others, func(a, b audit.Head) int { return strings.Compare(a.Writer, b.Writer) })
	r, err := t.db.o.Signer.Checkpoint(l.head, others, closing, t.at)
	if err != nil {
		return audit.Sealed{}, err
	}
	s, err := l.head.Append(r, t.at)
	if err == nil {
		l.sealed, l.sealedAt = l.head.Sequence, t.at
	}
	return s, err
}

const recordColumns = `id, writer, sequence, at, type, outcome, actor, idp, request, line`

func (t *txn) insertRecords(sealed []audit.Sealed) error {
	for batch := range slices.Chunk(sealed, 200) {
		args := make([]any, 0, 10*len(batch))
		for _, s := range batch {
			args = append(args, s.ID, s.Writer, int64(s.Sequence), micros(s.Time), s.Type.String(), string(s.Outcome), valid(actorKey(s.Actor)), valid(idpKey(s.Record)), valid(s.Request), string(s.Line))
		}
		if _, err := t.exec(`INSERT INTO audit_records (`+recordColumns+`) VALUES `+placeholders(1, len(batch), 10), args...); err != nil {
			return err
		}
	}
	return nil
}

// valid makes text that any database takes: PostgreSQL has no NUL and insists on UTF-8. The record's own line is JSON and keeps what it can.
func valid(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// actorKey is what AuditQuery.Actor is compared with.
func actorKey(a audit.Actor) string {
	if a.Email != "" {
		return a.Email
	}
	return a.ID
}

// idpKey is what AuditQuery.IdP is compared with: the name of the IdentityProvider that the record is about.
func idpKey(r audit.Record) string {
	if r.Target.Kind == "IdentityProvider" {
		return r.Target.Name
	}
	switch d := r.Details.(type) {
	case audit.SignIn:
		return d.IdP
	case audit.AssertionFailure:
		return d.IdP
	case audit.GroupChange:
		return d.IdP
	case audit.Revocation:
		return d.IdP
	case audit.ProfileUpdate:
		return d.IdP
	case audit.MirrorFailure:
		return d.IdP
	case audit.RuleFailure:
		return d.IdP
	case json.RawMessage:
		// The operator's: a domain or a mapping of a connection.
		var of struct {
			IdentityProvider string `json:"identityProvider"`
		}
		if json.Unmarshal(d, &of) == nil {
			return of.IdentityProvider
		}
	}
	if r.Actor.Kind == audit.ActorIdP {
		return r.Actor.ID
	}
	return ""
}
