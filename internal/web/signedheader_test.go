package web_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
	"sallyport.dev/sallyport/internal/web/jwt/jwttest"
)

const signedHeader = "X-Auth-Request-Jwt"

func headerKey(t *testing.T, phase snapshot.KeyPhase) snapshot.SPKey {
	t.Helper()
	key, err := trust.NewHeaderKey(time.Now(), spURL, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	key.Phase = phase
	return key
}

func signedBy(keys ...snapshot.SPKey) func(*snapshot.Snapshot) {
	return func(s *snapshot.Snapshot) { s.ServiceProvider.SignedHeader = &snapshot.SignedHeader{Keys: keys} }
}

// application verifies what is for a host.
func (w *world) application(host string) jwttest.Application {
	return jwttest.Application{Client: w.process.public.Client(), KeysURL: w.process.public.URL + "/.well-known/jwks.json", Issuer: spURL, Audience: host}
}

func TestSignedHeader(t *testing.T) {
	w := newWorld(t, signedBy(headerKey(t, snapshot.KeyCurrent)), severalDomains)
	b := w.browser()
	b.signIn("alice@acme.example")
	u, _ := url.Parse("https://grafana.example.com/")
	cookies := map[string]string{}
	for _, c := range b.Jar.Cookies(u) {
		cookies["cookie"] += c.Name + "=" + c.Value + "; "
	}
	overGRPC, err := w.envoy().Check(t.Context(), checkRequest("GET", "/", cookies, nil))
	if err != nil {
		t.Fatal(err)
	}
	grpc := ""
	for _, h := range overGRPC.GetOkResponse().GetHeaders() {
		if h.Header.Key == strings.ToLower(signedHeader) {
			grpc = h.Header.Value
		}
	}
	for way, token := range map[string]string{
		"nginx":   b.checkAt("grafana.example.com").header.Get(signedHeader),
		"forward": b.ask("GET", "/authz/forward", forwarded("GET", "/")...).header.Get(signedHeader),
		"envoy":   b.ask("GET", "/authz/envoy/", "Host", "Grafana.example.com").header.Get(signedHeader),
		"gRPC":    grpc,
	} {
		c, err := w.application("grafana.example.com").Verify(token)
		if err != nil {
			t.Errorf("%s: %q: %v", way, token, err)
			continue
		}
		if c.Email != "alice@acme.example" || c.PreferredUsername != c.Email || c.Name == "" || !slices.Contains(c.Groups, "dev") || len(c.Subject) != 36 || c.ExpiresAt.Sub(c.IssuedAt.Time) != time.Minute {
			t.Errorf("%s: %+v", way, c)
		}
		// The session is nobody's business, and neither is anything else that is not promised.
		if want := []string{"aud", "email", "exp", "groups", "iat", "iss", "name", "preferred_username", "sub"}; !slices.Equal(c.All, want) {
			t.Errorf("%s: the claims are %v", way, c.All)
		}
	}
	token := b.checkAt("grafana.example.com").header.Get(signedHeader)
	if again := b.checkAt("grafana.example.com").header.Get(signedHeader); again != token {
		t.Error("the next check signed again")
	}
	if _, err := w.application("wiki.example.com").Verify(token); err == nil {
		t.Error("another application takes the token")
	}
	if _, err := w.application("wiki.example.com").Verify(b.checkAt("wiki.example.com").header.Get(signedHeader)); err != nil {
		t.Errorf("the other application's own: %v", err)
	}
	late := w.application("grafana.example.com")
	late.Now = func() time.Time { return time.Now().Add(time.Minute) }
	if _, err := late.Verify(token); err == nil {
		t.Error("the token counts a minute later")
	}
}

// TestSignedHeaderIsEmptyOrAbsent: what a client sent is overwritten wherever the header exists, and no token is for anybody.
func TestSignedHeaderIsEmptyOrAbsent(t *testing.T) {
	w := newWorld(t, signedBy(headerKey(t, snapshot.KeyCurrent)), func(s *snapshot.Snapshot) {
		s.ServiceProvider.Access = &snapshot.Access{Rules: []snapshot.AccessRule{{Hosts: []string{"grafana.example.com"}, Allow: "Public"}}}
	})
	if got := w.browser().checkAt("grafana.example.com"); got.status != 200 || !slices.Equal(got.header.Values(signedHeader), []string{""}) {
		t.Errorf("nobody in particular: %d %q", got.status, got.header.Values(signedHeader))
	}
	w.snapshot.ServiceProvider.Access = nil
	w.snapshot.ServiceProvider.TrustedProxies = nil
	w.apply(w.process)
	b := w.browser()
	b.signIn("alice@acme.example")
	if got := b.checkAt("grafana.example.com"); got.status != 200 || !slices.Equal(got.header.Values(signedHeader), []string{""}) {
		t.Errorf("for a host that a stranger names: %d %q", got.status, got.header.Values(signedHeader))
	}
	if got := b.check(""); got.status != 200 || !slices.Equal(got.header.Values(signedHeader), []string{""}) {
		t.Errorf("for no host: %d %q", got.status, got.header.Values(signedHeader))
	}
	w.snapshot.ServiceProvider.SignedHeader = nil
	w.apply(w.process)
	if got := b.check(""); got.status != 200 || len(got.header.Values(signedHeader)) > 0 {
		t.Errorf("switched off: %d %q", got.status, got.header.Values(signedHeader))
	}
	if got := b.get(spURL + "/.well-known/jwks.json"); got.status != 404 {
		t.Errorf("switched off, the keys: %d", got.status)
	}
}

// TestSignedHeaderThroughARotation: what was signed before verifies after, and what is signed after was published before.
func TestSignedHeaderThroughARotation(t *testing.T) {
	first, second := headerKey(t, snapshot.KeyCurrent), headerKey(t, snapshot.KeyNext)
	w := newWorld(t, signedBy(first, second))
	b := w.browser()
	b.signIn("alice@acme.example")
	application := w.application("grafana.example.com")
	old := b.checkAt("grafana.example.com").header.Get(signedHeader)
	before, header, err := application.Keys()
	if err != nil || len(before) != 2 || header.Get("Cache-Control") != "public, max-age=300" || header.Get("Content-Type") != "application/jwk-set+json" {
		t.Fatalf("%v %v %v", before, header, err)
	}
	first.Phase, second.Phase = snapshot.KeyPrevious, snapshot.KeyCurrent
	signedBy(second, first)(&w.snapshot)
	w.apply(w.process)
	fresh := b.checkAt("grafana.example.com").header.Get(signedHeader)
	if fresh == old {
		t.Error("the old key signs on")
	}
	for what, token := range map[string]string{"signed before": old, "signed after": fresh} {
		if _, err := application.Verify(token); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	after, _, err := application.Keys()
	if err != nil {
		t.Fatal(err)
	}
	for id := range after {
		if before[id] == nil {
			t.Errorf("the key %s was not published before it signed", id)
		}
	}
	w.snapshot.ServiceProvider.SignedHeader.Keys = []snapshot.SPKey{second}
	w.apply(w.process)
	if _, err := application.Verify(old); err == nil {
		t.Error("a key that is gone verifies")
	}
	broken := w.snapshot
	broken.ServiceProvider.SignedHeader = &snapshot.SignedHeader{Keys: []snapshot.SPKey{first}}
	if err := w.process.web.Apply(broken, "no current key"); err == nil {
		t.Error("a snapshot without a current key is served")
	}
}
