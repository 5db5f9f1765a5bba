package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
)

// tokenLength is the length of a cookie's value: 256 random bits in base64url without padding.
const tokenLength = 43

// Key is the SHA-256 of a token: the only form that is kept or logged.
type Key [sha256.Size]byte

// Hex is the form that audit records and lists show.
func (k Key) Hex() string { return hex.EncodeToString(k[:]) }

// NewToken makes a token for a cookie and the key to store. The token has 256 bits from crypto/rand.
func NewToken() (token string, key Key) {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // crypto/rand.Read never fails: it ends the process instead
	token = base64.RawURLEncoding.EncodeToString(raw[:])
	key, _ = KeyOf(token)
	return token, key
}

// KeyOf hashes a cookie's value. It is false for anything that cannot be a token, without further work.
func KeyOf(token string) (Key, bool) {
	if len(token) != tokenLength {
		return Key{}, false
	}
	var buf [tokenLength]byte
	copy(buf[:], token)
	for _, c := range buf {
		if !tokenByte[c] {
			return Key{}, false
		}
	}
	return sha256.Sum256(buf[:]), true
}

// NewTokenFor makes a token that counts on one host alone.
func NewTokenFor(host string) (token string, key Key) {
	token, _ = NewToken()
	key, _ = keyFor(token, host)
	return token, key
}

// keyFor is KeyOf for a token that counts on one host alone: on every other one it is the key of nothing. So an application that is shown the cookie can
// do nothing with it elsewhere. The host is in lower case, with its port if it has one.
func keyFor(token, host string) (Key, bool) {
	if _, ok := KeyOf(token); !ok || host == "" {
		return Key{}, false
	}
	return sha256.Sum256([]byte(token + " " + host)), true
}

var tokenByte = func() (t [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		t[c] = true
	}
	return t
}()
