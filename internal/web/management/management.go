// Package management is the service provider's second port: probes, metrics, and an API for the operator and for `kubectl sso`. It is plain HTTP inside
// the cluster's network and is never exposed. Everything below /v1/ needs the bearer token.
package management

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/session/secondfactor"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/serve"
)

const (
	// maxBody bounds the body of a request, in bytes, and maxPosition that of one with a position in the audit log: every pod that ever wrote is in it.
	maxBody     = 64 << 10
	maxPosition = 4 << 20
	pingTimeout = time.Second
)

// Options of New.
type Options struct {
	Env    *serve.Env
	People *provision.Service
	// TokenFile holds the bearer token; empty refuses everything below /v1/.
	TokenFile string
	// AuditKeys are the public keys that verify audit checkpoints.
	AuditKeys []ed25519.PublicKey
	// SecondFactor are the second factors of now; it returns nil where there are none.
	SecondFactor func() *secondfactor.Service
}

// Server answers on the management port. It is safe for concurrent use.
type Server struct {
	*serve.Env
	people   *provision.Service
	file     string
	factors  func() *secondfactor.Service
	draining atomic.Bool

	auditKeysKnown []ed25519.PublicKey
	followers      atomic.Int64
	// handler routes the port; it is made once.
	handler func() http.Handler

	mu         sync.Mutex
	token      [sha256.Size]byte
	tokenKnown bool
	tokenRead  time.Time
}

// New makes the server.
func New(o Options) *Server {
	m := &Server{Env: o.Env, people: o.People, file: o.TokenFile, factors: o.SecondFactor, auditKeysKnown: o.AuditKeys}
	m.handler = sync.OnceValue(m.routes)
	return m
}

// Drain makes readiness fail from now on. Requests are still answered.
func (m *Server) Drain() { m.draining.Store(true) }

// Handler routes the port.
func (m *Server) Handler() http.Handler { return m.handler() }

func (m *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) }) //nolint:errcheck // a probe
	mux.HandleFunc("GET /readyz", m.readyz)
	mux.Handle("GET /metrics", m.Metrics.Handler())
	bounded := func(most int64, pattern string, f func(w http.ResponseWriter, r *http.Request) error) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.Handle(method+" /v1"+path, m.guard(most, f))
	}
	api := func(pattern string, f func(w http.ResponseWriter, r *http.Request) error) {
		bounded(maxBody, pattern, f)
	}
	api("GET /revision", m.revision)
	api("GET /refusals", m.refusals)
	api("GET /stats", m.stats)
	api("GET /activity", m.activity)
	api("GET /users", m.users)
	api("GET /users/{user}", m.user)
	api("POST /users/{user}/suspend", m.suspend)
	api("POST /users/{user}/resume", m.resume)
	api("POST /users/{user}/profile", m.setProfile)
	api("POST /users/{user}/reset-second-factor", m.resetSecondFactor)
	api("DELETE /users/{user}", m.deleteUser)
	api("GET /sessions", m.sessions)
	api("POST /sessions/revoke", m.revokeSessions)
	api("GET /audit", m.audit)
	api("GET /audit/export", m.auditExport)
	bounded(maxPosition, "POST /audit/export", m.auditExport)
	api("GET /audit/follow", m.auditFollow)
	bounded(maxPosition, "POST /audit/follow", m.auditFollow)
	api("GET /audit/keys", m.auditKeys)
	api("POST /audit/records", m.auditRecords)
	api("GET /audit/heads", m.auditHeads)
	api("GET /audit/chain", m.auditChain)
	api("GET /debug", m.debugEntries)
	api("GET /debug/{entry}", m.debugEntry)
	api("POST /identity-providers/{uid}/remove", m.removeIdP)
	api("POST /identity-providers/{idp}/test", m.newTest)
	api("GET /tests/{test}", m.testResult)
	api("POST /users/{user}/break-glass", m.breakGlass)
	api("GET /explain/{address}", m.explain)
	// Without a match below /v1/ the token is asked for all the same: what exists is nobody's business.
	mux.Handle("/v1/", m.guard(maxBody, func(http.ResponseWriter, *http.Request) error { return status(http.StatusNotFound, "no such resource") }))
	return mux
}

// Serving says why this process should get no requests, nil when it should.
func (m *Server) Serving() error {
	if m.draining.Load() {
		return errors.New("shutting down")
	}
	if m.Sites.Current() == nil {
		return errors.New("no snapshot yet")
	}
	return nil
}

// Ready says why not everything can be done now, nil when it can: Serving, and the store answers.
func (m *Server) Ready(ctx context.Context) error {
	if err := m.Serving(); err != nil {
		return err
	}
	return m.storeAnswers(ctx)
}

