package signin

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/returnurl"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/site"
)

const (
	knownHandle = "AAAAAAAAAAAAAAAAAAAAAA"
	knownSecret = "BBBBBBBBBBBBBBBBBBBBBA"
	knownReturn = "https://grafana.example.com/d/1?a=b"
	spURL       = "https://sso.example.com"
)

// waiting is a handler over a real store in which one request waits, made by the browser that has knownSecret.
func waiting(t testing.TB) (*Handler, *site.Site) {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "store.db"), store.Options{AuditWriter: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() }) //nolint:errcheck
	err = db.SavePending(t.Context(), store.Pending{
		HandleHash: hash(knownHandle), BrowserHash: hash(knownSecret), Connection: "okta", IdPUID: "uid-okta", RequestID: "_1", ReturnURL: knownReturn,
		ExpiresAt: time.Now().Add(24 * time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	returns, err := returnurl.New(spURL, []string{"*.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	s := &site.Site{Returns: returns, Snapshot: snapshot.Snapshot{ServiceProvider: snapshot.ServiceProvider{URL: spURL}}}
	return &Handler{Env: &serve.Env{Store: db, Log: slog.New(slog.DiscardHandler)}}, s
}

// FuzzRelayHandle: only the exact handle finds the request, and only with the browser's own part of it in the cookie. Whatever else is
// in RelayState leads to a page on the allow-list.
func FuzzRelayHandle(f *testing.F) {
	h, s := waiting(f)
	mine := pendingName(knownHandle) + "=x." + knownSecret
	for _, seed := range [][2]string{
		{knownHandle, mine}, {knownHandle, ""}, {knownHandle, pendingName(knownHandle) + "=" + knownSecret}, {knownHandle, mine + "x"}, {knownHandle, mine + "; " + mine},
		{knownHandle, pendingName(knownHandle) + `="x.` + knownSecret + `"`}, {knownHandle[:21] + "B", mine}, {knownHandle + "\n", mine}, {knownHandle[:10], mine},
		{strings.ToLower(knownHandle), mine}, {"", mine}, {"AAAAAAAAAA", ""}, {strings.Repeat("A", 23), mine}, {knownHandle + "==", mine}, {"AAAAAAAAAAAAAAAAAAAA\r\n", mine},
		{knownReturn, ""}, {"https://evil.example/", ""}, {`/\evil.example`, ""}, {"//evil.example", ""}, {"javascript:alert(1)", ""}, {"/account", ""}, {"\x00", "\x00"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, relayState, cookies string) {
		r := httptest.NewRequest(http.MethodPost, spURL+"/saml/okta/acs", nil)
		r.Header["Cookie"] = []string{cookies}
		for name, owner := range map[string]bool{"okta": true, "entra": false} {
			a := &arrival{s: s, c: &site.Connection{Connection: snapshot.Connection{Name: name}, UID: "uid-" + name}, handle: relayState}
			if err := h.findPending(r.Context(), r, a); err != nil {
				t.Fatalf("the store failed: %v", err)
			}
			has := strings.Contains(cookies, pendingName(knownHandle)+"=") && strings.Contains(cookies, knownSecret)
			if a.pending != nil && (!owner || relayState != knownHandle || !has) || a.lost && (!owner || relayState != knownHandle) || a.lost && a.pending != nil {
				t.Fatalf("%q with %q at %s: pending %v, lost %v", relayState, cookies, name, a.pending, a.lost)
			}
			if checked, err := s.Returns.Check(a.back); err != nil || checked != a.back {
				t.Fatalf("%q leads to %q", relayState, a.back)
			}
		}
		// A new sign-in tidies the cookies of those before it, whatever they are.
		w := httptest.NewRecorder()
		setPending(w, r, knownHandle, knownSecret, time.Unix(1800000000, 0))
		sent := w.Result().Cookies()
		if len(sent) == 0 || sent[len(sent)-1].Name != pendingName(knownHandle) || len(sent) > strings.Count(cookies, pendingPrefix)+1 {
			t.Fatalf("%q: sent %v", cookies, sent)
		}
	})
}
