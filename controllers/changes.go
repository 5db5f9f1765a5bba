package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/snapshot"
)

// tellChanges tells what people did to the objects: created, changed, deleted. It compares with the ledger, and with the generation that
// the status is about.
func (r *Reconciler) tellChanges(ctx context.Context, s *scope) error {
	l := s.memory.ledger
	there := map[types.UID]bool{}
	if sp := s.serviceProvider; sp != nil {
		there[sp.UID] = true
		if err := r.tellChange(ctx, s, v1alpha1.KindServiceProvider, sp, sp.Status.Conditions, ledgerEntry{}); err != nil {
			return err
		}
	}
	for i := range s.idps {
		idp := &s.idps[i]
		there[idp.UID] = true
		if !s.ownsIdP(idp) {
			continue
		}
		entry := ledgerEntry{Disabled: idp.Spec.State == v1alpha1.StateDisabled, Verbose: s.verbose(idp),
			Scrub: idp.Spec.Deletion.MirroredAttributes == v1alpha1.MirroredAttributesScrub}
		if err := r.tellChange(ctx, s, v1alpha1.KindIdentityProvider, idp, idp.Status.Conditions, entry); err != nil {
			return err
		}
	}
	for i := range s.bindings {
		b := &s.bindings[i]
		there[b.UID] = true
		entry := ledgerEntry{Domain: b.Spec.Domain, IdentityProvider: string(b.Spec.IdentityProviderRef.Name)}
		if err := r.tellOf(ctx, s, v1alpha1.KindDomainBinding, b, b.Status.Conditions, entry); err != nil {
			return err
		}
	}
	for i := range s.mappings {
		m := &s.mappings[i]
		there[m.UID] = true
		entry := ledgerEntry{IdentityProvider: string(m.Spec.IdentityProviderRef.Name)}
		if err := r.tellOf(ctx, s, v1alpha1.KindAttributeMapping, m, m.Status.Conditions, entry); err != nil {
			return err
		}
	}
	for uid, entry := range l.gone(there) {
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
func (r *Reconciler) tellOf(ctx context.Context, s *scope, kind string, object client.Object, conditions []metav1.Condition, entry ledgerEntry) error {
	for i := range s.idps {
		if s.idps[i].Name != entry.IdentityProvider {
			continue
		}
		if s.ownsIdP(&s.idps[i]) {
			return r.tellChange(ctx, s, kind, object, conditions, entry)
		}
		s.memory.ledger.remove(object.GetUID())
	}
	return nil
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
func (r *Reconciler) tellChange(ctx context.Context, s *scope, kind string, object client.Object, conditions []metav1.Condition, entry ledgerEntry) error {
	entry.Kind, entry.Name = kind, object.GetName()
	before, known := s.memory.ledger.Entries[object.GetUID()]
	var all []news
	add := func(recordType audit.Type, event *eventNote, d details, parts ...string) {
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
			add(audit.TypeSAMLIdPDisabled, &eventNote{reason: "Disabled", action: "Serve", note: "Nobody can sign in through it any more, and its sessions end."}, details{}, "disabled")
		} else {
			add(audit.TypeSAMLIdPEnabled, &eventNote{reason: "Enabled", action: "Serve", note: "People can sign in through it again."}, details{}, "enabled")
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
	accepted := meta.FindStatusCondition(conditions, v1alpha1.ConditionAccepted)
	if known && accepted != nil && accepted.ObservedGeneration > 0 && accepted.ObservedGeneration != object.GetGeneration() {
		d := s.difference(kind, object)
		// A deletion makes a new generation too, and is told when it is done.
		own = own || object.GetDeletionTimestamp() != nil
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

func updatedNote(object client.Object, d details) string {
	note := fmt.Sprintf("Generation %d was read", object.GetGeneration())
	if len(d.Updated) > 0 {
		note += ": changed are " + few(d.Updated, 5)
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

// secretSettings are never shown, and noise is what changes with every generation or has records of its own.
var (
	secretSettings = []string{"keys", "trust"}
	noise          = []string{"generation", "uid", "enabled", "verboseUntil", "mapping"}
)

// difference names the settings of an object that differ between what is published and what is about to be, as far as they are in the snapshot.
func (s *scope) difference(kind string, object client.Object) details {
	var before, after any
	switch o := object.(type) {
	case *v1alpha1.ServiceProvider:
		if s.before == nil || s.wanted == nil {
			return details{}
		}
		before, after = shown(s.before.snapshot.ServiceProvider), shown(s.wanted.snapshot.ServiceProvider)
	case *v1alpha1.IdentityProvider:
		b, known := s.before.connection(o)
		a, wanted := s.wanted.connection(o)
		if !known || !wanted {
			return details{}
		}
		before, after = b, a
	case *v1alpha1.AttributeMapping:
		n, known := s.before.mappingOf(o)
		m, wanted := s.wanted.mappingOf(o)
		if !known || !wanted {
			return details{}
		}
		before, after = n, m
	default:
		return details{}
	}
	return compareSettings(before, after)
}

// shown is the settings without what is secret: of the audit sinks their keys, and what follows the path of their URLs.
func shown(sp snapshot.ServiceProvider) snapshot.ServiceProvider {
	sp.AuditSinks = slices.Clone(sp.AuditSinks)
	for i := range sp.AuditSinks {
		sink := &sp.AuditSinks[i]
		sink.Secret, sink.CABundle = nil, nil
		sink.Endpoint, _, _ = strings.Cut(sink.Endpoint, "?")
	}
	return sp
}

func compareSettings(before, after any) details {
	was, is := map[string]string{}, map[string]string{}
	flatten("", plainJSON(before), was)
	flatten("", plainJSON(after), is)
	d := details{Before: map[string]string{}, After: map[string]string{}}
	for path := range is {
		if was[path] != is[path] {
			d.Updated = append(d.Updated, path)
		}
	}
	for path := range was {
		if _, still := is[path]; !still {
			d.Updated = append(d.Updated, path)
		}
	}
	slices.Sort(d.Updated)
	for _, path := range d.Updated {
		if value := was[path]; value != "" {
			d.Before[path] = shortValue(value)
		}
		if value := is[path]; value != "" {
			d.After[path] = shortValue(value)
		}
	}
	return d
}

func shortValue(value string) string {
	const most = 200
	if len(value) > most {
		return strings.ToValidUTF8(value[:most], "") + "..."
	}
	return value
}

func plainJSON(value any) any {
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil
	}
	var plain any
	_ = json.Unmarshal(encoded, &plain)
	return plain
}

// flatten lists settings by path. Lists are one value, so that a path stays what people write.
func flatten(path string, value any, into map[string]string) {
	object, ok := value.(map[string]any)
	if !ok {
		encoded, _ := json.Marshal(value)
		into[path] = strings.Trim(string(encoded), `"`)
		return
	}
	for name, inner := range object {
		if path == "" && (slices.Contains(secretSettings, name) || slices.Contains(noise, name)) {
			continue
		}
		flatten(strings.TrimPrefix(path+"."+name, "."), inner, into)
	}
}

// mappingOf returns the mapping that a snapshot has from an AttributeMapping.
func (s *served) mappingOf(m *v1alpha1.AttributeMapping) (any, bool) {
	if s == nil || s.snapshot == nil {
		return nil, false
	}
	n, ok := s.connections[string(m.Spec.IdentityProviderRef.Name)]
	if !ok || s.snapshot.Connections[n].Mapping.UID != string(m.UID) {
		return nil, false
	}
	return ptr.To(s.snapshot.Connections[n].Mapping), true
}
