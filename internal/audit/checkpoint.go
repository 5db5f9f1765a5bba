package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
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
	KeyID   string `json:"keyID"`
	// Signature is Ed25519 in base64 over the canonical JSON of the members above, after a line that names the purpose.
	Signature string `json:"signature,omitempty"`
}

// signedPrefix keeps a signature from meaning anything elsewhere.
const signedPrefix = "sallyport audit checkpoint v1\n"

// Signer signs checkpoints.
type Signer struct {
	key   ed25519.PrivateKey
	keyID string
}

// NewSigner takes the 64-byte private key; its public half is given to the verifier.
func NewSigner(key ed25519.PrivateKey) (*Signer, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("the audit checkpoint key has %d bytes: an Ed25519 private key has %d", len(key), ed25519.PrivateKeySize)
	}
	return &Signer{key: key, keyID: KeyID(key.Public().(ed25519.PublicKey))}, nil
}

// KeyID names a public key: the first 16 hex digits of its SHA-256.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// Public is the key that verifies this signer's checkpoints.
func (s *Signer) Public() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }

// Checkpoint makes the record that seals the chain up to head; append it next. others may be nil.
func (s *Signer) Checkpoint(head Head, others []Head, closing bool, now time.Time) (Record, error) {
	c := Checkpoint{Head: head, Others: others, Closing: closing, Time: now.UTC().Format(timeLayout), KeyID: s.keyID}
	message, err := c.message()
	if err != nil {
		return Record{}, err
	}
	c.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(s.key, message))
	return Record{Time: now, Type: TypeAuditCheckpoint, Outcome: OutcomeSuccess, Actor: Actor{Kind: ActorSystem}, Target: Target{Kind: KindAudit, Name: head.Writer}, Details: c}, nil
}

func (c Checkpoint) message() ([]byte, error) {
	c.Signature = ""
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	canonical, err := Canonical(text)
	if err != nil {
		return nil, err
	}
	return append([]byte(signedPrefix), canonical...), nil
}

// verify checks the signature with the key that the checkpoint names.
func (c Checkpoint) verify(keys map[string]ed25519.PublicKey) error {
	key, ok := keys[c.KeyID]
	if !ok {
		return fmt.Errorf("signed by key %s, which is not trusted", c.KeyID)
	}
	signature, err := base64.StdEncoding.DecodeString(c.Signature)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	message, err := c.message()
	if err != nil {
		return err
	}
	if !ed25519.Verify(key, message, signature) {
		return fmt.Errorf("the signature does not belong to key %s and this content", c.KeyID)
	}
	return nil
}
