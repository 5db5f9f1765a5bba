package controllers

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"sallyport.dev/sallyport/controllers"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/tracing"
	"sallyport.dev/sallyport/internal/trust"
)

// operator is one running operator, of one namespace, with a namespace of its own beside it.
type operator struct {
	t       testing.TB
	ns      string
	home    string
	clock   clock.WithDelayedExecution
	dns     controllers.LookUpTXT
	audit   *auditLog
	wire    *wire
	metrics *prometheus.Registry
	// fetcher is how metadata is fetched.
	fetcher trust.FetcherOptions
	tracer  *tracing.Tracer
	// as is who it is to the API server; empty: somebody who may do everything.
	as rest.ImpersonationConfig

	cancel context.CancelFunc
	done   chan error
}

// option shapes an operator before it starts.
type option func(*operator)

func withClock(c clock.WithDelayedExecution) option { return func(o *operator) { o.clock = c } }
func withFetcher(f trust.FetcherOptions) option     { return func(o *operator) { o.fetcher = f } }
func withTracer(to *tracing.Tracer) option          { return func(o *operator) { o.tracer = to } }
func withDNS(lookUp controllers.LookUpTXT) option   { return func(o *operator) { o.dns = lookUp } }

// newOperator starts an operator for the namespace and stops it with the test.
func newOperator(t testing.TB, ns string, options ...option) *operator {
	t.Helper()
	o := &operator{t: t, ns: ns, home: namespace(t), clock: clock.RealClock{}, audit: &auditLog{}, wire: &wire{},
		fetcher: trust.FetcherOptions{AllowLoopback: true, Timeout: 2 * time.Second}}
	for _, option := range options {
		option(o)
	}
	o.start()
	t.Cleanup(o.stop)
	return o
}

func (o *operator) start() {
	o.t.Helper()
	o.wire.begin()
	o.metrics = prometheus.NewRegistry()
	connection := rest.CopyConfig(apiServer)
	connection.Impersonate = o.as
	connection.Wrap(o.wire.wrap)
	manager, err := ctrl.NewManager(connection, ctrl.Options{Scheme: objects, Metrics: metricsserver.Options{BindAddress: "0"},
		Cache: controllers.CacheOptions([]string{o.ns}), Controller: config.Controller{SkipNameValidation: ptr.To(true)}, GracefulShutdownTimeout: ptr.To(patience)})
	if err != nil {
		o.t.Fatal(err)
	}
	reconciler := &controllers.Reconciler{
		Client: manager.GetClient(), Live: manager.GetAPIReader(), Events: manager.GetEventRecorder("sallyport-operator"), Audit: o.audit,
		Clock: o.clock, Pods: addressOf, Metrics: o.metrics, LookUpTXT: o.dns, MakeKey: spareKey,
		Fetcher: trust.NewFetcher(o.fetcher), Tracer: o.tracer,
		Options: controllers.Options{Image: "sallyport.dev/sallyport:test", Namespace: o.home, Namespaces: []string{o.ns}},
	}
	if err := reconciler.SetUp(manager); err != nil {
		o.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o.cancel, o.done = cancel, make(chan error, 1)
	go func() { o.done <- manager.Start(ctx) }()
}

func (o *operator) stop() {
	o.cancel()
	// A test that crashes the operator makes it stop in disorder.
	if err := <-o.done; err != nil && !errors.Is(err, errCrashed) {
		o.t.Errorf("the operator stopped: %v", err)
	}
	o.done <- nil
}

// restart stops the operator and starts another one, which knows nothing of what the first one has kept in memory.
func (o *operator) restart() {
	o.stop()
	o.wire.revive()
	o.start()
}

// spareKey hands out real RSA keys, from a few that are made once: making thousands would take longer than all tests together.
var spareKey = func() func() (*rsa.PrivateKey, error) {
	var mutex sync.Mutex
	var keys []*rsa.PrivateKey
	next := 0
	return func() (*rsa.PrivateKey, error) {
		mutex.Lock()
		defer mutex.Unlock()
		if len(keys) < 4 {
			key, err := trust.NewRSAKey(nil)
			if err != nil {
				return nil, err
			}
			keys = append(keys, key)
			return key, nil
		}
		next++
		return keys[next%len(keys)], nil
	}
}()

// errCrashed is what an operator gets from the API server after its crash.
var errCrashed = errors.New("the operator has crashed")

// wire is the operator's connection to the API server: it counts writes, and cuts the connection after one of them.
type wire struct {
	mutex      sync.Mutex
	writes     []string
	crashAfter int // 0: never
	crashed    chan struct{}
	dead       bool
	// away is true while the API server cannot be reached; watched changes what comes over a watch. Nil: nothing does.
	away    bool
	watched func(io.ReadCloser) io.ReadCloser
	// lost is the end of the path of an object that no write reaches.
	lost string
	// begun is true when there was a write since the operator was started.
	begun bool
}

func (w *wire) wrap(base http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if w.isDead() {
			return nil, errCrashed
		}
		away, watched := w.faults(request)
		if away {
			return nil, errAway
		}
		response, err := base.RoundTrip(request)
		if err == nil && watched != nil && request.URL.Query().Get("watch") != "" {
			response.Body = watched(response.Body)
		}
		if err == nil && isWrite(request) && w.wrote(request) {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			return nil, errCrashed
		}
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func isWrite(request *http.Request) bool {
	return request.Method != http.MethodGet && !strings.Contains(request.URL.Path, "/events")
}

func (w *wire) isDead() bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.dead
}

// wrote notes a write that has reached the API server, and tells whether the operator dies before it hears of it.
func (w *wire) wrote(request *http.Request) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.writes, w.begun = append(w.writes, request.Method+" "+request.URL.Path), true
	if w.crashAfter == 0 || len(w.writes) != w.crashAfter {
		return false
	}
	w.dead = true
	close(w.crashed)
	return true
}

