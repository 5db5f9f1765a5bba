package controllers

import (
	"context"
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
)

// recordChanges keeps what people did in the ledger before any of it is published: what was published before is what it is compared with.
func (r *Reconciler) recordChanges(ctx context.Context, s *scope) error {
	if err := r.tellChanges(ctx, s); err != nil {
		return err
	}
	return r.keepRecords(ctx, s)
}

// tellChanges tells, once in a pass, what people did to the objects that are there: created or changed.
func (r *Reconciler) tellChanges(ctx context.Context, s *scope) error {
	if s.changesTold {
		return nil
	}
	if sp := s.serviceProvider; sp != nil {
		if err := r.tellChange(ctx, s, v1alpha1.KindServiceProvider, sp, ledgerEntry{}); err != nil {
			return err
		}
	}
	for i := range s.idps {
		idp := &s.idps[i]
		if !s.ownsIdP(idp) {
			continue
		}
		entry := ledgerEntry{Disabled: idp.Spec.State == v1alpha1.StateDisabled, Verbose: s.verbose(idp),
			Scrub: idp.Spec.Deletion.MirroredAttributes == v1alpha1.MirroredAttributesScrub}
		if err := r.tellChange(ctx, s, v1alpha1.KindIdentityProvider, idp, entry); err != nil {
			return err
		}
	}
	for i := range s.bindings {
		b := &s.bindings[i]
		entry := ledgerEntry{Domain: b.Spec.Domain, IdentityProvider: string(b.Spec.IdentityProviderRef.Name)}
		if err := r.tellOf(ctx, s, v1alpha1.KindDomainBinding, b, entry); err != nil {
			return err
		}
	}
	for i := range s.mappings {
		m := &s.mappings[i]
		entry := ledgerEntry{IdentityProvider: string(m.Spec.IdentityProviderRef.Name)}
		if err := r.tellOf(ctx, s, v1alpha1.KindAttributeMapping, m, entry); err != nil {
			return err
		}
	}
	s.changesTold = true
	return nil
}

// tellDeletions tells of the objects that are not there any more.
func (r *Reconciler) tellDeletions(ctx context.Context, s *scope) error {
	l := s.memory.ledger
	for uid, entry := range l.gone(s.there()) {
		if s.undone[uid] {
			// The service provider has recorded the deletion, with what it came to.
			if s.serviceProvider != nil {
				if err := r.tell(ctx, s, []news{r.removedNews(s, uid, entry.Name)}); err != nil {
					return err
				}
			}
			l.remove(uid)
			continue
		}
		if entry.Kind == v1alpha1.KindIdentityProvider && (s.serviceProvider != nil || s.undoing[uid]) {
			continue
		}
		if err := r.tell(ctx, s, []news{s.deleted(uid, entry)}); err != nil {
			return err
		}
		l.remove(uid)
	}
	return nil
}

// tellOf tells about an object that refers to an IdentityProvider. One that refers to none is nobody's yet, and one that has moved to
// another ServiceProvider is in that one's ledger.
func (r *Reconciler) tellOf(ctx context.Context, s *scope, kind string, object client.Object, entry ledgerEntry) error {
	idp := s.idpNamed(entry.IdentityProvider)
	switch {
	case idp == nil:
		return nil
	case s.ownsIdP(idp):
		return r.tellChange(ctx, s, kind, object, entry)
	}
	s.memory.ledger.remove(object.GetUID())
	return nil
}

// idpNamed returns the IdentityProvider of a name, or nil.
func (s *scope) idpNamed(name string) *v1alpha1.IdentityProvider {
	if s.idpsByName == nil {
		s.idpsByName = make(map[string]*v1alpha1.IdentityProvider, len(s.idps))
		for i := range s.idps {
			s.idpsByName[s.idps[i].Name] = &s.idps[i]
		}
	}
	return s.idpsByName[name]
}

// verbose tells whether verbose logging is on, and asks for another pass when it ends.
func (s *scope) verbose(idp *v1alpha1.IdentityProvider) bool {
	if idp.Spec.Debug == nil || idp.Spec.Debug.VerboseUntil == nil || !s.now.Before(idp.Spec.Debug.VerboseUntil.Time) {
		return false
	}
	s.laterAt(idp.Spec.Debug.VerboseUntil.Time)
	return true
}

