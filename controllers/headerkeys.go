package controllers

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
)

// headerKeyOverlap is how long a key of the signed header is published before it signs and after: longer than applications keep the published keys for.
const headerKeyOverlap = time.Hour

// resolveHeaderKeys takes the keys of the signed header one step further in their life. Nobody has registered them anywhere, so keys that are lost are made anew.
func (r *Reconciler) resolveHeaderKeys(ctx context.Context, s *scope) error {
	sp := s.serviceProvider
	if !compile.WantsSignedHeader(sp) {
		return nil
	}
	window := 2 * headerKeyOverlap
	lifetime := sp.Spec.SignedHeader.KeyLifetime.Or(v1alpha1.DefaultHeaderKeyLifetime) + window
	err := s.memory.header.advance(s, s.memory.served.headerKeys(), trust.KeyPolicy{Lifetime: lifetime, RotationWindow: window, Overlap: headerKeyOverlap},
		trust.KeyWish{Rotation: sp.Annotations[v1alpha1.AnnotationRotateKeys]},
		func() (snapshot.SPKey, error) { return trust.NewHeaderKey(s.now, sp.Spec.URL, lifetime) },
		func(set trust.KeySet, first bool) error { return r.writeHeaderKeys(ctx, s, set, first) })
	if s.headerKeys = s.memory.header.keys.SPKeys(); len(s.headerKeys) == 0 {
		s.headerKeys = s.memory.published.headerKeys()
	}
	return s.block(err)
}

// writeHeaderKeys writes the Secret. The first one is created, so that two runs of the operator do not both believe that theirs are the keys; one that is there
// and cannot be read is written over.
func (r *Reconciler) writeHeaderKeys(ctx context.Context, s *scope, set trust.KeySet, first bool) error {
	name := render.HeaderSecretName(s.key.Name)
	secret := ownedByServiceProvider(s, name, set.Data())
	if !first || s.memory.known(name) {
		return r.applySecret(ctx, s, secret, ownerKeys)
	}
	return r.createOrTakeBack(ctx, s, secret)
}

// headerKeyStatus shows the keys that the pods publish, under the names that tokens have for them.
func (m *memory) headerKeyStatus(keys []snapshot.SPKey) []v1alpha1.HeaderKeyStatus {
	var all []v1alpha1.HeaderKeyStatus
	for _, key := range keys {
		known := m.ownCertificate(key.Certificate)
		if known.keyID == "" {
			continue // somebody has put another kind of key into the Secret: no pod takes it
		}
		all = append(all, v1alpha1.HeaderKeyStatus{ID: known.keyID, Phase: v1alpha1.KeyPhase(key.Phase), NotAfter: metav1.NewTime(known.notAfter)})
	}
	return all
}

// headerKeyNews says what became of the keys of the signed header: published, in use, let go. A header that is switched off lets all of them go, and publishes the
// same ones when it is switched on again; so the version of the object is in the names of the news.
func headerKeyNews(sp *v1alpha1.ServiceProvider, before, after []v1alpha1.HeaderKeyStatus) []news {
	was := map[string]v1alpha1.KeyPhase{}
	for _, k := range before {
		was[k.ID] = k.Phase
	}
	var all []news
	add := func(recordType audit.Type, k v1alpha1.HeaderKeyStatus, reason, note string) {
		day := k.NotAfter.UTC().Format(time.DateOnly)
		n := news{key: key(sp, sp.ResourceVersion, reason, k.ID), kind: v1alpha1.KindServiceProvider, about: sp,
			record: &audit.Record{Type: recordType, Actor: operator, Details: details{Key: k.ID, Phase: string(k.Phase), NotAfter: day}}}
		if note != "" {
			n.event = &eventNote{reason: reason, action: "RotateKeys", note: fmt.Sprintf(note, k.ID)}
		}
		all = append(all, n)
	}
	there := map[string]bool{}
	for _, k := range after {
		there[k.ID] = true
		phase, known := was[k.ID]
		if !known {
			note := ""
			if k.Phase == v1alpha1.KeyPhaseNext {
				note = "Key %s is published and will sign the identity header one hour after every pod publishes it."
			}
			add(audit.TypeHeaderKeyAdded, k, "HeaderKeyAdded", note)
		}
		if k.Phase == v1alpha1.KeyPhaseCurrent && phase != k.Phase {
			add(audit.TypeHeaderKeyActivated, k, "HeaderKeyActivated", "Key %s now signs the identity header; the previous key, if any, stays published for an hour.")
		}
	}
	for _, k := range before {
		if !there[k.ID] {
			add(audit.TypeHeaderKeyRetired, k, "HeaderKeyRetired", "Key %s of the identity header is no longer published; tokens signed with it are rejected.")
		}
	}
	return all
}
