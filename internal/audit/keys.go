package audit

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// KeyGrace is how long after it was replaced a key may still sign: pods that are being replaced have it for as long as they run.
const KeyGrace = 7 * 24 * time.Hour

// Succession introduces a key: the one before it signs that. Every checkpoint carries those that led to its key, so that whoever trusts an older key, and nothing
// else, can verify it.
type Succession struct {
	// Previous and Next are Ed25519 public keys, 32 bytes each.
	Previous []byte `json:"previous"`
	Next     []byte `json:"next"`
	Time     string `json:"time"`
	// Signature is Previous's, Ed25519 in base64 over the canonical JSON of the members above, after a line that names the purpose.
	Signature string `json:"signature,omitempty"`
}

// These keep a signature from meaning anything elsewhere.
const (
	checkpointPurpose = "sallyport audit checkpoint v1\n"
	successionPurpose = "sallyport audit key v1\n"
	retentionPurpose  = "sallyport audit retention v1\n"
	headPurpose       = "sallyport audit end v1\n"
)

// maxSuccessions bounds what a checkpoint carries; older keys are those of records that have long gone.
const maxSuccessions = 16

// Succeed has a key introduce the next one.
func Succeed(previous ed25519.PrivateKey, next ed25519.PublicKey, now time.Time) (Succession, error) {
	s := Succession{Previous: previous.Public().(ed25519.PublicKey), Next: next, Time: now.UTC().Format(timeLayout)}
	var err error
	s.Signature, err = sign(previous, successionPurpose, s)
	return s, err
}

func (s Succession) verify() error {
	signature := s.Signature
	s.Signature = ""
	if len(s.Previous) != ed25519.PublicKeySize || len(s.Next) != ed25519.PublicKeySize {
		return errors.New("a key of a succession is not an Ed25519 public key")
	}
	return check(s.Previous, successionPurpose, s, signature)
}

// sign signs a value without its signature.
func sign(key ed25519.PrivateKey, purpose string, value any) (string, error) {
	message, err := signedMessage(purpose, value)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(ed25519.Sign(key, message)), nil
}

// check says whether a signature belongs to a key and a value without its signature.
func check(key ed25519.PublicKey, purpose string, value any, signature string) error {
	decoded, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	message, err := signedMessage(purpose, value)
	if err != nil {
		return err
	}
	if !ed25519.Verify(key, message, decoded) {
		return fmt.Errorf("the signature does not belong to key %s and this content", KeyID(key))
	}
	return nil
}

func signedMessage(purpose string, value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	canonical, err := Canonical(text)
	if err != nil {
		return nil, err
	}
	return append([]byte(purpose), canonical...), nil
}

// keyring are the keys that a verifier trusts, those that it was given and those that they have introduced.
type keyring struct {
	keys map[string]ed25519.PublicKey
	// replaced says since when a key has a successor, and which; used is its newest checkpoint in each chain.
	replaced map[string]replacement
	used     map[string]map[string]use
}

type replacement struct {
	by string
	at time.Time
}

type use struct {
	made time.Time
	at   Finding
}

func newKeyring(trusted []ed25519.PublicKey) *keyring {
	k := &keyring{keys: map[string]ed25519.PublicKey{}, replaced: map[string]replacement{}, used: map[string]map[string]use{}}
	for _, key := range trusted {
		k.keys[KeyID(key)] = key
	}
	return k
}

// learn takes the keys that a trusted one has introduced. What another key has signed says nothing, and is no fault by itself.
func (k *keyring) learn(all []Succession) error {
	for i, s := range all {
		if i >= maxSuccessions {
			return fmt.Errorf("it names more than %d keys before its own", maxSuccessions)
		}
		id, next := KeyID(s.Previous), KeyID(s.Next)
		if _, trusted := k.keys[id]; !trusted {
			continue
		}
		if known, ok := k.replaced[id]; ok && known.by == next {
			continue
		}
		if err := s.verify(); err != nil {
			return fmt.Errorf("the introduction of key %s: %w", next, err)
		}
		if known, ok := k.replaced[id]; ok {
			return fmt.Errorf("key %s has introduced two others, %s and %s: it is in the hands of somebody else", id, known.by, next)
		}
		made, err := time.Parse(timeLayout, s.Time)
		if err != nil {
			return fmt.Errorf("the introduction of key %s: %w", next, err)
		}
		k.replaced[id], k.keys[next] = replacement{next, made}, s.Next
	}
	return nil
}

// key returns the trusted key of that name.
func (k *keyring) key(id string) (ed25519.PublicKey, error) {
	key, ok := k.keys[id]
	if !ok {
		return nil, fmt.Errorf("signed by key %s, which is not trusted", id)
	}
	return key, nil
}

// use notes that a key has signed. What came before it in its chain was made before it, whatever time it says: a clock that was ahead has been set back.
func (k *keyring) use(id string, made time.Time, at Finding) {
	for _, chains := range k.used {
		if u, ok := chains[at.Writer]; ok && u.made.After(made) {
			chains[at.Writer] = use{made, u.at}
		}
	}
	if k.used[id] == nil {
		k.used[id] = map[string]use{}
	}
	k.used[id][at.Writer] = use{made, at}
}

// overused are the newest signatures of keys that were replaced long before.
func (k *keyring) overused() (all []Finding) {
	for id, r := range k.replaced {
		var u use
		for _, in := range k.used[id] {
			if in.made.After(u.made) {
				u = in
			}
		}
		if u.made.After(r.at.Add(KeyGrace)) {
			u.at.Kind = FindingForged
			u.at.Message = fmt.Sprintf("signed by key %s at %s, which key %s has replaced at %s", id, u.made.Format(time.RFC3339), r.by, r.at.Format(time.RFC3339))
			all = append(all, u.at)
		}
	}
	return all
}
