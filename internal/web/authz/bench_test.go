package authz_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/authz"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/site"
)

// gate is a gate over a real store with one session, and the cookie of that session.
func gate(tb testing.TB, groups int) (*authz.Gate, string) {
	tb.Helper()
	g, _, cookie := gateAt(tb, groups, clock.RealClock{}, nil)
	return g, cookie
}

// gateAt is gate at a time, with or without a signed header.
func gateAt(tb testing.TB, groups int, at clock.WithTicker, signed *snapshot.SignedHeader) (*authz.Gate, *serve.Env, string) {
	tb.Helper()
	ctx := context.Background()
	db, err := store.Open(ctx, "sqlite://"+filepath.Join(tb.TempDir(), "db"), store.Options{Clock: at})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() }) //nolint:errcheck
	token, key := session.NewToken()
	idp, now := store.IdPRef{UID: "0194d2c8-0000-7000-8000-000000000001", Name: "okta"}, at.Now()
	names := make([]string, groups)
	for i := range names {
		names[i] = "group-" + strconv.Itoa(i)
	}
	err = db.Do(ctx, func(tx store.Tx) error {
		u := store.User{ID: "0194d2c8-0000-7000-8000-000000000002", Email: "alice@acme.example", FirstName: "Alice", LastName: "Example", IdP: idp, CreatedAt: now, UpdatedAt: now}
		if err := tx.CreateUser(u); err != nil {
			return err
		}
		if _, err := tx.SyncGroups(u.ID, idp, store.GroupSync{Claimed: names}); err != nil {
			return err
		}
		return tx.CreateSession(store.Session{TokenHash: key[:], UserID: u.ID, IdP: idp, CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(time.Hour), EmailDomain: "acme.example"})
	})
	if err != nil {
		tb.Fatal(err)
	}
	sessions, err := session.NewManager(db, session.Options{Clock: at})
	if err != nil {
		tb.Fatal(err)
	}
	served, _, err := site.Compile(nil, snapshot.Snapshot{
		ServiceProvider: snapshot.ServiceProvider{Name: "main", URL: "https://sso.example.com", Session: snapshot.Session{CookieDomain: "example.com"},
			TrustedProxies: []string{"10.0.0.0/8"}, SignedHeader: signed},
		Connections: []snapshot.Connection{{Name: "okta", UID: idp.UID, Enabled: true}},
		Domains:     []snapshot.Domain{{Domain: "acme.example", Connection: "okta"}},
	}, "r")
	if err != nil {
		tb.Fatal(err)
	}
	env := &serve.Env{Sites: &site.Holder{}, Store: db, Sessions: sessions, Clock: at, Log: slog.New(slog.DiscardHandler), Metrics: metrics.New()}
	env.Sites.Swap(served)
	return authz.NewGate(env), env, served.Cookie.Name + "=" + token
}

// sink is a ResponseWriter that costs nothing, so that what is measured is ours.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }

func request(path, cookie string) *http.Request {
	r := httptest.NewRequest("GET", path, nil)
	r.Header["Cookie"] = []string{"theme=dark; _ga=GA1.1.1234; " + cookie + "; other=x"}
	r.Header["X-Original-Url"], r.Header["X-Original-Method"] = []string{"https://app.example.com/x"}, []string{"GET"}
	r.RemoteAddr = "10.0.0.1:1234"
	return r
}

// TestNoAllocationOnAHit holds the promise of the hot path.
func TestNoAllocationOnAHit(t *testing.T) {
	g, cookie := gate(t, 200)
	handler := g.Nginx()
	for _, path := range []string{"/authz/nginx", "/authz/nginx?groups=ops,group-7&idp=okta"} {
		r, w := request(path, cookie), &sink{header: make(http.Header, 16)}
		handler.ServeHTTP(w, r)
		if w.status != 200 || w.header.Get("Remote-User") != "alice@acme.example" {
			t.Fatalf("%d %v", w.status, w.header)
		}
		if n := testing.AllocsPerRun(1000, func() { handler.ServeHTTP(w, r) }); n > 0 {
			t.Errorf("%s allocates %v times", path, n)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	for _, groups := range []int{1, 200} {
		g, cookie := gate(b, groups)
		for name, path := range map[string]string{"plain": "/authz/nginx", "group": "/authz/nginx?groups=ops,group-0"} {
			b.Run(strconv.Itoa(groups)+"groups/"+name, func(b *testing.B) { run(b, g.Nginx(), path, cookie) })
		}
	}
	g, _ := gate(b, 1)
	b.Run("unknown cookie", func(b *testing.B) {
		token, _ := session.NewToken()
		run(b, g.Nginx(), "/authz/nginx", "__Secure-sso-main="+token)
	})
	// Whoever floods sends another one each time.
	b.Run("another unknown cookie", func(b *testing.B) {
		b.ReportAllocs()
		w, handler := &sink{header: make(http.Header, 16)}, g.Nginx()
		for b.Loop() {
			token, _ := session.NewToken()
			if handler.ServeHTTP(w, request("/authz/nginx", "__Secure-sso-main="+token)); w.status != http.StatusUnauthorized {
				b.Fatal(w.status)
			}
		}
	})
}

// BenchmarkBare writes the same headers and decides nothing.
func BenchmarkBare(b *testing.B) {
	g, cookie := gate(b, 1)
	w := &sink{header: make(http.Header, 16)}
	g.Nginx().ServeHTTP(w, request("/authz/nginx", cookie))
	headers := w.header
	run(b, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		for name, values := range headers {
			h[name] = values
		}
		w.WriteHeader(http.StatusOK)
	}), "/authz/nginx", cookie)
}

func run(b *testing.B, handler http.Handler, path, cookie string) {
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r, w := request(path, cookie), &sink{header: make(http.Header, 16)}
		for pb.Next() {
			handler.ServeHTTP(w, r)
		}
	})
}
