// Package web puts the service provider's HTTP surface together: the public port, the management port, and what runs beside them. What is answered is the matter of
// the packages below it.
package web

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/internal/audit/ration"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/session/secondfactor"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/tracing"
	"sallyport.dev/sallyport/internal/web/account"
	"sallyport.dev/sallyport/internal/web/admin"
	"sallyport.dev/sallyport/internal/web/authz"
	"sallyport.dev/sallyport/internal/web/jwt"
	"sallyport.dev/sallyport/internal/web/management"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/outbox"
	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/refusals"
	"sallyport.dev/sallyport/internal/web/secondstep"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/signin"
	"sallyport.dev/sallyport/internal/web/site"
)

// Options of New. Store is required.
type Options struct {
	Store store.Store
	Clock clock.WithTicker
	Log   *slog.Logger
	// TokenFile holds the bearer token of the management API.
	TokenFile string
	// Sessions tunes the session cache; its Clock is set here.
	Sessions session.Options
	// SecondFactorKeys encrypt second factors, 32 bytes each, the first for new ones. Without any there is no second step: a connection that requires it signs nobody in.
	SecondFactorKeys [][]byte
	// AuditKeys are the public keys that verify the audit log's checkpoints.
	AuditKeys []ed25519.PublicKey
	// Audit receives the audit log as lines of JSON; nil delivers nothing.
	Audit func(lines []store.AuditLine) error
	// Tracer traces sign-ins; nil traces nothing. Whoever made it closes it.
	Tracer *tracing.Tracer
}

// Server is the service provider without its listeners. It is safe for concurrent use.
type Server struct {
	env        *serve.Env
	people     *provision.Service
	gate       *authz.Gate
	management *management.Server
	public     http.Handler
	audit      func([]store.AuditLine) error
	outbox     *outbox.Outbox
	ticker     clock.WithTicker
	steady     *steady

	factorKeys [][]byte
	factors    atomic.Pointer[factorsOf]

	// inherited are the IdPs that the store knew before this process read its first snapshot.
	inherited []store.IdPRef

	draining atomic.Bool
	// enforce wakes the loop that ends what a new snapshot does not allow.
	enforce chan struct{}
}

// factorsOf is the second step of one service provider's URL: passkeys are bound to its host.
type factorsOf struct {
	url     string
	service *secondfactor.Service
}

// New puts everything together. Serve Public and Management, call Run beside them, and Apply for each snapshot.
func New(ctx context.Context, o Options) (*Server, error) {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Audit != nil {
		if err := o.Store.RegisterSink(ctx, stdoutSink); err != nil {
			return nil, err
		}
	}
	m := metrics.New()
	o.Store = m.Store(o.Store)
	o.Sessions.Clock = o.Clock
	inherited, err := o.Store.IdPs(ctx)
	if err != nil {
		return nil, err
	}
	sessions, err := session.NewManager(o.Store, o.Sessions)
	if err != nil {
		return nil, err
	}
	env := &serve.Env{Sites: &site.Holder{}, Store: o.Store, Sessions: sessions, Clock: o.Clock, Log: o.Log, Metrics: m, Tracer: o.Tracer,
		Strangers: ration.New(o.Clock, o.Store.WriteAudit, m.RefusalsCounted.Inc), Refusals: refusals.New(o.Clock.Now())}
	env.Metrics.SessionCache(sessions.CacheStats)
	s := &Server{
		env: env, people: provision.NewService(o.Store, env.Strangers), gate: authz.NewGate(env), audit: o.Audit, ticker: o.Clock, steady: newSteady(o.Clock), enforce: make(chan struct{}, 1),
		factorKeys: o.SecondFactorKeys, inherited: inherited,
	}
	s.outbox = outbox.New(outbox.Options{Store: o.Store, Clock: o.Clock, Log: o.Log, Metrics: env.Metrics})
	s.management = management.New(management.Options{Env: env, People: s.people, TokenFile: o.TokenFile, SecondFactor: s.secondFactor, AuditKeys: o.AuditKeys})
	s.public = s.routes()
	return s, nil
}

// Apply puts a snapshot into service that may be older than what other replicas serve, such as a mounted copy: it decides what this one does, and changes
// nothing in the store. On an error the one before stays.
func (s *Server) Apply(in snapshot.Snapshot, revision string) error {
	return s.apply(in, revision, nil, false)
}

