package controllers

import (
	"context"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
)

// SetUp registers the reconciler with the manager.
func (r *Reconciler) SetUp(manager ctrl.Manager) error {
	if err := r.Options.check(); err != nil {
		return err
	}
	r.wake = make(chan event.GenericEvent, 1024)
	r.acks = newAcknowledgements(r.Ask, r.notify)
	changed := builder.WithPredicates(specChanged)
	yes := true
	return ctrl.NewControllerManagedBy(manager).
		Named("sallyport").
		For(&v1alpha1.ServiceProvider{}, changed).
		Watches(&v1alpha1.IdentityProvider{}, r.settled(r.referrers), changed).
		Watches(&v1alpha1.DomainBinding{}, r.settled(r.referrers), changed).
		Watches(&v1alpha1.AttributeMapping{}, r.settled(r.referrers), changed).
		Watches(&corev1.Pod{}, r.settled(r.referrers), builder.WithPredicates(ownPods)).
		Watches(&corev1.Secret{}, r.settled(r.everyServiceProvider), builder.OnlyMetadata, builder.WithPredicates(notOurs)).
		Watches(&corev1.ConfigMap{}, r.settled(r.everyServiceProvider), builder.OnlyMetadata, builder.WithPredicates(notOurs)).
		Owns(&appsv1.Deployment{}, builder.OnlyMetadata, builder.WithPredicates(r.drift())).
		Owns(&appsv1.StatefulSet{}, builder.OnlyMetadata, builder.WithPredicates(r.drift())).
		Owns(&corev1.Service{}, builder.OnlyMetadata, builder.WithPredicates(r.drift())).
		WatchesRawSource(source.Channel(r.wake, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: 4,
			ReconciliationTimeout:   passTimeout,
			EnableWarmup:            &yes,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
		}).
		Complete(r)
}

// settled delays a pass a little, so that a burst of changes is one pass.
func (r *Reconciler) settled(to handler.MapFunc) handler.EventHandler {
	enqueue := func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request], objects ...client.Object) {
		for _, object := range objects {
			for _, request := range to(ctx, object) {
				queue.AddAfter(request, settle)
			}
		}
	}
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		CreateFunc:  func(ctx context.Context, e event.CreateEvent, q queue) { enqueue(ctx, q, e.Object) },
		UpdateFunc:  func(ctx context.Context, e event.UpdateEvent, q queue) { enqueue(ctx, q, e.ObjectOld, e.ObjectNew) },
		DeleteFunc:  func(ctx context.Context, e event.DeleteEvent, q queue) { enqueue(ctx, q, e.Object) },
		GenericFunc: func(ctx context.Context, e event.GenericEvent, q queue) { enqueue(ctx, q, e.Object) },
	}
}

// specChanged passes what a person changed: the spec, an annotation, a deletion. Not our own status.
var specChanged = predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero() ||
			!slices.Equal(e.ObjectOld.GetFinalizers(), e.ObjectNew.GetFinalizers())
	},
	CreateFunc: func(event.CreateEvent) bool { return true },
	DeleteFunc: func(event.DeleteEvent) bool { return true },
})

var ownPods = predicate.NewPredicateFuncs(func(object client.Object) bool {
	return object.GetLabels()[render.LabelName] == "sallyport" && object.GetLabels()[render.LabelComponent] == "service-provider"
})

// notOurs passes Secrets and ConfigMaps of users: metadata and certificates may come from any of them.
var notOurs = predicate.NewPredicateFuncs(func(object client.Object) bool {
	return object.GetLabels()[render.LabelManagedBy] != "sallyport-operator"
})

// drift makes the next pass apply the workload again when somebody else has changed it.
func (r *Reconciler) drift() predicate.Predicate {
	forget := func(object client.Object) {
		r.applied.forget(client.ObjectKey{Namespace: object.GetNamespace(), Name: object.GetLabels()[render.LabelInstance]})
	}
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			if e.ObjectOld.GetGeneration() == e.ObjectNew.GetGeneration() && maps.Equal(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels()) {
				return false
			}
			forget(e.ObjectOld)
			return true
		},
		DeleteFunc: func(e event.DeleteEvent) bool { forget(e.Object); return true },
	}
}

// LeaseDuration and the rest make another replica take over within seconds when the leader dies, and at once when it stops in order.
const (
	LeaseDuration = 10 * time.Second
	RenewDeadline = 7 * time.Second
	RetryPeriod   = 2 * time.Second
)
