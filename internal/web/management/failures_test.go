package management

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/serve"
)

// failing is a store of which a read fails, and that answers pings or not.
type failing struct {
	store.Store
	ping error
}

func (failing) Stats(context.Context) (store.Stats, error) {
	return store.Stats{}, errors.New("a row cannot be read")
}
func (f failing) Ping(context.Context) error { return f.ping }

// TestOnlyAStoreThatIsDownIsBlamed: people are sent to StoreReady when the store is down, and to the log when something else failed.
func TestOnlyAStoreThatIsDownIsBlamed(t *testing.T) {
	for name, c := range map[string]struct {
		ping error
		code int
		says string
	}{
		"the store is down":     {errors.New("connection refused"), http.StatusServiceUnavailable, `{"error":"the store does not answer"}`},
		"something else failed": {nil, http.StatusInternalServerError, `{"error":"the request failed; see the pod's log"}`},
	} {
		var log strings.Builder
		m := New(Options{Env: &serve.Env{Store: failing{ping: c.ping}, Metrics: metrics.New(), Log: slog.New(slog.NewTextHandler(&log, nil))}})
		answer := httptest.NewRecorder()
		m.As(provision.Caller{}, answer, httptest.NewRequest(http.MethodGet, "/v1/stats", nil))
		if got := strings.TrimSpace(answer.Body.String()); answer.Code != c.code || got != c.says {
			t.Errorf("%s: %d %s, want %d %s", name, answer.Code, got, c.code, c.says)
		}
		if !strings.Contains(log.String(), "a row cannot be read") {
			t.Errorf("%s: the log does not have the cause: %s", name, log.String())
		}
	}
}

// TestRevisionSaysWhyTheStoreIsNotVerified, and readyz, which needs no token, does not.
func TestRevisionSaysWhyTheStoreIsNotVerified(t *testing.T) {
	for problem, ping := range map[string]error{"UnknownAuthority": store.ErrUnknownAuthority, "OtherHost": store.ErrOtherHost, "NoTLS": store.ErrNoTLS, "": errors.New("connection refused")} {
		err := error(&unanswered{fmt.Errorf("%w: postgres.internal", ping)})
		if got := storeProblem(err); got != problem || err.Error() != "the store does not answer" {
			t.Errorf("%v: %q, want %q; probes get %q", ping, got, problem, err)
		}
	}
}