// tellChange compares one object with what was told of it.
func (r *Reconciler) tellChange(ctx context.Context, s *scope, kind string, object client.Object, entry ledgerEntry) error {
	entry.Kind, entry.Name, entry.Generation = kind, object.GetName(), object.GetGeneration()
	before, known := s.memory.ledger.Entries[object.GetUID()]
	var all []news
	spans := generations(before.Generation, entry.Generation)
	add := func(recordType audit.Type, event *eventNote, d details, parts ...string) {
		d.Generations = spans
		all = append(all, news{key: key(object, append(parts, strconv.FormatInt(object.GetGeneration(), 10))...), kind: kind, about: object, event: event,
			record: &audit.Record{Type: recordType, Actor: actor(object), Details: d}})
	}
	if !known {
		add(createdType[kind], nil, details{Domain: entry.Domain, IdentityProvider: entry.IdentityProvider}, "created")
	}
	own := false
	if before.Disabled != entry.Disabled && (known || entry.Disabled) {
		own = true
		if entry.Disabled {
			add(audit.TypeSAMLIdPDisabled, &eventNote{reason: "Disabled", action: "Serve", note: "Nobody can sign in through this IdentityProvider any more, and its sessions end."}, details{}, "disabled")
		} else {
			add(audit.TypeSAMLIdPEnabled, &eventNote{reason: "Enabled", action: "Serve", note: "People can sign in through this IdentityProvider again."}, details{}, "enabled")
		}
	}
	if before.Verbose != entry.Verbose {
		if own = true; entry.Verbose {
			add(audit.TypeSAMLIdPVerboseLoggingEnabled, &eventNote{reason: "VerboseLoggingEnabled", action: "Serve", note: "Successful responses are in the debug log too, until spec.debug.verboseUntil."}, details{}, "verbose")
		} else {
			add(audit.TypeSAMLIdPVerboseLoggingDisabled, &eventNote{reason: "VerboseLoggingDisabled", action: "Serve", note: "Verbose logging has ended."}, details{}, "not verbose")
		}
	}
	if known && before.IdentityProvider != entry.IdentityProvider && kind == v1alpha1.KindDomainBinding {
		own = true
		add(audit.TypeSAMLDomainRebound, &eventNote{reason: "Rebound", action: "Bind",
			note: fmt.Sprintf("%s is bound to IdentityProvider %s instead of %s: people of the domain move at their next sign-in.", entry.Domain, entry.IdentityProvider, before.IdentityProvider)},
			details{Domain: entry.Domain, Before: map[string]string{"identityProvider": before.IdentityProvider}, After: map[string]string{"identityProvider": entry.IdentityProvider}}, "rebound")
	}
	if known && before.Generation != entry.Generation {
		d := s.difference(object)
		// A deletion makes a new generation too, and is told when it is done.
		own = own || object.GetDeletionTimestamp() != nil
		d.Generations = spans
		if recordType, ok := updatedType[kind]; ok && (!own || len(d.Updated) > 0) {
			add(recordType, &eventNote{reason: "Updated", action: "Check", note: updatedNote(object, d)}, d, "updated")
		}
	}
	if err := r.tell(ctx, s, all); err != nil {
		return err
	}
	s.memory.ledger.set(object.GetUID(), entry)
	return nil
}

// generations is the range (such as 4-7) that one record covers when several generations were seen at once. Edits that were reverted in between, and their authors, are
// not recorded.
func generations(told, now int64) string {
	if now-told < 2 {
		return ""
	}
	return fmt.Sprintf("%d-%d", told+1, now)
}

func updatedNote(object client.Object, d details) string {
	note := fmt.Sprintf("Generation %d observed", object.GetGeneration())
	if d.Generations != "" {
		note = fmt.Sprintf("Generations %s observed together", d.Generations)
	}
	if len(d.Updated) > 0 {
		note += "; changed: " + few(d.Updated, 5)
	}
	return note + "."
}

var (
	createdType = map[string]audit.Type{
		v1alpha1.KindServiceProvider: audit.TypeServiceProviderCreated, v1alpha1.KindIdentityProvider: audit.TypeSAMLIdPCreated,
		v1alpha1.KindDomainBinding: audit.TypeSAMLDomainBound, v1alpha1.KindAttributeMapping: audit.TypeAttributeMappingCreated,
	}
	updatedType = map[string]audit.Type{
		v1alpha1.KindServiceProvider: audit.TypeServiceProviderUpdated, v1alpha1.KindIdentityProvider: audit.TypeSAMLIdPUpdated,
		v1alpha1.KindAttributeMapping: audit.TypeAttributeMappingUpdated,
	}
	deletedType = map[string]audit.Type{
		v1alpha1.KindServiceProvider: audit.TypeServiceProviderDeleted, v1alpha1.KindIdentityProvider: audit.TypeSAMLIdPDeleted,
		v1alpha1.KindDomainBinding: audit.TypeSAMLDomainUnbound, v1alpha1.KindAttributeMapping: audit.TypeAttributeMappingDeleted,
	}
)

// deleted is the news of an object that is gone. Who deleted it is in the API server's audit log; the object itself cannot tell any more.
func (s *scope) deleted(uid types.UID, entry ledgerEntry) news {
	return news{
		key: keyOf(string(uid), "deleted"), kind: entry.Kind,
		record: &audit.Record{Type: deletedType[entry.Kind], Actor: audit.Actor{Kind: audit.ActorKubernetes},
			Target:  audit.Target{Kind: entry.Kind, Namespace: s.key.Namespace, Name: entry.Name, UID: string(uid)},
			Details: details{Domain: entry.Domain, IdentityProvider: entry.IdentityProvider}},
	}
}
