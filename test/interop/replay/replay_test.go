// Package replay holds rule 10 of the response pipeline with its real parts: what Accept says about an assertion, and what the store
// remembers of it on two replicas and over a restart.
package replay

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"sallyport.dev/sallyport/internal/saml"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// scene is one unsolicited response, the hardest case: no pending request is there to be consumed.
type scene struct {
	clock *testingclock.FakePassiveClock
	conn  func() *saml.Connection
	form  string
	uid   string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	idp, err := samltest.NewIdP("https://idp.example.com", "https://idp.example.com/sso", "", now)
	if err != nil {
		t.Fatal(err)
	}
	conf, err := idp.Connection("https://sso.example.com", "okta", now)
	if err != nil {
		t.Fatal(err)
	}
	conf.Response.AllowUnsolicited = true
	form, err := idp.Form(samltest.Response{Now: now, ACS: conf.ACSURL, Audience: conf.EntityID})
	if err != nil {
		t.Fatal(err)
	}
	return &scene{clock: testingclock.NewFakePassiveClock(now), form: form, uid: conf.UID, conn: func() *saml.Connection {
		c, err := saml.NewConnection(conf, saml.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}}
}

// signIn is what a replica does with the response: accept it, then remember it.
func (s *scene) signIn(t *testing.T, db *store.DB, c *saml.Connection) error {
	t.Helper()
	a, r := c.Accept(t.Context(), s.form, nil, s.clock.Now())
	if r != nil {
		return r
	}
	return db.Do(t.Context(), func(tx store.Tx) error { return tx.RememberAssertion(s.uid, a.ID, a.ReplayUntil) })
}

func TestTwoReplicasAcceptOnce(t *testing.T) {
	s := newScene(t)
	url := storetest.PostgresURL(t)
	var wg sync.WaitGroup
	var accepted, replayed atomic.Int64
	for range 2 {
		db, c := storetest.Open(t, url, store.Options{Clock: s.clock}), s.conn()
		for range 8 {
			wg.Go(func() {
				switch err := s.signIn(t, db, c); {
				case err == nil:
					accepted.Add(1)
				case errors.Is(err, store.ErrReplayed):
					replayed.Add(1)
				default:
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if accepted.Load() != 1 || replayed.Load() != 15 {
		t.Errorf("accepted %d times, refused as replayed %d times", accepted.Load(), replayed.Load())
	}
}

func TestRestartRemembers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		s := newScene(t)
		db := storetest.Open(t, url, store.Options{Clock: s.clock})
		if err := s.signIn(t, db, s.conn()); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		// Until the last second in which the assertion would be accepted, it is remembered, also when expired rows are swept away.
		s.clock.SetTime(s.clock.Now().Add(6*time.Minute - time.Second))
		db = storetest.Open(t, url, store.Options{Clock: s.clock})
		if _, err := db.Sweep(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if err := s.signIn(t, db, s.conn()); !errors.Is(err, store.ErrReplayed) {
			t.Errorf("after a restart: %v", err)
		}
		// From then on the assertion itself has expired.
		s.clock.SetTime(s.clock.Now().Add(time.Second))
		var r *saml.Refusal
		if err := s.signIn(t, db, s.conn()); !errors.As(err, &r) || r.Reason != saml.ReasonExpired {
			t.Errorf("after expiry: %v", err)
		}
	})
}
