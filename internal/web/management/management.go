// Package management is the service provider's second port: health, metrics, and an API for the operator and `kubectl sso`. It is in no Service;
// the API asks for the bearer token that only who may read the ServiceProvider's Secret has.
package management

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/web/serve"
)

const (
	// maxWait bounds how long a request for a revision waits for it.
	maxWait = 30 * time.Second
	// pingTimeout bounds what readiness waits for the store.
	pingTimeout = time.Second
	// deniedEvery is the least time between two audit records of requests without a token; the metric counts them all.
	deniedEvery = time.Second
)

// Server answers on the management port.
type Server struct {
	env *serve.Env
	// token returns the bearer token of now: it is read from a file that may be replaced.
	token func() (string, error)

	draining   atomic.Bool
	lastDenied atomic.Int64
}

// New makes a Server.
func New(env *serve.Env, token func() (string, error)) *Server {
	return &Server{env: env, token: token}
}

// Drain makes readiness fail from now on: proxies send nobody any more, and those that are late are still served.
func (s *Server) Drain() { s.draining.Store(true) }

// Handler is everything on the port.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", s.env.Metrics.Handler())
	mux.Handle("GET /v1/revision", s.guarded(s.revision))
	mux.Handle("/v1/", s.guarded(func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "there is no "+r.Method+" on this path")
	}))
	return mux
}

// ready is true when a snapshot is served, the store answers, and nobody has asked to stop.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), pingTimeout)
	defer cancel()
	switch {
	case s.draining.Load():
		text(w, http.StatusServiceUnavailable, "stopping")
	case s.env.Sites.Current() == nil:
		text(w, http.StatusServiceUnavailable, "waiting for the first snapshot")
	case s.env.Store.Ping(ctx) != nil:
		s.env.Metrics.StoreUp.Set(0)
		text(w, http.StatusServiceUnavailable, "the store does not answer")
	default:
		s.env.Metrics.StoreUp.Set(1)
		text(w, http.StatusOK, "ok")
	}
}

// revision answers with what is served, at the latest after timeout and at once when that is the revision in wait.
func (s *Server) revision(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if want := query.Get("wait"); want != "" {
		timeout, err := time.ParseDuration(query.Get("timeout"))
		if err != nil || timeout <= 0 {
			fail(w, http.StatusBadRequest, "timeout must be a duration such as 5s")
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), min(timeout, maxWait))
		defer cancel()
		s.env.Sites.Wait(ctx, want)
	}
	answer := struct {
		Revision string `json:"revision"`
		Ready    bool   `json:"ready"`
	}{Ready: !s.draining.Load()}
	if site := s.env.Sites.Current(); site != nil {
		answer.Revision = site.Revision
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// guarded lets only requests with the token through; the others are counted and recorded.
func (s *Server) guarded(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := s.token()
		if err != nil || token == "" {
			s.env.Log.Error("the management token cannot be read", "error", err)
			fail(w, http.StatusServiceUnavailable, "the management token cannot be read: see the log of the pod")
			return
		}
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		// Digests have one length, so that the comparison tells nothing about the token's.
		wanted, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(given))
		if !ok || subtle.ConstantTimeCompare(wanted[:], got[:]) != 1 {
			s.denied(r)
			w.Header().Set("WWW-Authenticate", "Bearer")
			fail(w, http.StatusUnauthorized, "a valid bearer token is needed: it is in the Secret <service-provider>-management")
			return
		}
		next(w, r)
	})
}

func (s *Server) denied(r *http.Request) {
	s.env.Metrics.ManagementDenied.Inc()
	now := s.env.Clock.Now()
	last := s.lastDenied.Load()
	if now.UnixNano()-last < deniedEvery.Nanoseconds() || !s.lastDenied.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	record := audit.Record{Type: audit.TypeManagementDenied, Outcome: audit.OutcomeDenied, Reason: "token_invalid", Actor: audit.Actor{Kind: audit.ActorSystem, IP: remoteIP(r)}}
	if err := s.env.Store.WriteAudit(r.Context(), record); err != nil {
		s.env.Log.Error("a denied management request could not be recorded", "error", err)
	}
}

func remoteIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}

func text(w http.ResponseWriter, status int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(line + "\n"))
}

func fail(w http.ResponseWriter, status int, sentence string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": sentence})
}
