package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	apply "sallyport.dev/sallyport/api/v1alpha1/applyconfiguration/api/v1alpha1"
)

// subject is one object with its status before and after the pass.
type subject struct {
	kind   string
	object client.Object
	// before and after are of the same status type, and the conditions are those in them.
	before, after                     any
	conditionsBefore, conditionsAfter []metav1.Condition
}

// change is a subject of which there is something to tell or to write.
type change struct {
	subject
	// told is what the audit log was told that the status is: before, unless a crash or an error came between telling and writing. Then the log is ahead.
	told  toldStatus
	ahead bool
	// news are what happened to the object besides its conditions, and happened everything that this pass tells of it.
	news, happened []news
}

// intent is a status to apply. The API server's answer, with the new resource version, ends up in meta.
type intent struct {
	object runtime.ApplyConfiguration
	meta   *metaac.ObjectMetaApplyConfiguration
}

// statuses writes what was found out, IdentityProviders first: the names of its bindings are on an IdentityProvider before any of them
// is Ready, so that there is no moment in which it could be deleted under a domain. What did not change is not written.
func (r *Reconciler) statuses(ctx context.Context, s *scope) error {
	if err := r.tellChanges(ctx, s); err != nil {
		return err
	}
	if err := r.tellDeletions(ctx, s); err != nil {
		return err
	}
	all := r.subjects(s)
	r.gauges.set(s, all)
	return r.writeChanged(ctx, s, all)
}

// tellAndWrite tells what has happened before any of the statuses is written. The ledger keeps until then that it was told, so that a crash in between neither loses it
// nor tells it twice.
func (r *Reconciler) tellAndWrite(ctx context.Context, s *scope, all []change) error {
	for i := range all {
		o := &all[i]
		o.happened = append(o.news, r.transitions(*o)...)
		if err := r.tell(ctx, s, o.happened); err != nil {
			return err
		}
		if o.ahead || slices.ContainsFunc(o.happened, func(n news) bool { return n.record != nil }) {
			s.memory.ledger.Statuses[o.object.GetUID()] = toldOf(o.after)
		}
		if o.same() {
			s.memory.ledger.written(o.object.GetUID())
		}
	}
	if err := r.keepRecords(ctx, s); err != nil {
		return err
	}
	for _, first := range []bool{true, false} {
		group, writers := errgroup.WithContext(ctx)
		group.SetLimit(parallelWrites)
		for _, o := range all {
			if (o.kind == v1alpha1.KindIdentityProvider) == first && !o.same() {
				r.write(group, writers, s, o)
			}
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// subjects are the objects that there is a status of.
func (r *Reconciler) subjects(s *scope) []subject {
	all := make([]subject, 0, len(s.idps)+len(s.bindings)+len(s.mappings)+1)
	for i := range s.idps {
		if f := s.output.Finding(v1alpha1.KindIdentityProvider, s.idps[i].Name); f != nil && !s.unheld.Has(s.idps[i].UID) {
			all = append(all, r.identityProvider(s, &s.idps[i], f))
		}
	}
	for i := range s.bindings {
		if f := s.output.Finding(v1alpha1.KindDomainBinding, s.bindings[i].Name); f != nil && s.tells(s.bindings[i].Spec.IdentityProviderRef) {
			all = append(all, r.domainBinding(s, &s.bindings[i], f))
		}
	}
	for i := range s.mappings {
		if f := s.output.Finding(v1alpha1.KindAttributeMapping, s.mappings[i].Name); f != nil && s.tells(s.mappings[i].Spec.IdentityProviderRef) {
			all = append(all, r.attributeMapping(s, &s.mappings[i], f))
		}
	}
	if s.serviceProvider != nil {
		all = append(all, r.serviceProvider(s))
	}
	return all
}

// tells is true when it is for this pass to say what becomes of an object that refers to that IdentityProvider. Where there is no such IdentityProvider, every ServiceProvider
// of the namespace has a finding, and one may find a conflict where another does not: only the first by name says its own.
func (s *scope) tells(of v1alpha1.IdentityProviderReference) bool {
	return !s.follows || s.idpNamed(string(of.Name)) != nil
}

// intent makes the apply configuration.
func (o subject) intent() intent {
	name, namespace, uid := o.object.GetName(), o.object.GetNamespace(), o.object.GetUID()
	switch status := o.after.(type) {
	case v1alpha1.ServiceProviderStatus:
		ac := apply.ServiceProvider(name, namespace).WithUID(uid).WithStatus(convert[apply.ServiceProviderStatusApplyConfiguration](status))
		return intent{ac, ac.ObjectMetaApplyConfiguration}
	case v1alpha1.IdentityProviderStatus:
		ac := apply.IdentityProvider(name, namespace).WithUID(uid).WithStatus(convert[apply.IdentityProviderStatusApplyConfiguration](status))
		return intent{ac, ac.ObjectMetaApplyConfiguration}
	case v1alpha1.DomainBindingStatus:
		ac := apply.DomainBinding(name, namespace).WithUID(uid).WithStatus(convert[apply.DomainBindingStatusApplyConfiguration](status))
		return intent{ac, ac.ObjectMetaApplyConfiguration}
	case v1alpha1.AttributeMappingStatus:
		ac := apply.AttributeMapping(name, namespace).WithUID(uid).WithStatus(convert[apply.AttributeMappingStatusApplyConfiguration](status))
		return intent{ac, ac.ObjectMetaApplyConfiguration}
	}
	panic(fmt.Sprintf("controllers: %T is no status", o.after))
}

// write applies a status.
func (r *Reconciler) write(group *errgroup.Group, ctx context.Context, s *scope, o change) {
	group.Go(func() error {
		intent := o.intent()
		err := r.Client.Status().Apply(ctx, intent.object, client.FieldOwner(ownerStatus), client.ForceOwnership)
		if apierrors.IsNotFound(err) {
			return nil // deleted since it was read: its own event brings another pass
		}
		if fromOlderKinds(err) {
			r.askForNewerKinds(ctx, s, o, err)
			// No binding may become Ready while its name is not on its IdentityProvider.
			if o.kind != v1alpha1.KindIdentityProvider {
				return nil
			}
		}
		if err != nil {
			return fmt.Errorf("status of %s %s: %w", o.kind, o.object.GetName(), err)
		}
		s.wrote(o, ptr.Deref(intent.meta.ResourceVersion, ""))
		return nil
	})
}

// wrote remembers a status until the cache shows it.
func (s *scope) wrote(o change, version string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.memory.written[o.object.GetUID()] = writtenStatus{version: version, status: o.after}
	s.memory.ledger.written(o.object.GetUID())
	for _, n := range o.happened {
		delete(s.memory.told, n.key)
	}
}

// convert turns a status of the API into its apply configuration; both have the same JSON form by construction.
func convert[T any](from any) *T {
	encoded, err := json.Marshal(from)
	if err != nil {
		panic(fmt.Sprintf("controllers: %T does not marshal: %v", from, err))
	}
	to := new(T)
	if err := json.Unmarshal(encoded, to); err != nil {
		panic(fmt.Sprintf("controllers: %T is not %T: %v", from, to, err))
	}
	return to
}
