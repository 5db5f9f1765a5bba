package web_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport.dev/sallyport/internal/store"
)

// hanging is a store that takes a query for a sign-in and does not answer, as a database behind a broken network does.
type hanging struct {
	store.Store
	on      atomic.Bool
	waiting atomic.Int32
}

func (h *hanging) Pending(ctx context.Context, handle []byte) (store.Pending, error) {
	if !h.on.Load() {
		return h.Store.Pending(ctx, handle)
	}
	h.waiting.Add(1)
	<-ctx.Done()
	return store.Pending{}, ctx.Err()
}

// TestResponsesThatWaitForTheStoreAreBounded: they stay in memory, so a client has its share of them and no more, and none waits for ever.
func TestResponsesThatWaitForTheStoreAreBounded(t *testing.T) {
	w := newWorld(t)
	h := &hanging{}
	w.slow = func(s store.Store) store.Store { h.Store = s; return h }
	w.restart()
	h.on.Store(true)
	form := url.Values{"SAMLResponse": {"x"}, "RelayState": {"0123456789012345678901"}}.Encode()
	send := func(ctx context.Context) (int, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.public.URL+"/saml/okta/acs", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "sso.example.com"
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Forwarded-For", "203.0.113.7")
		answer, err := w.public.Client().Do(r)
		if err != nil {
			return 0, err
		}
		return answer.StatusCode, answer.Body.Close()
	}
	const share = 64
	statuses := make(chan int, share)
	for range share {
		go func() {
			status, _ := send(t.Context())
			statuses <- status
		}()
	}
	waitFor(t, "the client to have its share", func() bool { return h.waiting.Load() == share })
	if status, err := send(t.Context()); err != nil || status != http.StatusServiceUnavailable || h.waiting.Load() != share {
		t.Errorf("one more: %d %v, and %d wait", status, err, h.waiting.Load())
	}
	for range share {
		if status := <-statuses; status != http.StatusServiceUnavailable {
			t.Errorf("who waited got %d", status)
		}
	}
}
