package store_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

const pendingMost, pendingFlood = 100, 1500

func handleOf(what string, n int) []byte {
	sum := sha256.Sum256([]byte(fmt.Sprint(what, n)))
	return sum[:]
}

// begun is a sign-in as anybody begins it.
func begun(what string, n int, now time.Time, back string) store.Pending {
	return store.Pending{HandleHash: handleOf(what, n), BrowserHash: hash(1), Connection: "okta", IdPUID: "uid-okta", RequestID: "_r", ReturnURL: back, IssuedAt: now, ExpiresAt: now.Add(15 * time.Minute)}
}

// kept is how many rows of each kind there are.
func kept(t *testing.T, d *store.DB) map[string]int {
	t.Helper()
	rows, err := store.Write(d).Query(`SELECT kind, COUNT(*) FROM pending_requests GROUP BY kind`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	of := map[string]int{}
	for rows.Next() {
		var kind string
		var n int
		if err := rows.Scan(&kind, &n); err != nil {
			t.Fatal(err)
		}
		of[kind] = n
	}
	return of
}

// TestSignInsInFlightAreBounded: the oldest go, and none because of another kind; what an administrator has asked for stays.
func TestSignInsInFlightAreBounded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		clock := testclock.NewFakeClock(start)
		d := storetest.Open(t, storeURL, store.Options{Clock: clock, MaxPending: pendingMost})
		save := func(p store.Pending) {
			t.Helper()
			clock.Step(time.Millisecond)
			if err := d.SavePending(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
		found := func(what string, n int, want bool) {
			t.Helper()
			if _, err := d.Pending(t.Context(), handleOf(what, n)); (err == nil) != want || err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s %d: %v", what, n, err)
			}
		}
		save(store.Pending{HandleHash: handleOf("link", 0), UserID: "u", IssuedAt: start, ExpiresAt: start.Add(10 * time.Minute)})
		save(begun("long", 0, start, strings.Repeat("u", 8000)))
		save(store.Pending{HandleHash: handleOf("code", 0), Session: "ab", IssuedAt: start, ExpiresAt: start.Add(time.Minute)})
		for i := range pendingFlood {
			save(begun("short", i, clock.Now(), "https://app.example.com/"))
		}
		if n := kept(t, d)["sign_in"]; n >= pendingMost+500 {
			t.Errorf("%d sign-ins before any sweep", n)
		}
		sweep := func() {
			t.Helper()
			if _, err := d.Sweep(t.Context(), true); err != nil {
				t.Fatal(err)
			}
		}
		sweep()
		same(t, "kept", kept(t, d), map[string]int{"": 1, "sign_in": pendingMost, "long_sign_in": 1, "handover": 1})
		found("short", pendingFlood-1, true)
		found("short", pendingFlood-pendingMost, true)
		found("short", pendingFlood-pendingMost-1, false)
		found("link", 0, true)
		found("long", 0, true)
		found("code", 0, true)

		for i := range pendingMost {
			save(begun("long", i+1, clock.Now(), strings.Repeat("u", 8000)))
			save(store.Pending{HandleHash: handleOf("code", i+1), Session: "ab", IssuedAt: clock.Now(), ExpiresAt: clock.Now().Add(time.Minute)})
		}
		sweep()
		same(t, "kept", kept(t, d), map[string]int{"": 1, "sign_in": pendingMost, "long_sign_in": pendingMost / 10, "handover": pendingMost / 10})
		found("short", pendingFlood-1, true)
		found("link", 0, true)
		clock.Step(time.Hour)
		sweep()
		same(t, "kept when all have expired", kept(t, d), map[string]int{})
	})
}

// TestALinkIsFollowedSoOftenAndNoMore, also by many at the same time.
func TestALinkIsFollowedSoOftenAndNoMore(t *testing.T) {
	const most, times = 10, 40
	storetest.Each(t, func(t *testing.T, storeURL string) {
		clock := testclock.NewFakeClock(start)
		d := storetest.Open(t, storeURL, store.Options{Clock: clock})
		for _, n := range []int{0, 1} {
			p := store.Pending{HandleHash: handleOf("link", n), RequestedBy: "admin", IssuedAt: start, ExpiresAt: start.Add(15 * time.Minute)}
			if err := d.SavePending(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
		var followed atomic.Int32
		var running sync.WaitGroup
		for range times {
			running.Go(func() {
				switch p, err := d.UsePending(t.Context(), handleOf("link", 0), most); {
				case err == nil && p.RequestedBy == "admin":
					followed.Add(1)
				case !errors.Is(err, store.ErrNotFound):
					t.Errorf("%+v %v", p, err)
				}
			})
		}
		running.Wait()
		same(t, "followed", followed.Load(), most)
		if _, err := d.UsePending(t.Context(), handleOf("link", 1), most); err != nil {
			t.Error("another link:", err)
		}
		clock.Step(time.Hour)
		if _, err := d.UsePending(t.Context(), handleOf("link", 1), most); !errors.Is(err, store.ErrNotFound) {
			t.Error("an expired link:", err)
		}
	})
}

// TestReplicasBoundSignInsTogether floods one store through two pods.
func TestReplicasBoundSignInsTogether(t *testing.T) {
	storeURL := storetest.PostgresURL(t)
	var replicas [2]*store.DB
	for i := range replicas {
		replicas[i] = storetest.Open(t, storeURL, store.Options{AuditWriter: fmt.Sprint("replica", i), MaxPending: pendingMost})
	}
	var running sync.WaitGroup
	for i, d := range replicas {
		for w := range 4 {
			running.Go(func() {
				for n := range pendingFlood {
					if err := d.SavePending(t.Context(), begun(fmt.Sprint(i, w), n, time.Now(), "https://app.example.com/")); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	running.Wait()
	if n := kept(t, replicas[0])["sign_in"]; n > pendingMost+2*500 {
		t.Errorf("%d sign-ins are kept", n)
	}
	running.Go(func() {
		if _, err := replicas[1].Sweep(t.Context(), true); err != nil {
			t.Error(err)
		}
	})
	if _, err := replicas[0].Sweep(t.Context(), true); err != nil {
		t.Error(err)
	}
	running.Wait()
	if n := kept(t, replicas[0])["sign_in"]; n < pendingMost-10 || n > pendingMost+10 { // some may be of the same microsecond
		t.Errorf("%d sign-ins are kept", n)
	}
}
