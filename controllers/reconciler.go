package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
)

// Options is what the operator was started with.
type Options struct {
	// Image of the service provider's pods.
	Image string
	// Namespace of the operator itself.
	Namespace string
}

// Reconciler makes passes. Client reads from the cache and writes; Live reads past the cache, for the contents of Secrets and ConfigMaps.
type Reconciler struct {
	Client  client.Client
	Live    client.Reader
	Events  events.EventRecorder
	Audit   audit.Writer
	Clock   clock.PassiveClock
	Ask     RevisionOf
	Fetcher *trust.Fetcher
	Options Options

	acks            *acknowledgements
	wake            chan event.GenericEvent
	knownKeys       memory[types.UID, []snapshot.SPKey]
	parsed          parsedMetadata
	fetches         memory[types.UID, *fetch]
	published       memory[types.NamespacedName, *published]
	servedSnapshots memory[types.NamespacedName, *snapshot.Snapshot]
	applied         memory[types.NamespacedName, [32]byte]
}

// Reconcile makes one pass over the ServiceProvider of that name and everything that refers to it, whether it exists or not.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	s := &scope{key: request.NamespacedName, now: r.Clock.Now()}
	err := s.run(ctx, []step{
		{"reading the objects", r.collect},
		{"establishing trust", r.resolve},
		{"compiling the snapshot", r.compile},
		{"publishing the snapshot", r.publish},
		{"applying the workload", r.workload},
		{"asking the pods", r.acknowledge},
		{"writing status", r.statuses},
	})
	// What has changed is told even when a later step failed: the next pass will not see it as a change any more.
	err = errors.Join(err, r.tell(ctx, s))
	if err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: s.requeueAfter}, nil
}

func (r *Reconciler) collect(ctx context.Context, s *scope) error {
	var sp v1alpha1.ServiceProvider
	switch err := r.Client.Get(ctx, s.key, &sp); {
	case err == nil && sp.DeletionTimestamp == nil:
		s.serviceProvider = &sp
	case err != nil && !apierrors.IsNotFound(err):
		return err
	default:
		r.forget(s.key)
	}
	var (
		idps     v1alpha1.IdentityProviderList
		bindings v1alpha1.DomainBindingList
		mappings v1alpha1.AttributeMappingList
	)
	if err := inNamespace(ctx, r.Client, s, &idps, &bindings, &mappings); err != nil {
		return err
	}
	s.idps, s.bindings, s.mappings = idps.Items, bindings.Items, mappings.Items
	return r.recall(ctx, s)
}

// recall remembers what is published, or finds it out after a restart.
func (r *Reconciler) recall(ctx context.Context, s *scope) error {
	previous, ok := r.published.get(s.key)
	if !ok {
		var err error
		if previous, err = r.readPublished(ctx, s.key); err != nil {
			return err
		}
		r.setPublished(s.key, previous)
	}
	s.previous = previous
	return nil
}

func (r *Reconciler) compile(_ context.Context, s *scope) error {
	in := compile.Input{Name: s.key.Name, ServiceProvider: s.serviceProvider, IdentityProviders: s.idps, DomainBindings: s.bindings,
		AttributeMappings: s.mappings, Resolved: s.resolved, Verified: s.verified}
	if s.previous.encoded != nil {
		in.Previous = &s.previous.snapshot
	}
	s.output = compile.Compile(in)
	if s.output.Snapshot == nil {
		return nil
	}
	var err error
	s.encoded, err = snapshot.EncodeAfter(s.previous.encoded, *s.output.Snapshot)
	return err
}

func (r *Reconciler) forget(key types.NamespacedName) {
	r.published.forget(key)
	r.servedSnapshots.forget(key)
	r.applied.forget(key)
}

// notify asks for a pass over one ServiceProvider.
func (r *Reconciler) notify(key types.NamespacedName) {
	object := &v1alpha1.ServiceProvider{}
	object.Namespace, object.Name = key.Namespace, key.Name
	r.wake <- event.GenericEvent{Object: object}
}

// referrers returns the key of the ServiceProvider that a change of the object concerns.
func (r *Reconciler) referrers(ctx context.Context, object client.Object) []reconcile.Request {
	key := types.NamespacedName{Namespace: object.GetNamespace()}
	idp := ""
	switch o := object.(type) {
	case *v1alpha1.IdentityProvider:
		key.Name = string(o.Spec.ServiceProviderRef.Name)
		return []reconcile.Request{{NamespacedName: key}}
	case *v1alpha1.DomainBinding:
		idp = string(o.Spec.IdentityProviderRef.Name)
	case *v1alpha1.AttributeMapping:
		idp = string(o.Spec.IdentityProviderRef.Name)
	case *corev1.Pod:
		if key.Name = o.Labels["app.kubernetes.io/instance"]; key.Name == "" {
			return nil
		}
		return []reconcile.Request{{NamespacedName: key}}
	}
	var found v1alpha1.IdentityProvider
	if err := r.Client.Get(ctx, types.NamespacedName{Namespace: key.Namespace, Name: idp}, &found); err == nil {
		key.Name = string(found.Spec.ServiceProviderRef.Name)
		return []reconcile.Request{{NamespacedName: key}}
	}
	// What refers to nothing is told so by every ServiceProvider of the namespace that could be meant.
	return r.everyServiceProvider(ctx, object)
}

// everyServiceProvider is for changes that may concern any of the namespace, such as of a Secret that metadata comes from.
func (r *Reconciler) everyServiceProvider(ctx context.Context, object client.Object) []reconcile.Request {
	var list v1alpha1.ServiceProviderList
	if err := r.Client.List(ctx, &list, client.InNamespace(object.GetNamespace())); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing the ServiceProviders", "namespace", object.GetNamespace())
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// backoff bounds how long a failed pass waits: long enough for a cluster in trouble, short enough for a person who watches.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 2 * time.Minute
)

func (o Options) check() error {
	if o.Image == "" {
		return fmt.Errorf("the image of the service provider is not known: set --service-provider-image or SERVICE_PROVIDER_IMAGE")
	}
	return nil
}
