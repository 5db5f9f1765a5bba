package controllers

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestAFailingFetchWritesOncePerTry: the status of its IdentityProvider says when the next try is, in a field. What the conditions say stays, on all objects.
func TestAFailingFetchWritesOncePerTry(t *testing.T) {
	t.Parallel()
	for _, had := range []string{"a copy", "nothing"} {
		t.Run(had, func(t *testing.T) {
			t.Parallel()
			ns, now := namespace(t), movable(t)
			o := newOperator(t, ns, withClock(now))
			server, set := metadataServer(t)
			var tries atomic.Int32
			down := func(w http.ResponseWriter, r *http.Request) { tries.Add(1); http.NotFound(w, r) }
			set(down)
			if had == "a copy" {
				set(answer(idpMetadata(t, "https://idp.example.com/")))
			}
			idp, ca := fromServer(ns, "okta", server)
			binding := domainBinding(ns, "acme", "acme.example", "okta")
			create(t, serviceProvider(ns), ca, idp, binding)
			newPod(t, ns, "main")
			if had == "a copy" {
				await(t, binding, "Ready", isTrue, "Serving")
				set(down)
				refresh(t, idp, "1")
			}
			said := await(t, idp, "MetadataFresh", isFalse, "FetchFailed")
			o.atRest(t)
			tries.Store(0)
			var writes []string
			for range 4 {
				get(t, idp)
				due := idp.Status.Metadata.NextRefresh.Time
				now.SetTime(due.Add(time.Second))
				eventually(t, "the try that was due", func() bool { get(t, idp); return idp.Status.Metadata.NextRefresh.After(due) })
				eventually(t, "two seconds without a write", func() bool {
					time.Sleep(2 * time.Second)
					more := o.wire.take()
					writes = append(writes, more...)
					return len(more) == 0
				})
			}
			most := int(tries.Load())
			for _, write := range writes {
				if !strings.HasSuffix(write, "/identityproviders/okta/status") {
					t.Errorf("a failing fetch wrote %s", write)
				}
			}
			if len(writes) > most {
				t.Errorf("%d tries wrote %d times: %v", most, len(writes), writes)
			}
			if again := await(t, idp, "MetadataFresh", isFalse, "FetchFailed"); again != said {
				t.Errorf("first %q, then %q", said, again)
			}
		})
	}
}
