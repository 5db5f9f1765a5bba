// Package trial keeps test runs of a connection: the link that starts one, and what it came to. Both live in the store for a short time, so that any
// replica can go on with them.
package trial

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"sallyport.dev/sallyport/internal/store"
)

// Lifetime is how long a link can be used, and a result can be fetched.
const Lifetime = 15 * time.Minute

// Path is what the link's path begins with.
const Path = "/signin/test/"

// Result is what a test run came to.
type Result struct {
	ID        string    `json:"id"`
	Reference string    `json:"reference"`
	IdP       string    `json:"idp"`
	At        time.Time `json:"at"`
	// Passed says that a person would be signed in, but for Enabled.
	Passed  bool `json:"passed"`
	Enabled bool `json:"enabled"`

	Checks []Check `json:"checks"`
	// Verified is false when what follows comes from a response that was refused.
	Verified     bool        `json:"verified"`
	Issuer       string      `json:"issuer,omitempty"`
	NameID       string      `json:"nameID,omitempty"`
	NameIDFormat string      `json:"nameIDFormat,omitempty"`
	Attributes   []Attribute `json:"attributes,omitempty"`
	// Missing names the mapped values that were not sent, Dropped those whose values were not valid.
	Missing []string `json:"missing,omitempty"`
	Dropped []string `json:"dropped,omitempty"`
	// Outcome is what sign-in would have done, in sentences.
	Outcome []string `json:"outcome"`
}

// Check is one check with its verdict: passed, failed or not_reached.
type Check struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict"`
	// Sentence says what was wrong, Advice which setting to change.
	Sentence string `json:"sentence,omitempty"`
	Advice   string `json:"advice,omitempty"`
	Expected string `json:"expected,omitempty"`
	Actual   string `json:"actual,omitempty"`
}

// Attribute is one attribute as it was sent. Use says what the mapping does with it, empty for nothing.
type Attribute struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
	Use    string   `json:"use,omitempty"`
}

// NewSecret is 128 random bits in 22 characters.
func NewSecret() string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // crypto/rand does not fail
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Key is where something that a secret leads to is kept; kind tells things apart, so that the secret of one opens no other.
func Key(kind, secret string) []byte {
	sum := sha256.Sum256([]byte(kind + "\x00" + secret))
	return sum[:]
}

const (
	kindLink   = "test link"
	kindResult = "test result"
)

// Open makes a link for a connection and returns its secret. by is who asked, for the record of the run.
func Open(ctx context.Context, s store.Store, connection, uid, by string, now time.Time) (string, error) {
	secret := NewSecret()
	return secret, s.SavePending(ctx, store.Pending{
		HandleHash: Key(kindLink, secret), Connection: connection, IdPUID: uid, Test: true, RequestedBy: by, IssuedAt: now, ExpiresAt: now.Add(Lifetime),
	})
}

// Find is the link of a secret; store.ErrNotFound when there is none any more.
func Find(ctx context.Context, s store.Store, secret string) (store.Pending, error) {
	return s.Pending(ctx, Key(kindLink, secret))
}

// Save keeps a result for whoever made the link. A later run replaces an earlier one.
func Save(ctx context.Context, s store.Store, secret string, r Result) error {
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}
	key := Key(kindResult, secret)
	err = s.Do(ctx, func(tx store.Tx) error {
		_, err := tx.ConsumePending(key)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.SavePending(ctx, store.Pending{HandleHash: key, Test: true, Result: content, IssuedAt: r.At, ExpiresAt: r.At.Add(Lifetime)})
}

// Outcome is the result of a link's last run; store.ErrNotFound when there is none yet, or none any more.
func Outcome(ctx context.Context, s store.Store, secret string) (Result, error) {
	var r Result
	p, err := s.Pending(ctx, Key(kindResult, secret))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(p.Result, &r)
}
