package secondfactor

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sallyport.dev/sallyport/internal/store"
)

// box encrypts what is kept: AES-256-GCM, bound to its purpose, under a key that is named in the first bytes.
type box struct {
	aeads map[[4]byte]cipher.AEAD
	macs  map[[4]byte][]byte
	first [4]byte
}

func newBox(keys [][]byte) (*box, error) {
	if len(keys) == 0 {
		return nil, errors.New("second factors need an encryption key")
	}
	b := &box{aeads: map[[4]byte]cipher.AEAD{}, macs: map[[4]byte][]byte{}}
	for i, k := range keys {
		if len(k) != 32 {
			return nil, fmt.Errorf("second-factor key %d has %d bytes: want 32", i, len(k))
		}
		block, err := aes.NewCipher(derive(k, "encrypt"))
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		id := [4]byte(derive(k, "name"))
		b.aeads[id], b.macs[id] = aead, derive(k, "recovery codes")
		if i == 0 {
			b.first = id
		}
	}
	return b, nil
}

// derive makes keys for different uses of one secret.
func derive(key []byte, use string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("sallyport second factor: " + use))
	return h.Sum(nil)
}

func (b *box) seal(purpose string, plain []byte) []byte {
	aead := b.aeads[b.first]
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // crypto/rand.Read never fails: it ends the process instead
	out := append(b.first[:len(b.first):len(b.first)], nonce...)
	return aead.Seal(out, nonce, plain, []byte(purpose))
}

var errSealed = errors.New("it cannot be decrypted: the second-factor key was changed without keeping the old one")

func (b *box) open(purpose string, sealed []byte) ([]byte, error) {
	if len(sealed) < 4 {
		return nil, errSealed
	}
	aead := b.aeads[[4]byte(sealed)]
	if aead == nil || len(sealed) < 4+aead.NonceSize() {
		return nil, errSealed
	}
	plain, err := aead.Open(nil, sealed[4:4+aead.NonceSize()], sealed[4+aead.NonceSize():], []byte(purpose))
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}

// mac is how a recovery code is kept: it has 80 random bits, so a keyed hash is enough.
func (b *box) mac(userID, code string) []byte { return b.macWith(b.first, userID, code) }

func (b *box) macWith(id [4]byte, userID, code string) []byte {
	h := hmac.New(sha256.New, b.macs[id])
	h.Write([]byte(userID + "\n" + code))
	return h.Sum(id[:len(id):len(id)])
}

func (b *box) macEqual(kept []byte, userID, code string) bool {
	if len(kept) < 4 || b.macs[[4]byte(kept)] == nil {
		return false
	}
	return hmac.Equal(kept, b.macWith([4]byte(kept), userID, code))
}

// ceremony is what must survive between the two halves of a passkey ceremony. It travels through the browser, sealed.
type ceremony struct {
	UserID  string          `json:"user"`
	Until   time.Time       `json:"until"`
	Session json.RawMessage `json:"session"`
}

func (b *box) sealCeremony(kind string, c ceremony) (string, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(b.seal("ceremony/"+kind, text)), nil
}

func (b *box) openCeremony(kind, state, userID string, now time.Time) (ceremony, error) {
	var c ceremony
	sealed, err := base64.RawURLEncoding.DecodeString(state)
	if err != nil {
		return c, ErrWrong
	}
	text, err := b.open("ceremony/"+kind, sealed)
	if err != nil {
		return c, ErrWrong
	}
	if err := json.Unmarshal(text, &c); err != nil || c.UserID != userID || !now.Before(c.Until) || c.Until.Sub(now) > ceremonyTime+store.ClockSlack {
		return c, ErrWrong
	}
	return c, nil
}
