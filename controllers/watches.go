package controllers

import (
	"context"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/internal/resolve"
	"sallyport.dev/sallyport/internal/trust"
)

// referenceIndex finds the IdentityProviders and ServiceProviders that refer to a Secret or ConfigMap.
const referenceIndex = "references"

// workloadKinds are what the operator owns besides Secrets: when somebody changes or deletes one of them, it is applied again.
func workloadKinds() []client.Object {
	return []client.Object{&appsv1.Deployment{}, &appsv1.StatefulSet{}, &corev1.Service{}, &corev1.ServiceAccount{}, &rbacv1.Role{}, &rbacv1.RoleBinding{},
		&policyv1.PodDisruptionBudget{}, &networkingv1.NetworkPolicy{}, &networkingv1.Ingress{}}
}

// CacheOptions are what the manager's cache needs: of everything but our own kinds, pods and references only what is ours, and no contents of
// Secrets and ConfigMaps ever. Namespaces empty: all.
func CacheOptions(namespaces []string) cache.Options {
	mine := labels.SelectorFromSet(labels.Set{render.LabelManagedBy: render.ManagedBy})
	options := cache.Options{DefaultTransform: cache.TransformStripManagedFields(), ByObject: map[client.Object]cache.ByObject{
		&v1alpha1.ServiceProvider{}:  {Transform: keepWho},
		&v1alpha1.IdentityProvider{}: {Transform: keepWho},
		&v1alpha1.DomainBinding{}:    {Transform: keepWho},
		&v1alpha1.AttributeMapping{}: {Transform: keepWho},
		&corev1.Pod{}:                {Label: mine},
	}}
	for _, kind := range workloadKinds() {
		options.ByObject[kind] = cache.ByObject{Label: mine}
	}
	for _, namespace := range namespaces {
		if options.DefaultNamespaces == nil {
			options.DefaultNamespaces = map[string]cache.Config{}
		}
		options.DefaultNamespaces[namespace] = cache.Config{}
	}
	return options
}

// keepWho leaves of the managed fields of our own kinds who changed them and when, for the audit log. Which fields they changed is a large part of an object, and
// nothing looks at it.
func keepWho(object any) (any, error) {
	if o, err := meta.Accessor(object); err == nil {
		entries := o.GetManagedFields()
		for i := range entries {
			entries[i].FieldsV1 = nil
		}
		o.SetManagedFields(entries)
	}
	return object, nil
}

