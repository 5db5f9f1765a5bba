package web_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"sallyport.dev/sallyport/internal/store"
)

// stuck is a store in which, while it is on, no session can be ended.
type stuck struct {
	store.Store
	on atomic.Bool
}

type stuckTx struct{ store.Tx }

func (stuckTx) EndSessions(store.SessionMatch) ([]store.EndedSession, error) {
	return nil, errors.New("the store has failed")
}

func (s *stuck) Do(ctx context.Context, f func(store.Tx) error) error {
	return s.Store.Do(ctx, func(tx store.Tx) error {
		if s.on.Load() {
			tx = stuckTx{tx}
		}
		return f(tx)
	})
}

// TestALogoutThatCouldNotBeCarriedOutCanComeAgain: the IdP, or the person by going back, sends the same request, and it is no replay.
func TestALogoutThatCouldNotBeCarriedOutCanComeAgain(t *testing.T) {
	w := newWorld(t)
	s := &stuck{}
	w.slow = func(real store.Store) store.Store { s.Store = real; return s }
	w.restart()
	alice := w.browser()
	alice.signIn("alice@acme.example")
	idp, l := w.idps["okta"], w.logoutOf("alice@acme.example")
	send := func() answer {
		t.Helper()
		query, err := idp.Query(idp.LogoutRequest(l), l)
		if err != nil {
			t.Fatal(err)
		}
		return alice.get("/saml/okta/slo?" + query)
	}
	s.on.Store(true)
	if got := send(); got.status != http.StatusServiceUnavailable || alice.check("").status != 200 {
		t.Fatalf("without a store: %d", got.status)
	}
	s.on.Store(false)
	if got := send(); got.status != http.StatusSeeOther && got.status != http.StatusFound || alice.check("").status != 401 {
		t.Errorf("the same request again: %d, and the session goes on", got.status)
	}
	alice.signIn("alice@acme.example")
	if got := send(); got.status != http.StatusForbidden || alice.check("").status != 200 {
		t.Errorf("a copy of one that was carried out: %d", got.status)
	}
}
