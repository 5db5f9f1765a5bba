package audit

import (
	"encoding/json"
	"fmt"
	"time"
)

// Retention is the details of audit_retention_applied: a signed statement of where chains begin since then, so that a beginning that was cut off otherwise shows.
type Retention struct {
	Before string `json:"before"`
	// Removed is how many records went this time, and Through the last of each writer's that went.
	Removed int               `json:"removed"`
	Through map[string]uint64 `json:"through,omitempty"`
	// Beginnings are the last records that are gone, of every chain of which any is: what is left of it continues from that. Many chains take several records.
	Beginnings []Head `json:"beginnings,omitempty"`

	Time        string       `json:"time,omitempty"`
	Successions []Succession `json:"successions,omitempty"`
	KeyID       string       `json:"keyID,omitempty"`
	Signature   string       `json:"signature,omitempty"`
}

// Retention makes the record; on a nil Signer it is not signed.
func (s *Signer) Retention(r Retention, now time.Time) (Record, error) {
	r.Time = now.UTC().Format(timeLayout)
	if s != nil {
		r.KeyID, r.Successions, r.Signature = s.keyID, s.successions, ""
		var err error
		if r.Signature, err = sign(s.key, retentionPurpose, r); err != nil {
			return Record{}, err
		}
	}
	return Record{Type: TypeAuditRetentionApplied, Actor: Actor{Kind: ActorSystem}, Target: Target{Kind: KindAudit}, Details: r}, nil
}

// Made tells whether this signer's key, or one that it has replaced, has signed it; a nil Signer takes any.
func (s *Signer) Made(r Retention) bool {
	if s == nil {
		return true
	}
	return r.verify(newKeyring(s.Keys())) == nil
}

func (r Retention) verify(k *keyring) error {
	if err := k.learn(r.Successions); err != nil {
		return err
	}
	key, err := k.key(r.KeyID)
	if err != nil {
		return err
	}
	signature := r.Signature
	r.Signature = ""
	return check(key, retentionPurpose, r, signature)
}

// retention takes what a retention record says of beginnings.
func (v *verifier) retention(l link, at Finding) {
	var r Retention
	err := json.Unmarshal(l.Details, &r)
	if err == nil && v.report.Signed {
		err = r.verify(v.keys)
	}
	if err != nil {
		at.Kind, at.Message = FindingForgedRetention, err.Error()
		v.find(at)
		return
	}
	for _, b := range r.Beginnings {
		if b.Sequence > v.beginnings[b.Writer].Sequence {
			v.beginnings[b.Writer] = b
		}
	}
}

// beginning judges where a chain begins.
func (v *verifier) beginning(s *chainState) {
	if first, part := v.o.Firsts[s.Writer]; part && s.First > max(first, v.beginnings[s.Writer].Sequence+1) {
		v.find(Finding{Kind: FindingCut, Writer: s.Writer, Sequence: s.First, Line: s.firstLine, Message: fmt.Sprintf("the chain begins here, but the part begins with record %d", first)})
	}
	if !v.o.Beginning || s.First == 1 {
		return
	}
	f := Finding{Kind: FindingCut, Writer: s.Writer, Sequence: s.First, Line: s.firstLine}
	known := v.beginnings[s.Writer]
	switch gone := s.First - 1; {
	case known.Sequence < gone && known.Sequence == 0:
		f.Message = fmt.Sprintf("the chain begins here, and no retention record explains where records 1 to %d are", gone)
	case known.Sequence < gone:
		f.Message = fmt.Sprintf("the chain begins here, and retention has removed records up to %d only: records %d to %d were cut off", known.Sequence, known.Sequence+1, gone)
	case known.Sequence == gone && known.Hash != s.firstPrevious:
		f.Kind, f.Message = FindingReplaced, "the chain begins here, and does not follow the record that retention has removed last"
	default:
		return
	}
	v.find(f)
}

// removed tells whether retention has removed the records of a gap while the stream was read. It states no more than what it has found and removed itself.
func (v *verifier) removed(writer string, g gap) bool {
	through := v.beginnings[writer]
	return v.o.Live && (g.to < through.Sequence || g.to == through.Sequence && g.hash == through.Hash)
}