// SetUp registers the reconciler, and what it does in the background, with the manager.
func (r *Reconciler) SetUp(m ctrl.Manager) error {
	if err := r.Options.check(); err != nil {
		return err
	}
	r.wake = make(chan event.GenericEvent, 1024)
	r.alarms, r.gauges = newAlarms(r.Clock, r.notify), newGauges()
	if r.Metrics != nil {
		if err := r.Metrics.Register(r.gauges); err != nil {
			return err
		}
	}
	r.acks = newAcknowledgements(r.Pods, r.notify, r.Clock)
	r.removals = newRemovals(r.Pods, r.notify, r.Clock)
	r.refusals = newRefusals(r.Pods, r.Client, r.memory.ownerOf, r.Clock)
	r.counting = newCounting(r.Pods, r.notify, r.Clock)
	r.refresher = trust.NewRefresher(trust.RefresherOptions{Source: r.Fetcher, Clock: r.Clock, OnChange: r.metadataChanged, Tracer: r.Tracer, About: r.connection})
	r.keyPool = newKeyPool(r.MakeKey)
	r.thrift = &thrift{clock: r.Clock, release: debug.FreeOSMemory}
	r.proofs = newProofs(r.LookUpTXT, r.notify, r.Clock)
	jumps := &jumps{r.Clock, r.notify, func() []types.NamespacedName { return r.memory.in("") }}
	for _, background := range []manager.Runnable{r.refresher, r.keyPool, r.acks, r.counting, r.refusals, r.thrift, jumps, manager.RunnableFunc(r.openLedgers)} {
		if err := m.Add(background); err != nil {
			return err
		}
	}
	for _, kind := range []client.Object{&v1alpha1.IdentityProvider{}, &v1alpha1.ServiceProvider{}} {
		if err := m.GetFieldIndexer().IndexField(context.Background(), kind, referenceIndex, indexReferences); err != nil {
			return err
		}
	}
	changed := builder.WithPredicates(specChanged)
	warm := true
	b := ctrl.NewControllerManagedBy(m).
		Named("sallyport").
		Watches(&v1alpha1.ServiceProvider{}, r.settled(r.neighbours), changed).
		Watches(&v1alpha1.IdentityProvider{}, r.settled(r.concerned), changed).
		Watches(&v1alpha1.DomainBinding{}, r.settled(r.concerned), changed).
		Watches(&v1alpha1.AttributeMapping{}, r.settled(r.concerned), changed).
		Watches(&corev1.Pod{}, r.settled(instance), builder.WithPredicates(podChanged)).
		Watches(&corev1.Secret{}, r.settled(r.referring("Secret")), builder.OnlyMetadata, builder.WithPredicates(predicate.Not(ours))).
		Watches(&corev1.Secret{}, r.settled(instance), builder.OnlyMetadata, builder.WithPredicates(domainKeySecrets)).
		Watches(&corev1.ConfigMap{}, r.settled(r.referring("ConfigMap")), builder.OnlyMetadata, builder.WithPredicates(predicate.Not(ours))).
		WatchesMetadata(&corev1.Secret{}, r.meddling(func(o client.Object) string { return o.GetName() }, (*memory).suspect), builder.WithPredicates(ours))
	for _, kind := range workloadKinds() {
		gvk, err := m.GetClient().GroupVersionKindFor(kind)
		if err != nil {
			return err
		}
		name := func(o client.Object) string { return workloadKey(gvk.Kind, o.GetName()) }
		b = b.WatchesMetadata(kind, r.meddling(name, func(m *memory, _ string) { m.drift() }), builder.WithPredicates(ours, meant))
	}
	return b.WatchesRawSource(source.Channel(r.wake, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: 4,
			ReconciliationTimeout:   passTimeout,
			EnableWarmup:            &warm,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
		}).
		Complete(r)
}

func indexReferences(object client.Object) []string {
	var all []resolve.Reference
	switch o := object.(type) {
	case *v1alpha1.IdentityProvider:
		all = resolve.OfIdentityProvider(o)
	case *v1alpha1.ServiceProvider:
		all = resolve.OfServiceProvider(o)
	}
	var names []string
	for _, ref := range all {
		names = append(names, ref.Kind+"/"+ref.Name)
	}
	return names
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// settled delays a pass a little, so that a burst of changes is one pass.
func (r *Reconciler) settled(to handler.MapFunc) handler.EventHandler {
	enqueue := func(ctx context.Context, q queue, objects ...client.Object) {
		for _, object := range objects {
			for _, request := range to(ctx, object) {
				r.arrivals.note(request.NamespacedName, r.Clock.Now())
				q.AddAfter(request, settle)
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { enqueue(ctx, q, e.Object) },
		// What it referred to before is concerned too.
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

// podChanged passes what says something about readiness.
var podChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*corev1.Pod)
	after, ok2 := e.ObjectNew.(*corev1.Pod)
	if !ok || !ok2 {
		return true
	}
	was, wasReady := readySince(before)
	is, isReady := readySince(after)
	return wasReady != isReady || !was.Equal(is) || runOf(before) != runOf(after) || !isReady && podTrouble(before) != podTrouble(after)
}}

// ours are objects that the operator has made.
var ours = predicate.NewPredicateFuncs(func(object client.Object) bool { return object.GetLabels()[render.LabelManagedBy] == render.ManagedBy })

// meant leaves out changes of status: those have no new generation.
var meant = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	return e.ObjectNew.GetGeneration() == 0 || e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() || !maps.Equal(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels())
}}

// meddling asks for another pass when somebody else has changed or deleted what is ours. Our own writes are told apart by their resource
// version; the event of one may come before the answer to it, so it is looked at a moment later.
func (r *Reconciler) meddling(nameOf func(client.Object) string, note func(*memory, string)) handler.EventHandler {
	const moment = 200 * time.Millisecond
	suspect := func(object client.Object, deleted bool) {
		key := types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetLabels()[render.LabelInstance]}
		m, name, version := r.memory.known(key), nameOf(object), object.GetResourceVersion()
		if m == nil || !deleted && m.ours(name, version) {
			return
		}
		r.after(moment, func() {
			if !deleted && m.ours(name, version) {
				return
			}
			note(m, name)
			r.notify(key)
		})
	}
	return handler.Funcs{
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, _ queue) { suspect(e.ObjectNew, false) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, _ queue) { suspect(e.Object, true) },
	}
}

