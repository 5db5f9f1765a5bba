package authz_test

import (
	"net/http"
	"testing"
	"time"

	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"

	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/trust"
	"sallyport.dev/sallyport/internal/web/serve"
)

func signedHeader(tb testing.TB) *snapshot.SignedHeader {
	tb.Helper()
	key, err := trust.NewHeaderKey(time.Now(), "https://sso.example.com", time.Hour)
	if err != nil {
		tb.Fatal(err)
	}
	key.Phase = snapshot.KeyCurrent
	return &snapshot.SignedHeader{Keys: []snapshot.SPKey{key}}
}

// TestATokenIsMadeOnceForAWhile: a check within half of a token's life costs no signature, and no allocation; a changed person has another token at once.
func TestATokenIsMadeOnceForAWhile(t *testing.T) {
	at := testclock.NewFakeClock(time.Now())
	g, env, cookie := gateAt(t, 2, at, signedHeader(t))
	handler := g.Nginx()
	token := func() string {
		w := &sink{header: make(http.Header, 16)}
		handler.ServeHTTP(w, request("/authz/nginx", cookie))
		if w.status != 200 || w.header.Get("X-Auth-Request-Jwt") == "" {
			t.Fatalf("%d %v", w.status, w.header)
		}
		return w.header.Get("X-Auth-Request-Jwt")
	}
	first := token()
	at.Step(29 * time.Second)
	if token() != first {
		t.Error("after 29 s there is another token")
	}
	at.Step(time.Second)
	second := token()
	if second == first {
		t.Error("after 30 s there is the same token")
	}
	r, w := request("/authz/nginx", cookie), &sink{header: make(http.Header, 16)}
	if n := testing.AllocsPerRun(1000, func() { handler.ServeHTTP(w, r) }); n > 0 {
		t.Errorf("a check allocates %v times", n)
	}
	at.SetTime(at.Now().Add(-10 * time.Second))
	if token() == second {
		t.Error("after the clock was set back there is the same token, of the future")
	}
	second = token()
	addGroup(t, env, cookie)
	if token() == second {
		t.Error("the token still says the groups of before")
	}
}

// addGroup puts the person of the cookie into a group, as a sign-in does, and drops the session from the cache, as the store's stream does.
func addGroup(t *testing.T, env *serve.Env, cookie string) {
	t.Helper()
	key, _ := session.KeyOf(cookie[len("__Secure-sso-main="):])
	err := env.Store.Do(t.Context(), func(tx store.Tx) error {
		current, err := tx.Session(key[:])
		if err != nil {
			return err
		}
		_, err = tx.SyncGroups(current.UserID, current.IdP, store.GroupSync{Claimed: []string{"one-more"}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	env.Sessions.Forget(key)
}

// BenchmarkSigned is a check with the signed header: on a hit, and when each one has to be made.
func BenchmarkSigned(b *testing.B) {
	g, _, cookie := gateAt(b, 2, clock.RealClock{}, signedHeader(b))
	b.Run("again", func(b *testing.B) { run(b, g.Nginx(), "/authz/nginx", cookie) })
	at := testclock.NewFakeClock(time.Now())
	g, _, cookie = gateAt(b, 2, at, signedHeader(b))
	b.Run("made", func(b *testing.B) {
		r, w, handler := request("/authz/nginx", cookie), &sink{header: make(http.Header, 16)}, g.Nginx()
		for b.Loop() {
			at.Step(31 * time.Second)
			handler.ServeHTTP(w, r)
		}
	})
}
