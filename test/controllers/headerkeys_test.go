package controllers

import (
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
)

// headerKeys are the signed header's keys in the published snapshot, by phase; none while another one is being published.
func headerKeys(t testing.TB, ns string) map[snapshot.KeyPhase]string {
	t.Helper()
	phases := map[snapshot.KeyPhase]string{}
	if s, err := tryServed(t, ns); err == nil && s.ServiceProvider.SignedHeader != nil {
		header := s.ServiceProvider.SignedHeader
		for _, key := range header.Keys {
			phases[key.Phase] = sha256Of(key.Certificate)
		}
	}
	return phases
}

// keptHeaderKeys are those in the Secret.
func keptHeaderKeys(t testing.TB, ns string) (trust.KeySet, *corev1.Secret) {
	t.Helper()
	var secret corev1.Secret
	if err := k8s.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: "main-signed-header"}, &secret); err != nil {
		return trust.KeySet{}, &secret
	}
	set, err := trust.KeySetFromData(secret.Data)
	if err != nil {
		return trust.KeySet{}, &secret
	}
	return set, &secret
}

// awaitHeaderKeys waits until the keys are in these phases, and every pod is known to serve them so.
func awaitHeaderKeys(t testing.TB, ns string, want map[snapshot.KeyPhase]string) {
	t.Helper()
	eventually(t, "the keys of the signed header", func() bool {
		kept, _ := keptHeaderKeys(t, ns)
		for _, key := range kept.Keys {
			if key.Served.IsZero() {
				return false
			}
		}
		return len(kept.Keys) == len(want) && maps.Equal(headerKeys(t, ns), want)
	})
}

// nextHeaderKey waits until a further key is published.
func nextHeaderKey(t testing.TB, ns string) string {
	t.Helper()
	next := ""
	eventually(t, "the next key of the signed header", func() bool {
		next = headerKeys(t, ns)[snapshot.KeyNext]
		return next != ""
	})
	return next
}

// TestTheSignedHeadersKeys: they are made when the header is asked for, rotate by themselves and on demand, survive whoever meddles with them, and leave the
// snapshot when the header is switched off.
func TestTheSignedHeadersKeys(t *testing.T) {
	ns, clock := namespace(t), movable(t)
	o := newOperator(t, ns, withClock(clock))
	sp := signInProvider(ns)
	create(t, sp, identityProvider(ns, "okta", inline(t)))
	_ = newDoor(t, o)
	await(t, sp, "Programmed", isTrue, "Programmed")
	if keys := headerKeys(t, ns); len(keys) > 0 {
		t.Fatalf("keys that nobody asked for: %v", keys)
	}
	change := func(settings *v1alpha1.SignedHeaderSettings) {
		t.Helper()
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(sp), sp); err != nil {
			t.Fatal(err)
		}
		sp.Spec.SignedHeader = settings
		update(t, sp)
	}
	change(&v1alpha1.SignedHeaderSettings{KeyLifetime: "48h"})
	eventually(t, "the first key", func() bool { return headerKeys(t, ns)[snapshot.KeyCurrent] != "" })
	first := headerKeys(t, ns)[snapshot.KeyCurrent]
	awaitHeaderKeys(t, ns, map[snapshot.KeyPhase]string{snapshot.KeyCurrent: first})

	annotate(t, sp, v1alpha1.AnnotationRotateKeys, "1")
	second := rotated(t, ns, clock, first)
	clock.Step(48*time.Hour + time.Minute)
	third := rotated(t, ns, clock, second)

	// A Secret that is deleted, or written over with nonsense, is what it was.
	_, secret := keptHeaderKeys(t, ns)
	remove(t, secret)
	awaitHeaderKeys(t, ns, map[snapshot.KeyPhase]string{snapshot.KeyCurrent: third})
	_, secret = keptHeaderKeys(t, ns)
	secret.Data["current.key"] = []byte("nonsense")
	update(t, secret)
	awaitHeaderKeys(t, ns, map[snapshot.KeyPhase]string{snapshot.KeyCurrent: third})
	o.restart()
	await(t, sp, "Programmed", isTrue, "Programmed")
	awaitHeaderKeys(t, ns, map[snapshot.KeyPhase]string{snapshot.KeyCurrent: third})

	change(&v1alpha1.SignedHeaderSettings{State: v1alpha1.StateDisabled})
	eventually(t, "no signed header", func() bool {
		s, err := tryServed(t, ns)
		return err == nil && s.ServiceProvider.SignedHeader == nil
	})
}

// rotated follows a rotation that has begun, and returns the key that signs after it.
func rotated(t testing.TB, ns string, clock *testclock.FakeClock, before string) string {
	t.Helper()
	next := nextHeaderKey(t, ns)
	awaitHeaderKeys(t, ns, map[snapshot.KeyPhase]string{snapshot.KeyCurrent: before, snapshot.KeyNext: next})
	clock.Step(time.Hour)
	awaitHeaderKeys(t, ns, map[snapshot.KeyPhase]string{snapshot.KeyCurrent: next, snapshot.KeyPrevious: before})
	clock.Step(time.Hour)
	awaitHeaderKeys(t, ns, map[snapshot.KeyPhase]string{snapshot.KeyCurrent: next})
	return next
}
