package controllers

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/tracing"
	"sallyport.dev/sallyport/internal/trust"
)

// Options is what the operator was started with.
type Options struct {
	// Image of the service provider's pods.
	Image string
	// Namespace of the operator itself. What it has told the audit log about is kept there, so that not even a deleted namespace goes untold.
	Namespace string
	// Namespaces are those that it works in. None: all.
	Namespaces []string
}

func (o Options) worksIn(namespace string) bool {
	return len(o.Namespaces) == 0 || slices.Contains(o.Namespaces, namespace)
}

func (o Options) check() error {
	if o.Image == "" {
		return fmt.Errorf("the image of the service provider is not known: set --service-provider-image or SERVICE_PROVIDER_IMAGE")
	}
	if o.Namespace == "" {
		return fmt.Errorf("the operator's own namespace is not known: set --namespace or POD_NAMESPACE")
	}
	return nil
}

// Reconciler makes passes. Client reads from the cache and writes; Live reads past the cache, for the contents of Secrets and ConfigMaps.
type Reconciler struct {
	Client client.Client
	Live   client.Reader
	Events events.EventRecorder
	Audit  audit.Writer
	Clock  clock.WithDelayedExecution
	// Pods says where the management API of a pod is.
	Pods AddressOf
	// Fetcher gets metadata from URLs.
	Fetcher trust.Source
	// LookUpTXT asks the DNS for domain verification.
	LookUpTXT LookUpTXT
	// MakeKey makes an RSA key for a connection. Nil: trust.NewRSAKey.
	MakeKey func() (*rsa.PrivateKey, error)
	Options Options
	// Metrics is where gauges are registered. Nil: nowhere.
	Metrics prometheus.Registerer
	// Tracer traces passes and fetches of metadata. Nil: nothing is traced.
	Tracer *tracing.Tracer

	wake      chan event.GenericEvent
	memory    memories
	alarms    *alarms
	gauges    *gauges
	arrivals  arrivals
	acks      *acknowledgements
	counting  *counting
	removals  *removals
	refusals  *refusals
	refresher *trust.Refresher
	keyPool   *keyPool
	proofs    *proofs
	thrift    *thrift
}

// Reconcile makes one pass over the ServiceProvider of that name and everything that refers to it, whether it exists or not.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	r.thrift.passes.Add(1)
	s := &scope{key: request.NamespacedName, now: r.Clock.Now(), memory: r.memory.of(request.NamespacedName), heard: r.arrivals.take(request.NamespacedName),
		contents: map[string]map[string][]byte{}, unheld: sets.New[types.UID]()}
	ctx, span := r.Tracer.Work(ctx, "operator.pass", tracing.About("k8s.namespace.name", request.Namespace), tracing.About("sso.serviceprovider", request.Name))
	defer span.End()
	err := s.run(ctx, []step{
		{"reading the objects", r.collect},
		{"reading what an earlier run has left", r.recall},
		{"mending what somebody else has changed", r.mend},
		{"holding IdentityProviders", r.hold},
		{"establishing trust", r.resolve},
		{"verifying domains", r.verify},
	})
	if err == nil {
		// What only a person can mend ends these steps, and the ones below go on: the pods serve what they have, and status says both.
		err = s.block(s.run(ctx, []step{
			{"compiling the snapshot", r.compile},
			{"recording what people have changed", r.recordChanges},
			{"publishing the snapshot", r.publish},
			{"applying the workload", r.workload},
		}))
	}
	if err == nil {
		err = s.run(ctx, []step{
			{"asking the pods", r.acknowledge},
			{"undoing what deleted IdentityProviders have left", r.undo},
			{"writing status", r.statuses},
			{"delivering audit records", r.deliverRecords},
			{"writing the ledger", r.settleLedger},
		})
	}
	if s.blocked != nil {
		span.Outcome(s.blocked.reason, "")
	}
	// Whatever failed, what is being deleted and held by nothing must be able to go.
	err = errors.Join(err, r.release(ctx, s))
	r.alarms.set(request.NamespacedName, s.alarm)
	if err != nil {
		span.Failed()
		r.arrivals.note(s.key, s.heard)
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: s.requeueAfter}, nil
}

// notify asks for a pass over one ServiceProvider.
func (r *Reconciler) notify(key types.NamespacedName) {
	object := &v1alpha1.ServiceProvider{}
	object.Namespace, object.Name = key.Namespace, key.Name
	r.wake <- event.GenericEvent{Object: object}
}

// blockedError is what only a person can mend: it is said in the status of the ServiceProvider, and looked at again from time to time.
type blockedError struct {
	reason, message string
	retry           time.Duration
}

func (e *blockedError) Error() string { return e.message }

// block keeps the first thing that only a person can mend, and returns every other error.
func (s *scope) block(err error) error {
	problem, ok := errors.AsType[*blockedError](err)
	if !ok {
		return err
	}
	if s.blocked == nil {
		s.blocked = problem
	}
	s.later(problem.retry)
	return nil
}

func blocked(reason string, retry time.Duration, format string, args ...any) error {
	return &blockedError{reason: reason, message: fmt.Sprintf(format, args...), retry: retry}
}
