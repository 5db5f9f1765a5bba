// Package jwt signs what an application can verify about the person behind a request: a JSON Web Token (RFC 7519) with ES256 (RFC 7518 3.4). The keys to
// verify it with are published as a JWK Set (RFC 7517).
package jwt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"sallyport.dev/sallyport/internal/snapshot"
)

// Lifetime of a token, from iat to exp.
const Lifetime = 60 * time.Second

// KeysPath is where the JWK Set is, below the service provider's URL; keysMaxAge is how long whoever asked may keep it.
const (
	KeysPath   = "/.well-known/jwks.json"
	keysMaxAge = "public, max-age=300"
)

// Signer signs with the current one of its keys. It never changes and is safe for concurrent use.
type Signer struct {
	// ID is equal for two signers exactly when they sign alike: the same issuer and key.
	ID string

	issuer string
	key    *ecdsa.PrivateKey
	// header is the encoded JOSE header, keys the JWK Set of all phases.
	header string
	keys   []byte
}

// Identity is who a token speaks of.
type Identity struct {
	// ID is the user's, Email the normalised address.
	ID, Email, Name string
	Groups          []string
}

// joseHeader has typ JWT and not one of our own: many libraries refuse what they do not know, and these keys sign nothing else that a token could be mistaken for.
type joseHeader struct {
	Algorithm string `json:"alg"`
	Type      string `json:"typ"`
	KeyID     string `json:"kid"`
}

type claims struct {
	Issuer            string   `json:"iss"`
	Audience          string   `json:"aud"`
	Subject           string   `json:"sub"`
	IssuedAt          int64    `json:"iat"`
	Expires           int64    `json:"exp"`
	Email             string   `json:"email"`
	PreferredUsername string   `json:"preferred_username"`
	Name              string   `json:"name,omitempty"`
	Groups            []string `json:"groups"`
}

// jwk is an elliptic curve key (RFC 7518 6.2.1). The order of crv, kty, x and y is that of the thumbprint.
type jwk struct {
	Curve     string `json:"crv"`
	KeyType   string `json:"kty"`
	X         string `json:"x"`
	Y         string `json:"y"`
	KeyID     string `json:"kid,omitempty"`
	Use       string `json:"use,omitempty"`
	Algorithm string `json:"alg,omitempty"`
}

// New makes a signer for an issuer, which is the service provider's URL. Exactly one key must be current, and all must be ECDSA keys on P-256.
func New(issuer string, keys []snapshot.SPKey) (*Signer, error) {
	s := &Signer{issuer: issuer}
	var published struct {
		Keys []jwk `json:"keys"`
	}
	for _, k := range keys {
		parsed, err := x509.ParsePKCS8PrivateKey(k.PrivateKey)
		key, ok := parsed.(*ecdsa.PrivateKey)
		if err != nil || !ok || key.Curve != elliptic.P256() {
			return nil, fmt.Errorf("the %s key is not an ECDSA key on P-256", k.Phase)
		}
		public, err := publicOf(&key.PublicKey)
		if err != nil {
			return nil, err
		}
		published.Keys = append(published.Keys, public)
		if k.Phase != snapshot.KeyCurrent {
			continue
		}
		if s.key != nil {
			return nil, errors.New("there are two current keys")
		}
		header, err := json.Marshal(joseHeader{"ES256", "JWT", public.KeyID})
		if err != nil {
			return nil, err
		}
		s.key, s.header, s.ID = key, encode(header), public.KeyID+" "+issuer
	}
	if s.key == nil {
		return nil, errors.New("there is no current key")
	}
	var err error
	s.keys, err = json.Marshal(published)
	return s, err
}

// KeyID is the kid of a key on P-256.
func KeyID(key *ecdsa.PublicKey) (string, error) {
	public, err := publicOf(key)
	return public.KeyID, err
}

func publicOf(key *ecdsa.PublicKey) (jwk, error) {
	point, err := key.Bytes() // 4, x, y (SEC 1, 2.3.3)
	if err != nil {
		return jwk{}, err
	}
	public := jwk{Curve: "P-256", KeyType: "EC", X: encode(point[1:33]), Y: encode(point[33:])}
	required, err := json.Marshal(public)
	if err != nil {
		return jwk{}, err
	}
	// The thumbprint of RFC 7638 is a name that the same key has everywhere.
	thumbprint := sha256.Sum256(required)
	public.KeyID, public.Use, public.Algorithm = encode(thumbprint[:]), "sig", "ES256"
	return public, nil
}

// Sign makes a token about a person, for one audience: the host of an application, with its port if it has one.
func (s *Signer) Sign(who Identity, audience string, now time.Time) (string, error) {
	groups := who.Groups
	if groups == nil {
		groups = []string{}
	}
	body, err := json.Marshal(claims{
		Issuer: s.issuer, Audience: audience, Subject: who.ID, IssuedAt: now.Unix(), Expires: now.Add(Lifetime).Unix(),
		Email: who.Email, PreferredUsername: who.Email, Name: who.Name, Groups: groups,
	})
	if err != nil {
		return "", err
	}
	signed := s.header + "." + encode(body)
	digest := sha256.Sum256([]byte(signed))
	r, t, err := ecdsa.Sign(rand.Reader, s.key, digest[:])
	if err != nil {
		return "", err
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	t.FillBytes(signature[32:])
	return signed + "." + encode(signature[:]), nil
}

// ServeKeys answers with the JWK Set.
func (s *Signer) ServeKeys(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", keysMaxAge)
	_, _ = w.Write(s.keys) // whoever has gone away needs no answer
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
