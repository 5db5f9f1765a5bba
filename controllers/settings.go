package controllers

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/snapshot"
)

// secretSettings are never shown, and noise is what changes with every generation or has records of its own.
var (
	secretSettings = []string{"keys", "trust"}
	noise          = []string{"generation", "uid", "enabled", "verboseUntil", "mapping"}
)

// settings are those of one object that may be shown, by path.
type settings map[string]string

// difference names the settings of an object that differ between what was told of last and what is about to be published, as far as they are in the snapshot. What was told
// last is what is published, unless a crash or an error came in between: the ledger keeps that until it is published.
func (s *scope) difference(object client.Object) details {
	before, after, ok := s.settingsOf(object)
	if !ok {
		return details{}
	}
	published, wanted := settingsIn(before), settingsIn(after)
	told := maps.Clone(published)
	maps.Copy(told, s.memory.ledger.Ahead[object.GetUID()])
	s.memory.ledger.setAhead(object.GetUID(), published, wanted)
	return compareSettings(told, wanted)
}

// settingsOf returns what is published of an object, and what is about to be.
func (s *scope) settingsOf(object client.Object) (before, after any, ok bool) {
	switch o := object.(type) {
	case *v1alpha1.ServiceProvider:
		if s.before == nil || s.before.snapshot == nil || s.wanted == nil {
			return nil, nil, false
		}
		return shown(s.before.snapshot.ServiceProvider), shown(s.wanted.snapshot.ServiceProvider), true
	case *v1alpha1.IdentityProvider:
		b, known := s.before.connection(o)
		a, wanted := s.wanted.connection(o)
		return b, a, known && wanted
	case *v1alpha1.AttributeMapping:
		b, known := s.before.mappingOf(o)
		a, wanted := s.wanted.mappingOf(o)
		return b, a, known && wanted
	}
	return nil, nil, false
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

// compareSettings names what differs. A setting that is empty is one that is not there.
func compareSettings(was, is settings) details {
	d := details{Before: map[string]string{}, After: map[string]string{}}
	paths := map[string]bool{}
	for _, all := range []settings{was, is} {
		for path := range all {
			paths[path] = was[path] != is[path]
		}
	}
	for path, differs := range paths {
		if !differs {
			continue
		}
		d.Updated = append(d.Updated, path)
		if value := was[path]; value != "" {
			d.Before[path] = shortValue(value)
		}
		if value := is[path]; value != "" {
			d.After[path] = shortValue(value)
		}
	}
	slices.Sort(d.Updated)
	return d
}

func shortValue(value string) string {
	const most = 200
	if len(value) > most {
		return strings.ToValidUTF8(value[:most], "") + "..."
	}
	return value
}

func settingsIn(value any) settings {
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil
	}
	var plain any
	_ = json.Unmarshal(encoded, &plain)
	all := settings{}
	flatten("", plain, all)
	return all
}

// flatten lists settings by path. Lists are one value, so that a path stays what people write.
func flatten(path string, value any, into settings) {
	object, ok := value.(map[string]any)
	if !ok {
		encoded, _ := json.Marshal(value)
		if text := strings.Trim(string(encoded), `"`); text != "" {
			into[path] = text
		}
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