func (m *Server) storeAnswers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := m.Store.Ping(ctx); err != nil {
		m.Metrics.StoreUp.Set(0)
		return &unanswered{err}
	}
	m.Metrics.StoreUp.Set(1)
	return nil
}

// unanswered says that the store does not answer, and not why: probes need no token.
type unanswered struct{ cause error }

func (*unanswered) Error() string   { return "the store does not answer" }
func (u *unanswered) Unwrap() error { return u.cause }

// storeProblem is why the store does not answer, from a closed list.
func storeProblem(err error) string {
	switch {
	case errors.Is(err, store.ErrUnknownAuthority):
		return manageapi.StoreUnknownAuthority
	case errors.Is(err, store.ErrOtherHost):
		return manageapi.StoreOtherHost
	case errors.Is(err, store.ErrNoTLS):
		return manageapi.StoreNoTLS
	}
	return ""
}

// readyz answers probes. With ?exclude=store a store that is down does not count, as for the API server's own probes: a store that is down is down for
// every replica, and taking all of them out of their Service would cut off those who are signed in.
func (m *Server) readyz(w http.ResponseWriter, r *http.Request) {
	err := m.Ready(r.Context())
	if r.URL.Query().Get("exclude") == "store" {
		err = m.Serving()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Write([]byte("ok\n")) //nolint:errcheck // a probe
}

// apiError is an error with a status for the caller.
type apiError struct {
	status  int
	message string
}

func (e *apiError) Error() string { return e.message }

func status(code int, format string, args ...any) error {
	return &apiError{code, fmt.Sprintf(format, args...)}
}

// guard asks for the token, bounds the body to so many bytes, and turns errors into answers.
func (m *Server) guard(most int64, f func(w http.ResponseWriter, r *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if _, trusted := inside(r); !trusted && !m.authorized(r) {
			m.denied(r)
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeError(w, http.StatusUnauthorized, "the request carries no valid token: take it from the Secret <service provider>-management, key token")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
		err := f(w, r)
		refused, ok := errors.AsType[*apiError](err)
		switch {
		case err == nil:
		case ok:
			writeError(w, refused.status, refused.message)
		case errors.Is(err, store.ErrNotFound):
			writeError(w, http.StatusNotFound, "not found")
		case errors.Is(err, store.ErrCursor):
			writeError(w, http.StatusGone, err.Error())
		case r.Context().Err() != nil:
		default:
			m.Metrics.StoreFailed(metrics.Management)
			m.Log.Error("a management request failed", "path", r.Pattern, "error", err)
			// Only a store that is down is worth waiting for.
			if down := m.storeAnswers(r.Context()); down != nil {
				writeError(w, http.StatusServiceUnavailable, down.Error())
				return
			}
			writeError(w, http.StatusInternalServerError, "the request failed; see the pod's log")
		}
	})
}

func writeError(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(manageapi.Failure{Error: message}) //nolint:errcheck // the client went away
}

func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) //nolint:errcheck // the client went away, or a view does not marshal, which its test finds
	return nil
}

// drainEvery is how soon a request that waits sees that the pod drains.
const drainEvery = 500 * time.Millisecond

// refusals answers what was refused after a cursor, as soon as there is something or the pod drains.
func (m *Server) refusals(w http.ResponseWriter, r *http.Request) error {
	timeout, err := duration(r, "timeout", defaultWait)
	if err != nil {
		return err
	}
	expired := time.After(timeout)
	for cursor := r.URL.Query().Get("after"); ; {
		changed := m.Refusals.Changed()
		counts, next := m.Refusals.After(cursor)
		if len(counts) > 0 {
			return writeJSON(w, manageapi.Page[manageapi.Refusal]{Items: counts, Next: next})
		}
		cursor = next
		for waiting := true; waiting; {
			select {
			case <-changed:
				waiting = false
			case <-time.After(drainEvery):
				if m.draining.Load() {
					return writeJSON(w, manageapi.Page[manageapi.Refusal]{Items: []manageapi.Refusal{}, Next: next})
				}
			case <-expired:
				return writeJSON(w, manageapi.Page[manageapi.Refusal]{Items: []manageapi.Refusal{}, Next: next})
			case <-r.Context().Done():
				return nil
			}
		}
	}
}

// revision says what is served, as soon as that is the revision waited for.
func (m *Server) revision(w http.ResponseWriter, r *http.Request) error {
	timeout, err := duration(r, "timeout", defaultWait)
	if err != nil {
		return err
	}
	current := m.Sites.Current()
	if want := r.URL.Query().Get("wait"); want != "" {
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		current = m.Sites.Wait(ctx, want)
	}
	unready := m.Ready(r.Context())
	answer := manageapi.Revision{Ready: unready == nil, StoreProblem: storeProblem(unready)}
	if current != nil {
		answer.Revision = current.Revision
	}
	return writeJSON(w, answer)
}
