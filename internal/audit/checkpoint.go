package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// CheckpointEvery is the most records that a writer adds before it seals them with a checkpoint; CheckpointInterval the longest time it leaves records unsealed.
const (
	CheckpointEvery    = 1000
	CheckpointInterval = time.Minute
)

// Checkpoint is the details of an audit_checkpoint record: a signed statement of where chains ended.
type Checkpoint struct {
	// Head is the writer's own chain up to the record before this one.
	Head Head `json:"head"`
	// Others are the ends of other writers' chains as this writer knew them, so that cutting off one chain's end shows in another.
	Others []Head `json:"others,omitempty"`
	// Closing says that the writer ended in good order: nothing may follow but a new writer.
	Closing bool   `json:"closing,omitempty"`
	Time    string `json:"time"`
	// Successions introduce KeyID, from older keys on.
	Successions []Succession `json:"successions,omitempty"`
	KeyID       string       `json:"keyID"`
	// Signature is Ed25519 in base64 over the canonical JSON of the members above, after a line that names the purpose.
	Signature string `json:"signature,omitempty"`
}

// Signer signs checkpoints.
type Signer struct {
	key         ed25519.PrivateKey
	keyID       string
	successions []Succession
}

// NewSigner takes the 64-byte private key, and what has introduced it if it is not the first; its public half is given to the verifier.
func NewSigner(key ed25519.PrivateKey, successions ...Succession) (*Signer, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("the audit checkpoint key has %d bytes: an Ed25519 private key has %d", len(key), ed25519.PrivateKeySize)
	}
	s := &Signer{key: key, keyID: KeyID(key.Public().(ed25519.PublicKey)), successions: successions[max(0, len(successions)-maxSuccessions):]}
	for i, succession := range s.successions {
		next := s.Public()
		if i+1 < len(s.successions) {
			next = s.successions[i+1].Previous
		}
		if err := succession.verify(); err != nil || !next.Equal(ed25519.PublicKey(succession.Next)) {
			return nil, fmt.Errorf("the audit keys before key %s do not lead to it: %s does not introduce %s", s.keyID, KeyID(succession.Previous), KeyID(next))
		}
	}
	return s, nil
}

// KeyID names a public key: the first 16 hex digits of its SHA-256.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// Public is the key that verifies this signer's checkpoints.
func (s *Signer) Public() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }

// Keys are the public keys that verify the log: this signer's, and those that it has replaced.
func (s *Signer) Keys() []ed25519.PublicKey {
	all := []ed25519.PublicKey{s.Public()}
	for _, succession := range s.successions {
		all = append(all, succession.Previous)
	}
	return all
}

// Checkpoint makes the record that seals the chain up to head; append it next. others may be nil.
func (s *Signer) Checkpoint(head Head, others []Head, closing bool, now time.Time) (Record, error) {
	c := Checkpoint{Head: head, Others: others, Closing: closing, Time: now.UTC().Format(timeLayout), Successions: s.successions, KeyID: s.keyID}
	var err error
	if c.Signature, err = sign(s.key, checkpointPurpose, c); err != nil {
		return Record{}, err
	}
	return Record{Time: now, Type: TypeAuditCheckpoint, Outcome: OutcomeSuccess, Actor: Actor{Kind: ActorSystem}, Target: Target{Kind: KindAudit, Name: head.Writer}, Details: c}, nil
}

// verify checks the signature with the key that the checkpoint names.
func (c Checkpoint) verify(k *keyring) error {
	if err := k.learn(c.Successions); err != nil {
		return err
	}
	key, err := k.key(c.KeyID)
	if err != nil {
		return err
	}
	signature := c.Signature
	c.Signature = ""
	return check(key, checkpointPurpose, c, signature)
}
