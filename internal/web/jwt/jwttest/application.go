// Package jwttest is an application's side of the signed header, with a library that shares no code with ours: it fetches the published keys and verifies as
// docs/guides/signed-header.md says. It is for tests.
package jwttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Claims are all that a token may have.
type Claims struct {
	jwt.RegisteredClaims
	Email             string   `json:"email"`
	PreferredUsername string   `json:"preferred_username"`
	Name              string   `json:"name"`
	Groups            []string `json:"groups"`
	// All are the claims' names, sorted.
	All []string `json:"-"`
}

// Application verifies tokens that are for it.
type Application struct {
	// Client asks for the keys at KeysURL. Issuer is the service provider's URL, Audience the application's own host.
	Client                    *http.Client
	KeysURL, Issuer, Audience string
	// Now is the application's clock; nil is the machine's.
	Now func() time.Time
}

// Keys are the published ones by key ID.
func (a Application) Keys() (map[string]*ecdsa.PublicKey, http.Header, error) {
	response, err := a.Client.Get(a.KeysURL)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil || response.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s: %s %w", a.KeysURL, response.Status, err)
	}
	var set struct {
		Keys []struct{ Kty, Crv, X, Y, Kid, Use, Alg, D string }
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, nil, err
	}
	keys := map[string]*ecdsa.PublicKey{}
	for _, k := range set.Keys {
		x, errX := base64.RawURLEncoding.DecodeString(k.X)
		y, errY := base64.RawURLEncoding.DecodeString(k.Y)
		if k.Kty != "EC" || k.Crv != "P-256" || k.Use != "sig" || k.Alg != "ES256" || k.D != "" || errors.Join(errX, errY) != nil {
			return nil, nil, fmt.Errorf("not a public key for ES256: %s", body)
		}
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
		if err != nil {
			return nil, nil, err
		}
		keys[k.Kid] = key
	}
	return keys, response.Header, nil
}

// Verify returns what a token says, if it is one for this application and from its service provider.
func (a Application) Verify(token string) (Claims, error) {
	keys, _, err := a.Keys()
	if err != nil {
		return Claims{}, err
	}
	options := []jwt.ParserOption{jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(a.Issuer), jwt.WithAudience(a.Audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithStrictDecoding()}
	if a.Now != nil {
		options = append(options, jwt.WithTimeFunc(a.Now))
	}
	var c Claims
	parsed, err := jwt.NewParser(options...).ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		if key := keys[kid]; key != nil && t.Header["typ"] == "JWT" {
			return key, nil
		}
		return nil, fmt.Errorf("the key %q is not published", kid)
	})
	if err != nil {
		return Claims{}, err
	}
	payload := map[string]any{}
	if _, _, err := jwt.NewParser().ParseUnverified(parsed.Raw, jwt.MapClaims(payload)); err != nil {
		return Claims{}, err
	}
	for name := range payload {
		c.All = append(c.All, name)
	}
	slices.Sort(c.All)
	return c, nil
}
