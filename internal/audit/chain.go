package audit

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// timeLayout is RFC 3339 with exactly six decimals, always UTC.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// maxRecord bounds one line, in bytes, so that readers can hold one in memory.
const maxRecord = 256 << 10

// Head is the end of one writer's chain. The zero Sequence and empty Hash start a chain.
type Head struct {
	Writer   string `json:"writer"`
	Sequence uint64 `json:"sequence"`
	// Hash is the last record's, SHA-256 in hex.
	Hash string `json:"hash"`

	// newest is the time in the last ID: the IDs of a chain sort as its sequence does, also where a transaction that began earlier commits later, or a clock
	// was set back.
	newest time.Time
}

// Sealed is a record in its chain, and its one line of JSON without the line break.
type Sealed struct {
	Record
	Line []byte
}

// body is a record as it is hashed. The wire form is the canonical body with the member "hash" appended as the last one.
type body struct {
	Actor        Actor           `json:"actor"`
	Details      json.RawMessage `json:"details,omitempty"`
	ID           string          `json:"id"`
	Outcome      Outcome         `json:"outcome"`
	PreviousHash string          `json:"previousHash"`
	Reason       string          `json:"reason,omitempty"`
	Request      string          `json:"request,omitempty"`
	Sequence     uint64          `json:"sequence"`
	Session      string          `json:"session,omitempty"`
	Target       Target          `json:"target"`
	Tier         Tier            `json:"tier"`
	Time         string          `json:"time"`
	Type         Type            `json:"type"`
	Writer       string          `json:"writer"`
}

// Append seals a record as the next of the chain and moves the head on. On an error the head stays where it was.
// now is used when the record has no time of its own, and for its ID: a record may be about what has happened a while ago, and IDs follow the order of the log.
func (h *Head) Append(r Record, now time.Time) (Sealed, error) {
	if h.Writer == "" {
		return Sealed{}, errors.New("the audit chain has no writer name")
	}
	if r.Time.IsZero() {
		r.Time = now
	}
	r.Time = r.Time.UTC().Truncate(time.Microsecond)
	if r.ID == "" {
		if now.After(h.newest) {
			h.newest = now
		}
		r.ID = newID(h.newest, h.Sequence+1)
	}
	r.Tier = r.Type.Tier()
	if r.Outcome == "" {
		r.Outcome = OutcomeSuccess
	}
	if r.Actor.Kind == "" {
		r.Actor.Kind = ActorSystem
	}
	r.Writer, r.Sequence, r.PreviousHash = h.Writer, h.Sequence+1, h.Hash

	canonical, err := canonicalBody(r)
	if err != nil {
		return Sealed{}, fmt.Errorf("audit record %s: %w", r.Type, err)
	}
	sum := sha256.Sum256(canonical)
	r.Hash = hex.EncodeToString(sum[:])
	line := make([]byte, 0, len(canonical)+len(hashMember)+len(r.Hash)+2)
	line = append(line, canonical[:len(canonical)-1]...)
	line = append(line, hashMember...)
	line = append(line, r.Hash...)
	line = append(line, '"', '}')
	if len(line) > maxRecord {
		return Sealed{}, fmt.Errorf("audit record %s has %d bytes: at most %d", r.Type, len(line), maxRecord)
	}
	h.Sequence, h.Hash = r.Sequence, r.Hash
	return Sealed{Record: r, Line: line}, nil
}

// GoOn says which ID the last record of the chain has: those of the next records sort after it.
func (h *Head) GoOn(id string) error {
	u, err := uuid.Parse(id)
	if err != nil {
		return fmt.Errorf("the ID of the last record: %w", err)
	}
	at := binary.BigEndian.Uint64(u[:8])
	fraction := at & 0xfff
	h.newest = time.UnixMilli(int64(at >> 16)).Add(time.Duration((fraction*1000+4095)/4096) * time.Microsecond)
	return nil
}

const hashMember = `,"hash":"`

func canonicalBody(r Record) ([]byte, error) {
	b := body{
		Actor: r.Actor, ID: r.ID, Outcome: r.Outcome, PreviousHash: r.PreviousHash, Reason: r.Reason, Request: r.Request, Sequence: r.Sequence,
		Session: r.Session, Target: r.Target, Tier: r.Tier, Time: r.Time.Format(timeLayout), Type: r.Type, Writer: r.Writer,
	}
	if r.Details != nil {
		details, err := json.Marshal(r.Details)
		if err != nil {
			return nil, fmt.Errorf("details: %w", err)
		}
		if len(details) == 0 || details[0] != '{' {
			return nil, fmt.Errorf("details must be a JSON object, not %T", r.Details)
		}
		b.Details = details
	}
	text, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	return Canonical(text)
}

// hashes says whether a line's content gives the hash that it carries. A line as it was written is hashed as it is; one that was laid out anew on its way
// is made canonical first.
func hashes(line []byte, carried string) (bool, error) {
	const tail = len(hashMember) + 2*sha256.Size + len(`"}`)
	if at := len(line) - tail; at > 0 && string(line[at:at+len(hashMember)]) == hashMember {
		h := sha256.New()
		h.Write(line[:at])
		h.Write([]byte{'}'})
		if hex.EncodeToString(h.Sum(nil)) == carried {
			return true, nil
		}
	}
	canonical, err := canonicalWithout(line, "hash")
	if err != nil {
		return false, err
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:]) == carried, nil
}

// ParseLine reads one line back. Details is a json.RawMessage. It does not verify: see Verify.
func ParseLine(line []byte) (Record, error) {
	var b struct {
		body
		Hash string `json:"hash"`
	}
	if len(line) > maxRecord {
		return Record{}, fmt.Errorf("a record of %d bytes: at most %d", len(line), maxRecord)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	if err := d.Decode(&b); err != nil {
		return Record{}, err
	}
	at, err := time.Parse(time.RFC3339Nano, b.Time)
	if err != nil {
		return Record{}, fmt.Errorf("time: %w", err)
	}
	r := Record{
		Time: at, ID: b.ID, Type: b.Type, Tier: b.Tier, Outcome: b.Outcome, Reason: b.Reason, Actor: b.Actor, Target: b.Target,
		Session: b.Session, Request: b.Request, Writer: b.Writer, Sequence: b.Sequence, PreviousHash: b.PreviousHash, Hash: b.Hash,
	}
	if len(b.Details) > 0 {
		r.Details = b.Details
	}
	return r, nil
}

// NewID makes a UUIDv7 (RFC 9562 5.7) for a time: 48 bits of milliseconds, 12 bits of the fraction below, 62 random bits.
func NewID(at time.Time) string {
	var random [4]byte
	_, _ = rand.Read(random[:]) // crypto/rand.Read never fails: it ends the process instead
	return newID(at, uint64(binary.BigEndian.Uint32(random[:])))
}

// newID is NewID with a counter (RFC 9562 6.2, method 1): of the bits after the time, 30 are the counter's, which tells apart and orders what was made at
// the same time, and 32 are random.
func newID(at time.Time, counter uint64) string {
	var u uuid.UUID
	_, _ = rand.Read(u[12:]) // crypto/rand.Read never fails: it ends the process instead
	ms := at.UnixMilli()
	fraction := uint64(at.Sub(time.UnixMilli(ms)).Microseconds()) * 4096 / 1000
	binary.BigEndian.PutUint64(u[:8], uint64(ms)<<16|0x7000|fraction)
	binary.BigEndian.PutUint32(u[8:12], uint32(counter&(1<<30-1))|1<<31)
	return u.String()
}
