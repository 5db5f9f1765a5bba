package trust

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
)

// refresherTest is a Refresher over a real https server, with a clock that stands still until it is moved.
type refresherTest struct {
	*Refresher
	t       *testing.T
	clock   *testclock.FakeClock
	server  *metadataServer
	changed chan string
}

func newRefresherTest(t *testing.T, o RefresherOptions) *refresherTest {
	t.Helper()
	r := &refresherTest{t: t, clock: testclock.NewFakeClock(testNow), server: newMetadataServer(t), changed: make(chan string, 4096)}
	if o.Source == nil {
		o.Source = NewFetcher(FetcherOptions{AllowLoopback: true, Clock: r.clock, Timeout: time.Minute})
	}
	o.Clock, o.OnChange = r.clock, func(key string) { r.changed <- key }
	if o.Random == nil {
		o.Random = func() float64 { return 0 }
	}
	r.Refresher = NewRefresher(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Start(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return r
}

func (r *refresherTest) spec(path string) Spec {
	return Spec{URL: r.server.URL + "/" + path, CABundle: r.server.ca(), Interval: time.Hour}
}

// await waits for the end of the next fetch and returns the connection's state.
func (r *refresherTest) await(key string) State {
	r.t.Helper()
	select {
	case got := <-r.changed:
		if got != key {
			r.t.Fatalf("a fetch of %s ended, want %s", got, key)
		}
	case <-time.After(20 * time.Second):
		r.t.Fatalf("no fetch of %s ends", key)
	}
	state, ok := r.State(key)
	if !ok {
		r.t.Fatalf("%s is not known", key)
	}
	return state
}

// pass moves the clock and waits until the loop has seen it, that is, waits for its timer again.
func (r *refresherTest) pass(d time.Duration) {
	r.t.Helper()
	r.settle()
	r.clock.Step(d)
}

func (r *refresherTest) settle() {
	for range 20_000 {
		if r.clock.HasWaiters() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	r.t.Fatal("the refresher does not wait for its timer")
}

func TestRefreshesInTurnAndSaysWhatChanged(t *testing.T) {
	r := newRefresherTest(t, RefresherOptions{})
	old, fresh := signer(t, "old"), signer(t, "fresh")
	state := r.Ensure("okta", r.spec("changing"))
	if !state.Pending || state.Metadata != nil {
		t.Fatalf("before the first fetch: %+v", state)
	}
	state = r.await("okta")
	if state.Pending || state.Failure != nil || len(state.Metadata.Certificates) != 1 || !state.LastFetched.Equal(testNow) || !state.NextRefresh.Equal(testNow.Add(time.Hour)) {
		t.Fatalf("after the first fetch: %+v", state)
	}
	saved := r.Saved("okta")

	// Nothing changed: 304.
	r.pass(time.Hour)
	state = r.await("okta")
	if !state.LastFetched.Equal(testNow.Add(time.Hour)) || !state.LastChanged.Equal(testNow) {
		t.Errorf("after 304: fetched %v, changed %v", state.LastFetched, state.LastChanged)
	}

	// Rollover: the new certificate beside the old, then the old one gone.
	setDocument(r.server, standalone("https://idp.example.com", goodRole(old, fresh)))
	r.pass(time.Hour)
	state = r.await("okta")
	if c := state.Changes; len(c.CertificatesAdded) != 1 || c.CertificatesAdded[0].Subject != "CN=fresh" || len(c.CertificatesRemoved) != 0 || len(state.Metadata.Trust.SigningCertificates) != 2 {
		t.Errorf("new certificate: %+v", c)
	}
	setDocument(r.server, standalone("https://idp.example.com", goodRole(fresh)))
	r.pass(time.Hour)
	state = r.await("okta")
	if c := state.Changes; len(c.CertificatesRemoved) != 1 || c.CertificatesRemoved[0].Subject != "CN=old" || len(c.CertificatesAdded) != 0 {
		t.Errorf("old certificate removed: %+v", c)
	}
	changed := state.LastChanged

	// A changed entity ID is refused, and the last good copy kept.
	setDocument(r.server, standalone("https://new.example.com", goodRole(fresh)))
	r.pass(time.Hour)
	state = r.await("okta")
	if state.Failure == nil || state.Failure.Kind != KindEntityIDChanged || state.Failure.Actual != "https://new.example.com" || state.Trusted(r.clock.Now()).Trust.EntityID != "https://idp.example.com" {
		t.Errorf("changed entity ID: %+v", state.Failure)
	}
	if !state.LastChanged.Equal(changed) {
		t.Error("a refused copy counts as a change")
	}
	// Pinned, it is accepted at once.
	pinned := r.spec("changing")
	pinned.Parse.EntityID = "https://new.example.com"
	r.Ensure("okta", pinned)
	state = r.await("okta")
	if state.Failure != nil || state.Metadata.Trust.EntityID != "https://new.example.com" || state.Changes.FormerEntityID != "https://idp.example.com" {
		t.Errorf("pinned: %+v", state)
	}
	if string(saved) == string(r.Saved("okta")) {
		t.Error("what is to be kept did not change")
	}
}

func TestEveryFailureKeepsTheLastGoodCopy(t *testing.T) {
	r := newRefresherTest(t, RefresherOptions{})
	r.Ensure("idp", r.spec("changing"))
	good := r.await("idp").Metadata
	for path, kind := range map[string]Kind{
		"status500": KindHTTPStatus, "html": KindNotXML, "dtd": KindDTD, "expired": KindExpired, "truncated": KindNotXML, "gzip-bomb": KindTooLarge,
		"redirect-loop": KindRedirect, "redirect-inside": KindAddressRefused, "not-modified-unasked": KindHTTPStatus,
	} {
		r.Ensure("idp", r.spec(path))
		state := r.await("idp")
		if state.Failure == nil || state.Failure.Kind != kind {
			t.Errorf("%s: failure %+v, want %s", path, state.Failure, kind)
		}
		if state.Metadata != good || state.Trusted(r.clock.Now()) != good {
			t.Errorf("%s: the last good copy is gone", path)
		}
	}
	r.Ensure("idp", r.spec("good"))
	if state := r.await("idp"); state.Failure != nil || state.Failures != 0 || state.LastChanged != testNow {
		t.Errorf("recovered: %+v", state)
	}
}

func TestFailuresAreRetriedMoreAndMoreSeldom(t *testing.T) {
	r := newRefresherTest(t, RefresherOptions{})
	r.Ensure("idp", r.spec("changing"))
	r.await("idp")
	setDocument(r.server, "")
	r.pass(time.Hour)
	failed := r.clock.Now()
	var waits []time.Duration
	for i := range 9 {
		state := r.await("idp")
		if state.Failures != i+1 || !state.FailingSince.Equal(failed) {
			t.Fatalf("failure %d: %+v", i+1, state)
		}
		wait := state.NextRefresh.Sub(r.clock.Now())
		waits = append(waits, wait)
		r.pass(wait)
	}
	want := "[30s 1m0s 2m0s 4m0s 8m0s 16m0s 32m0s 1h0m0s 1h0m0s]"
	if got := fmt.Sprint(waits); got != want {
		t.Errorf("waits %s, want %s", got, want)
	}
	r.await("idp")
	// By hand, it does not wait.
	setDocument(r.server, standalone("https://idp.example.com", goodRole(signer(t, "fresh"))))
	r.RefreshNow("idp")
	if state := r.await("idp"); state.Failure != nil || !state.FailingSince.IsZero() || state.Metadata.Certificates[0].Subject != "CN=fresh" {
		t.Errorf("recovered by hand: %+v", state)
	}
}

func TestRestoredCopyIsTrustedAtOnceAndRefreshedInTurn(t *testing.T) {
	first := newRefresherTest(t, RefresherOptions{})
	first.Ensure("idp", first.spec("good"))
	before := first.await("idp")
	kept := first.Saved("idp")

	r := newRefresherTest(t, RefresherOptions{})
	spec := first.spec("good")
	if err := r.Restore("idp", kept); err != nil {
		t.Fatal(err)
	}
	state := r.Ensure("idp", spec)
	if state.Pending || state.Metadata.Digest != before.Metadata.Digest || !state.NextRefresh.Equal(testNow.Add(time.Hour)) || state.Trusted(testNow) == nil {
		t.Fatalf("restored: %+v", state)
	}
	if n := first.server.requests.Load(); n != 1 {
		t.Errorf("%d requests, want no new one before its time", n)
	}
	r.pass(time.Hour)
	if state = r.await("idp"); state.Failure != nil || !state.LastChanged.Equal(before.LastChanged) {
		t.Errorf("refreshed with the kept ETag: %+v", state)
	}
	for name, data := range map[string]string{
		"no JSON": "x", "empty": "{}", "another version": strings.Replace(string(kept), `"version":1`, `"version":2`, 1),
		"changed": strings.Replace(string(kept), "idp.example.com/sso", "evil.example/sso", 1),
	} {
		if err := r.Restore(name, []byte(data)); err == nil {
			t.Errorf("%s is restored", name)
		}
		if _, ok := r.State(name); ok {
			t.Errorf("%s left a trace", name)
		}
	}
	// With another source the copy is trusted, and fetched anew at once without its ETag.
	other := newRefresherTest(t, RefresherOptions{})
	if err := other.Restore("idp", kept); err != nil {
		t.Fatal(err)
	}
	if state := other.Ensure("idp", other.spec("good")); !state.Pending || state.Trusted(testNow) == nil {
		t.Errorf("another source: %+v", state)
	}
	if state := other.await("idp"); state.Failure != nil || state.LastChanged != before.LastChanged {
		t.Errorf("fetched from the other source: %+v", state)
	}
}

func TestForgottenAndChangedConnectionsAreNotHeardOfAgain(t *testing.T) {
	r := newRefresherTest(t, RefresherOptions{})
	r.Ensure("gone", r.spec("hang"))
	r.Ensure("moved", r.spec("hang"))
	for r.server.requests.Load() < 2 {
		runtime.Gosched()
	}
	r.Forget("gone")
	r.Ensure("moved", r.spec("good"))
	if state := r.await("moved"); state.Failure != nil || state.Metadata == nil {
		t.Errorf("moved: %+v", state)
	}
	if _, ok := r.State("gone"); ok {
		t.Error("a forgotten connection is known")
	}
	select {
	case key := <-r.changed:
		t.Errorf("%s is reported", key)
	default:
	}
	if r.Saved("gone") != nil || r.Saved("moved") == nil {
		t.Error("saved copies")
	}
	r.RefreshNow("gone")
	r.Forget("gone")
}

// A thousand servers that accept connections and never say a word, each on an address of its own, and one that answers.
func TestAThousandHangingServersDelayNobody(t *testing.T) {
	silent, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	var held sync.Map
	go func() {
		for {
			connection, err := silent.Accept()
			if err != nil {
				return
			}
			held.Store(connection, true)
		}
	}()
	t.Cleanup(func() {
		_ = silent.Close()
		held.Range(func(c, _ any) bool { return c.(net.Conn).Close() == nil || true })
	})
	r := newRefresherTest(t, RefresherOptions{})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	_, port, _ := net.SplitHostPort(silent.Addr().String())
	for i := range 1000 {
		r.Ensure(fmt.Sprintf("hanging-%d", i), Spec{URL: fmt.Sprintf("https://127.0.%d.%d:%s/metadata", 1+i/250, 1+i%250, port), Interval: time.Hour})
	}
	started := time.Now()
	r.Ensure("good", r.spec("good"))
	state := r.await("good")
	took := time.Since(started)
	runtime.GC()
	runtime.ReadMemStats(&after)
	connections := 0
	held.Range(func(_, _ any) bool { connections++; return true })
	t.Logf("1,001st after %v, %d connections hang, %.1f KiB each", took.Round(time.Millisecond), connections,
		float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/1024/1000)
	if state.Failure != nil {
		t.Errorf("the one that answers: %+v", state.Failure)
	}
	if took > 5*time.Second {
		t.Errorf("it had to wait for %v", took)
	}
	for i := range 1000 {
		r.Forget(fmt.Sprintf("hanging-%d", i))
	}
}

// setDocument changes what /changing says; an empty one makes it fail.
func setDocument(s *metadataServer, document string) { s.current.Store(&document) }

func init() {
	plays["changing"] = func(s *metadataServer, w http.ResponseWriter, r *http.Request) {
		document := s.document
		if changed := s.current.Load(); changed != nil {
			document = *changed
		}
		if document == "" {
			http.Error(w, "", http.StatusBadGateway)
			return
		}
		tag := `"` + hexSHA256([]byte(document)) + `"`
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", tag)
		_, _ = w.Write([]byte(document))
	}
}
