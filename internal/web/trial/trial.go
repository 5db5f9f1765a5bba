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

	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/store"
)

// Lifetime is how long a link can be used, and a result can be fetched.
const Lifetime = 15 * time.Minute

// Runs is how often a link can be followed. Each run leaves a record, and whoever has the link can make it fail.
const Runs = 50

// Path is what the link's path begins with.
const Path = "/signin/test/"

// newSecret is 128 random bits in 22 characters.
func newSecret() string {
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
	secret := newSecret()
	return secret, s.SavePending(ctx, store.Pending{
		HandleHash: Key(kindLink, secret), Connection: connection, IdPUID: uid, Test: true, RequestedBy: by, IssuedAt: now, ExpiresAt: now.Add(Lifetime),
	})
}

// Follow is the link of a secret; store.ErrNotFound when there is none any more, or it was followed so often.
func Follow(ctx context.Context, s store.Store, secret string) (store.Pending, error) {
	return s.UsePending(ctx, Key(kindLink, secret), Runs)
}

// Save keeps a result for whoever made the link. A later run replaces an earlier one.
func Save(ctx context.Context, s store.Store, secret string, r manageapi.Trial) error {
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
func Outcome(ctx context.Context, s store.Store, secret string) (manageapi.Trial, error) {
	var r manageapi.Trial
	p, err := s.Pending(ctx, Key(kindResult, secret))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(p.Result, &r)
}
