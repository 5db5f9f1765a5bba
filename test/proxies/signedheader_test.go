package proxies

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sallyport.dev/sallyport/internal/web/jwt/jwttest"
)

// verifying is an application that believes nothing but the signed header, and answers with what it says.
func verifying(verifier jwttest.Application) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		tokens := r.Header.Values("X-Auth-Request-Jwt")
		if len(tokens) != 1 {
			http.Error(rw, fmt.Sprintf("%d signed headers", len(tokens)), http.StatusUnauthorized)
			return
		}
		claims, err := verifier.Verify(tokens[0])
		if err != nil {
			http.Error(rw, err.Error(), http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(rw).Encode(claims)
	})
}

// TestAnApplicationThatVerifies stands behind every proxy as its page prints it: it knows who is there from the token alone, and believes none but ours.
func TestAnApplicationThatVerifies(t *testing.T) {
	application := httptest.NewServer(verifying(jwttest.Application{Client: http.DefaultClient, KeysURL: w(t).sp.URL + "/.well-known/jwks.json", Issuer: ssoURL, Audience: appHost}))
	t.Cleanup(application.Close)
	address := strings.TrimPrefix(application.URL, "http://")
	edit := func(files map[string]string) {
		for name, text := range files {
			files[name] = strings.ReplaceAll(text, w(t).application.address, address)
		}
	}
	stranger := strangersToken(t)
	each(t, edit, func(t *testing.T, p *running) {
		const email = "alice@acme.example"
		b, landed := p.signIn(t, email, appURL+"/d/board")
		said := func(what string, got reply) {
			t.Helper()
			var claims jwttest.Claims
			if err := json.Unmarshal([]byte(got.body), &claims); err != nil || got.status != http.StatusOK {
				t.Fatalf("%s: %d %s", what, got.status, got.body)
			}
			if claims.Email != email || claims.Name != "Alice Adams" || !slices.Equal(claims.Groups, []string{"dev", "ml,team"}) {
				t.Errorf("%s: %+v", what, claims)
			}
		}
		said("signed in", landed)
		said("with a stranger's token besides", b.ask("GET", appURL+"/d/board", "", "Accept", acceptHTML, "X-Auth-Request-Jwt", stranger))
		for what, token := range map[string]string{"nothing": "", "a stranger's token": stranger} {
			if got := newBrowser(t, p.address).ask("GET", appURL+"/public/x", "", "X-Auth-Request-Jwt", token); got.status != http.StatusUnauthorized {
				t.Errorf("signed out, with %s: %d %s", what, got.status, got.body)
			}
		}
		// The keys are at their public address too.
		if keys := b.get(ssoURL + "/.well-known/jwks.json"); keys.status != http.StatusOK || !strings.Contains(keys.body, `"kty":"EC"`) || strings.Contains(keys.body, `"d"`) {
			t.Errorf("the keys: %d %s", keys.status, keys.body)
		}
	})
	// Without a proxy in between, the signature is what holds.
	for what, token := range map[string]string{"nothing": "", "a stranger's token": stranger} {
		if got := newBrowser(t, address).direct("http://"+appHost+"/", token); got != http.StatusUnauthorized {
			t.Errorf("around the proxy, with %s: %d", what, got)
		}
	}
}

// direct asks the application itself.
func (b *browser) direct(address, token string) int {
	b.t.Helper()
	return b.ask("GET", address, "", "X-Auth-Request-Jwt", token, "Remote-User", forged).status
}

// strangersToken says the right things under the name of the right key.
func strangersToken(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": ssoURL, "aud": appHost, "sub": "x", "email": forged, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()})
	published, _, err := jwttest.Application{Client: http.DefaultClient, KeysURL: w(t).sp.URL + "/.well-known/jwks.json"}.Keys()
	if err != nil {
		t.Fatal(err)
	}
	for id := range published {
		token.Header["kid"] = id
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