// ApplyLatest does the same with one that was read after New where snapshots are made. What the store has kept of IdPs that are not in it is undone: they were
// deleted while nobody was here to be told, such as together with the ServiceProvider whose volume or database this is.
func (s *Server) ApplyLatest(in snapshot.Snapshot, revision string) error {
	return s.apply(in, revision, s.inherited, true)
}

func (s *Server) apply(in snapshot.Snapshot, revision string, inherited []store.IdPRef, latest bool) error {
	next, broken, err := site.Compile(s.env.Sites.Current(), in, revision)
	m := s.env.Metrics
	if err != nil {
		m.SnapshotErrors.Inc()
		s.env.Log.Error("the snapshot cannot be served; the last good one stays", "revision", revision, "error", err)
		return err
	}
	if err := s.bindFactors(next); err != nil {
		m.SnapshotErrors.Inc()
		s.env.Log.Error("the snapshot cannot be served; the last good one stays", "revision", revision, "error", err)
		return err
	}
	for _, b := range broken {
		s.env.Log.Error("a connection cannot be served and is left out", "idp", b.Connection, "error", b.Err)
	}
	if bounds := in.ServiceProvider.DebugLog; bounds.MaxEntries > 0 && bounds.Retention > 0 {
		s.env.Store.SetDebugBounds(bounds.MaxEntries, bounds.Retention)
	}
	s.outbox.Apply(in.ServiceProvider.AuditSinks, latest)
	next.Dismiss(inherited)
	s.env.Sites.Swap(next)
	m.Snapshot.Reset()
	m.Snapshot.WithLabelValues(revision).Set(1)
	m.SnapshotLoaded.Set(float64(s.env.Clock.Now().Unix()))
	countConnections(m, in, len(broken))
	s.env.Log.Info("serving a snapshot", "revision", revision, "connections", len(in.Connections)-len(broken), "domains", len(in.Domains))
	if !latest {
		return nil
	}
	select {
	case s.enforce <- struct{}{}:
	default:
	}
	return nil
}

// bindFactors makes the second step for the service provider's URL, where there is a key.
func (s *Server) bindFactors(next *site.Site) error {
	base := next.Snapshot.ServiceProvider.URL
	if known := s.factors.Load(); len(s.factorKeys) == 0 || known != nil && known.url == base {
		return nil
	}
	service, err := secondfactor.New(s.env.Store, secondfactor.Options{Keys: s.factorKeys, Issuer: next.Host, RPID: next.Hostname(), Origins: []string{base}})
	if err != nil {
		return err
	}
	s.factors.Store(&factorsOf{base, service})
	return nil
}

// secondFactor is the second step of now, nil without a key.
func (s *Server) secondFactor() *secondfactor.Service {
	if known := s.factors.Load(); known != nil {
		return known.service
	}
	return nil
}

func countConnections(m *metrics.Metrics, in snapshot.Snapshot, broken int) {
	states := map[string]float64{"usable": 0, "disabled": 0, "waiting": 0, "broken": float64(broken)}
	for _, c := range in.Connections {
		switch {
		case !c.Enabled:
			states["disabled"]++
		case c.Trust == nil:
			states["waiting"]++
		default:
			states["usable"]++
		}
	}
	states["usable"] -= float64(broken)
	for _, c := range in.Connections {
		// From 0, so that the first sign-in is an increase.
		m.SignIns.WithLabelValues(c.Name, "success", "")
	}
	for state, n := range states {
		m.Connections.WithLabelValues(state).Set(max(0, n))
	}
}

// Public is the handler of the public port, Management that of the other.
func (s *Server) Public() http.Handler     { return s.public }
func (s *Server) Management() http.Handler { return s.management.Handler() }

// Metrics answers GET /metrics and nothing else, on a port that needs no token and has nothing else to protect.
func (s *Server) Metrics() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.env.Metrics.Handler())
	return mux
}

// Drain fails readiness from now on, and asks clients to open their next connection elsewhere. Everything is still answered.
func (s *Server) Drain() {
	s.management.Drain()
	s.draining.Store(true)
}

// Envoy's path prefixes: see authz.Gate.Envoy.
const (
	envoyPrefix     = "/authz/envoy"
	envoyWithPrefix = "/authz/envoy-with"
)