// crash makes the operator die right after its k-th write, counted from now, and returns what is closed then.
func (w *wire) crash(k int) <-chan struct{} {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.writes, w.crashAfter, w.crashed, w.dead = nil, k, make(chan struct{}), false
	return w.crashed
}

func (w *wire) revive() { w.crash(0) }

// begin forgets that the operator before has written.
func (w *wire) begin() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.begun = false
}

// hasBegun tells whether the operator that runs now has written. It always does in its first pass.
func (w *wire) hasBegun() bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.begun
}

// take returns the writes since the last call.
func (w *wire) take() []string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	writes := w.writes
	w.writes = nil
	return writes
}

// auditLog keeps what the operator recorded.
type auditLog struct {
	mutex   sync.Mutex
	records []audit.Record
}

// Write adds a record.
func (l *auditLog) Write(_ context.Context, r audit.Record) error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.records = append(l.records, r)
	return nil
}

// count returns how many records of the type there are about the object; an empty name counts all.
func (l *auditLog) count(recordType audit.Type, name string) int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	n := 0
	for _, r := range l.records {
		if r.Type == recordType && (name == "" || r.Target.Name == name) {
			n++
		}
	}
	return n
}

// about returns how many records of the type there are about that very object.
func (l *auditLog) about(recordType audit.Type, object client.Object) int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	n := 0
	for _, r := range l.records {
		if r.Type == recordType && r.Target.UID == string(object.GetUID()) {
			n++
		}
	}
	return n
}

// stories are the types of the records about each of the objects, in the order of the types. What was told again after a crash has the same key and counts once.
func (l *auditLog) stories(about ...client.Object) []string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	told := map[string]bool{}
	var all []string
	for _, r := range l.records {
		i := slices.IndexFunc(about, func(o client.Object) bool { return string(o.GetUID()) == r.Target.UID })
		encoded, err := json.Marshal(r.Details)
		var key struct{ Transition string }
		if i < 0 || err != nil || json.Unmarshal(encoded, &key) != nil || told[key.Transition] {
			continue
		}
		told[key.Transition] = true
		all = append(all, about[i].GetName()+" "+r.Type.String())
	}
	slices.Sort(all)
	return all
}

// remembers tells whether the ledger has the object.
func (o *operator) remembers(t testing.TB, object client.Object) bool {
	t.Helper()
	return slices.ContainsFunc(o.ledgers(t), func(l keptLedger) bool { return strings.Contains(l.text, string(object.GetUID())) })
}

// keptLedger is a ledger as it is in its Secret.
type keptLedger struct {
	text                     string
	Records                  []json.RawMessage
	Entries, Ahead, Statuses map[string]json.RawMessage
}

// ledgers are those of all ServiceProviders.
func (o *operator) ledgers(t testing.TB) (all []keptLedger) {
	t.Helper()
	var secrets corev1.SecretList
	if err := k8s.List(t.Context(), &secrets, client.InNamespace(o.home)); err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets.Items {
		for _, packed := range secret.Data {
			reader, err := gzip.NewReader(bytes.NewReader(packed))
			if err != nil {
				continue
			}
			content, err := io.ReadAll(reader)
			l := keptLedger{text: string(content)}
			if err != nil || json.Unmarshal(content, &l) != nil {
				t.Fatalf("the ledger in %s cannot be read: %v", secret.Name, err)
			}
			all = append(all, l)
		}
	}
	return all
}
