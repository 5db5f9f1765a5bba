package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	apply "sallyport.dev/sallyport/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
)

func held(idp *v1alpha1.IdentityProvider) bool {
	return slices.Contains(idp.Finalizers, v1alpha1.FinalizerDomainBindings)
}

// hold puts the finalizer on every IdentityProvider that is or will be served, before it has keys: its sessions end before its keys go, and a domain that is bound
// to it in the very moment of its deletion still keeps it. One that has gone meanwhile is an error: no binding of it may become Ready.
// Of a great many new ones some are left to the next pass, which is the first to look at them.
func (r *Reconciler) hold(ctx context.Context, s *scope) error {
	holders, writers := errgroup.WithContext(ctx)
	holders.SetLimit(parallelWrites)
	for i := range s.idps {
		idp := &s.idps[i]
		if !s.ownsIdP(idp) || held(idp) || idp.DeletionTimestamp != nil || s.idle(idp) {
			continue
		}
		if _, served := s.memory.published.connection(idp); !served && !s.bound(idp) && !s.another(&s.firstHold) {
			s.unheld.Insert(idp.UID)
			continue
		}
		holders.Go(func() error {
			there, err := r.applyFinalizer(writers, s, idp)
			if err == nil && !there {
				return fmt.Errorf("IdentityProvider %s was deleted a moment ago", idp.Name)
			}
			return err
		})
	}
	return holders.Wait()
}

// idle tells whether there is nothing to hold an IdentityProvider for: nobody serves it, and no domain is bound to it.
func (s *scope) idle(idp *v1alpha1.IdentityProvider) bool {
	return s.serviceProvider == nil && !s.bound(idp)
}

// release takes the finalizer off every IdentityProvider that nothing holds any more, so that it can go at once. It runs whatever happened
// to the rest of the pass: nothing may hang on a missing ServiceProvider, a namespace that takes no new objects, or a pod that does not answer.
func (r *Reconciler) release(ctx context.Context, s *scope) error {
	var errs []error
	for i := range s.idps {
		if idp := &s.idps[i]; s.ownsIdP(idp) && held(idp) && (s.idle(idp) || s.goes(idp) && !s.parts(idp)) {
			errs = append(errs, r.dropFinalizer(ctx, s, idp))
		}
	}
	return errors.Join(errs...)
}

// bound tells whether any DomainBinding holds the IdentityProvider.
func (s *scope) bound(idp *v1alpha1.IdentityProvider) bool {
	if s.bindingsOf == nil {
		s.bindingsOf = map[string][]*v1alpha1.DomainBinding{}
		for i := range s.bindings {
			name := string(s.bindings[i].Spec.IdentityProviderRef.Name)
			s.bindingsOf[name] = append(s.bindingsOf[name], &s.bindings[i])
		}
	}
	return slices.ContainsFunc(s.bindingsOf[idp.Name], func(b *v1alpha1.DomainBinding) bool { return compile.Holds(b, idp) })
}

// applyFinalizer writes our finalizer, and tells whether the object was there.
func (r *Reconciler) applyFinalizer(ctx context.Context, s *scope, idp *v1alpha1.IdentityProvider) (there bool, err error) {
	// The UID keeps the apply from making a new object of the same name.
	intent := apply.IdentityProvider(idp.Name, idp.Namespace).WithUID(idp.UID).WithFinalizers(v1alpha1.FinalizerDomainBindings)
	err = r.Client.Apply(ctx, intent, client.FieldOwner(ownerFinalizer), client.ForceOwnership)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return false, nil // its event brings another pass
	}
	if err != nil {
		return false, err
	}
	s.leftFinalizers(idp, ptr.Deref(intent.ResourceVersion, ""), intent.Finalizers)
	return true, nil
}

// dropFinalizer takes our finalizer off and leaves those of others. It is no apply: that would only take off what we have applied, and one that came back from a backup
// belongs to whoever has restored it.
func (r *Reconciler) dropFinalizer(ctx context.Context, s *scope, idp *v1alpha1.IdentityProvider) error {
	var now v1alpha1.IdentityProvider
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(idp), &now)
	if apierrors.IsNotFound(err) || err == nil && now.UID != idp.UID {
		return nil
	}
	if err != nil {
		return err
	}
	before := now.DeepCopy()
	now.Finalizers = slices.DeleteFunc(now.Finalizers, func(f string) bool { return f == v1alpha1.FinalizerDomainBindings })
	// The list is written as a whole, so the version that was read must still be there.
	err = r.Client.Patch(ctx, &now, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner(ownerFinalizer))
	if apierrors.IsConflict(err) {
		s.later(settle)
		return nil
	}
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	s.leftFinalizers(idp, now.ResourceVersion, now.Finalizers)
	return nil
}

// leftFinalizers remembers, until the cache shows them, the finalizers that an object was left with.
func (s *scope) leftFinalizers(idp *v1alpha1.IdentityProvider, version string, names []string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.memory.finalizers[idp.UID] = writtenFinalizers{version: version, names: names}
}