// after runs something once the time has passed.
func (r *Reconciler) after(d time.Duration, do func()) {
	go func() {
		<-r.Clock.After(d)
		do()
	}()
}

func itself(_ context.Context, object client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(object)}}
}

// neighbours are the ServiceProvider and the others of its namespace: one of them may have to take over what is for the first of them to say, see tells.
func (r *Reconciler) neighbours(ctx context.Context, object client.Object) []reconcile.Request {
	requests := itself(ctx, object)
	for _, request := range r.anyServiceProvider(ctx, object.GetNamespace()) {
		if request != requests[0] {
			requests = append(requests, request)
		}
	}
	return requests
}

// instance is the ServiceProvider whose label an object carries.
func instance(_ context.Context, object client.Object) []reconcile.Request {
	name := object.GetLabels()[render.LabelInstance]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name}}}
}

// concerned returns the ServiceProvider that a change of the object concerns.
func (r *Reconciler) concerned(ctx context.Context, object client.Object) []reconcile.Request {
	var idp v1alpha1.ObjectName
	switch o := object.(type) {
	case *v1alpha1.IdentityProvider:
		return []reconcile.Request{serviceProviderOf(o)}
	case *v1alpha1.DomainBinding:
		idp = o.Spec.IdentityProviderRef.Name
	case *v1alpha1.AttributeMapping:
		idp = o.Spec.IdentityProviderRef.Name
	}
	var found v1alpha1.IdentityProvider
	if err := r.Client.Get(ctx, types.NamespacedName{Namespace: object.GetNamespace(), Name: string(idp)}, &found); err == nil {
		return []reconcile.Request{serviceProviderOf(&found)}
	}
	return r.anyServiceProvider(ctx, object.GetNamespace())
}

func serviceProviderOf(idp *v1alpha1.IdentityProvider) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: idp.Namespace, Name: string(idp.Spec.ServiceProviderRef.Name)}}
}

// anyServiceProvider is for what refers to no IdentityProvider that exists: every ServiceProvider of the namespace could be meant, also one that is gone
// and of which the audit log has not been told everything. Where there is none, a pass over the one without a name tells it so.
func (r *Reconciler) anyServiceProvider(ctx context.Context, namespace string) []reconcile.Request {
	var list v1alpha1.ServiceProviderList
	if err := r.Client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing the ServiceProviders", "namespace", namespace)
	}
	var requests []reconcile.Request
	for i := range list.Items {
		requests = append(requests, itself(ctx, &list.Items[i])...)
	}
	for _, key := range r.memory.in(namespace) {
		if request := (reconcile.Request{NamespacedName: key}); !slices.Contains(requests, request) {
			requests = append(requests, request)
		}
	}
	if len(requests) == 0 {
		requests = []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: namespace}}}
	}
	return requests
}

// referring returns the ServiceProviders that refer to a Secret or ConfigMap, or whose IdentityProviders do.
func (r *Reconciler) referring(kind string) handler.MapFunc {
	return func(ctx context.Context, object client.Object) []reconcile.Request {
		var idps v1alpha1.IdentityProviderList
		err := r.Client.List(ctx, &idps, client.InNamespace(object.GetNamespace()), client.MatchingFields{referenceIndex: kind + "/" + object.GetName()})
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "listing the IdentityProviders", "namespace", object.GetNamespace())
		}
		var requests []reconcile.Request
		for i := range idps.Items {
			requests = append(requests, serviceProviderOf(&idps.Items[i]))
		}
		var sps v1alpha1.ServiceProviderList
		err = r.Client.List(ctx, &sps, client.InNamespace(object.GetNamespace()), client.MatchingFields{referenceIndex: kind + "/" + object.GetName()})
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "listing the ServiceProviders", "namespace", object.GetNamespace())
		}
		for i := range sps.Items {
			requests = append(requests, itself(ctx, &sps.Items[i])...)
		}
		return requests
	}
}