// routes takes forward-auth checks past the router and its middleware: they are nine of ten requests, and Envoy's carry paths that a router would clean.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(http.ResponseWriter, *http.Request, *site.Site)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if current := s.env.Sites.Current(); current != nil {
				f(w, r, current)
				return
			}
			w.Header().Set("Retry-After", "1")
			http.Error(w, "The service provider is starting.", http.StatusServiceUnavailable)
		})
	}
	secondStep := ""
	if len(s.factorKeys) > 0 {
		secondStep = secondstep.Path
	}
	signin.New(signin.Options{Env: s.env, People: s.people, SecondFactor: secondStep}).Routes(handle)
	account.New(s.env, s.people, secondStep).Routes(handle)
	secondstep.New(s.env, s.secondFactor).Routes(handle)
	admin.New(s.env, s.management).Routes(handle)
	handle("/", s.notFound)
	mux.Handle("GET /assets/", pages.Assets())
	handle("GET "+jwt.KeysPath, func(w http.ResponseWriter, r *http.Request, current *site.Site) {
		if current.Signer == nil {
			s.notFound(w, r, current)
			return
		}
		current.Signer.ServeKeys(w, r)
	})
	inner := s.measured(s.sameOrigin(mux))
	nginx, forward := s.gate.Nginx(), s.gate.Forward()
	envoy, envoyWith := s.gate.Envoy(envoyPrefix, false), s.gate.Envoy(envoyWithPrefix, true)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header()["Connection"] = closeConnection
		}
		switch path := r.URL.Path; {
		case path == "/authz/nginx":
			nginx.ServeHTTP(w, r)
		case path == "/authz/forward":
			forward.ServeHTTP(w, r)
		case strings.HasPrefix(path, envoyWithPrefix+"/"):
			envoyWith.ServeHTTP(w, r)
		case strings.HasPrefix(path, envoyPrefix+"/"):
			envoy.ServeHTTP(w, r)
		default:
			inner.ServeHTTP(w, r)
		}
	})
}

var closeConnection = []string{"close"}

func (s *Server) notFound(w http.ResponseWriter, _ *http.Request, current *site.Site) {
	s.env.Page(w, current, http.StatusNotFound, pages.Message{Heading: "There is nothing here", Sentence: "The address may be misspelt, or out of date.",
		Action: &pages.Link{URL: "/account", Label: "Your account"}})
}

// sameOrigin refuses requests that change something and come from pages of other origins, by Sec-Fetch-Site and Origin. IdPs post to two addresses,
// which trust nothing but signatures.
func (s *Server) sameOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.AddInsecureBypassPattern("POST /saml/{idp}/acs")
	protection.AddInsecureBypassPattern("POST /saml/{idp}/slo")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		current := s.env.Sites.Current()
		// Behind a proxy that changes the Host header, the origin is our own URL all the same.
		if err := protection.Check(r); err != nil && (current == nil || r.Header.Get("Origin") != current.Snapshot.ServiceProvider.URL || r.Header.Get("Sec-Fetch-Site") == "cross-site") {
			if current == nil {
				http.Error(w, "forbidden", http.StatusForbidden)
				return
			}
			s.env.Page(w, current, http.StatusForbidden, pages.Message{Heading: "This request was blocked", Sentence: "Another website sent this request in your name, and it was not carried out.",
				Action: &pages.Link{URL: "/account", Label: "Your account"}})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// answered remembers the status of an answer.
type answered struct {
	http.ResponseWriter
	status int
}

func (a *answered) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answered) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// measured times requests and turns a panic into an error that says nothing.
func (s *Server) measured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started, a := time.Now(), &answered{ResponseWriter: w}
		defer func() {
			fault := recover()
			if fault != nil && fault != http.ErrAbortHandler {
				s.env.Log.Error("a request panicked", "route", r.Pattern, "stack", string(debug.Stack()))
				if a.status == 0 {
					http.Error(a, "Something went wrong.", http.StatusInternalServerError)
				}
			}
			s.env.Metrics.Requests.WithLabelValues(route(r), strconv.Itoa(a.status/100)+"xx").Observe(time.Since(started).Seconds())
			if fault == http.ErrAbortHandler {
				panic(fault) // half an answer must not look like all of it: the server cuts the connection
			}
		}()
		next.ServeHTTP(a, r)
	})
}

// route is the pattern that answered: a closed set, whatever is asked for.
func route(r *http.Request) string {
	if r.Pattern == "" {
		return "none"
	}
	return r.Pattern
}

// Run follows revocations and runs the background tasks until ctx ends.
func (s *Server) Run(ctx context.Context) error { return s.runBackground(ctx) }
