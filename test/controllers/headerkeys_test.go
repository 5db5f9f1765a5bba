package controllers

import (
	"crypto/x509"
	"encoding/json"
	"maps"
	"net/http/httptest"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
	"sallyport.dev/sallyport/internal/web/jwt"
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
		phases := map[snapshot.KeyPhase]string{}
		for _, key := range kept.Keys {
			if !key.Served.IsZero() {
				phases[key.Phase] = sha256Of(key.Certificate)
			}
		}
		// The Secret is a step ahead of the snapshot, or has been read a step before it: only where both say the same is the step over.
		return maps.Equal(phases, want) && maps.Equal(headerKeys(t, ns), want)
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
	t.Parallel()
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
	get(t, sp)
	signs := sp.Status.HeaderKeys[0].ID
	o.headerKeysAreTold(t, sp, 3, 3, 2)

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
	eventually(t, "status without keys", func() bool { get(t, sp); return len(sp.Status.HeaderKeys) == 0 })
	o.headerKeysAreTold(t, sp, 3, 3, 3)
	// The same key again.
	change(&v1alpha1.SignedHeaderSettings{KeyLifetime: "48h"})
	awaitHeaderKeys(t, ns, map[snapshot.KeyPhase]string{snapshot.KeyCurrent: third})
	awaitHeaderKeyStatus(t, ns, sp)
	if sp.Status.HeaderKeys[0].ID != signs {
		t.Errorf("%+v, want %s", sp.Status.HeaderKeys, signs)
	}
	o.headerKeysAreTold(t, sp, 4, 4, 3)
}

// awaitHeaderKeyStatus waits until status shows the keys that are published, under the names that tokens and the published keys have for them, with phase and end.
func awaitHeaderKeyStatus(t testing.TB, ns string, sp *v1alpha1.ServiceProvider) {
	t.Helper()
	eventually(t, "status to show the keys of the signed header", func() bool {
		get(t, sp)
		s, err := tryServed(t, ns)
		if err != nil || s.ServiceProvider.SignedHeader == nil || len(sp.Status.HeaderKeys) != len(s.ServiceProvider.SignedHeader.Keys) {
			return false
		}
		for i, key := range s.ServiceProvider.SignedHeader.Keys {
			shown := sp.Status.HeaderKeys[i]
			certificate, err := x509.ParseCertificate(key.Certificate)
			if err != nil {
				t.Fatal(err)
			}
			if shown.ID != kidOf(t, key) || string(shown.Phase) != string(key.Phase) || !shown.NotAfter.Time.Equal(certificate.NotAfter) {
				return false
			}
		}
		return true
	})
}

// kidOf is what applications find the key under, in what a pod publishes.
func kidOf(t testing.TB, key snapshot.SPKey) string {
	t.Helper()
	key.Phase = snapshot.KeyCurrent
	signer, err := jwt.New("https://sso.example.com", []snapshot.SPKey{key})
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	signer.ServeKeys(answer, nil)
	var published struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal(answer.Body.Bytes(), &published); err != nil || len(published.Keys) != 1 {
		t.Fatalf("%s, %v", answer.Body, err)
	}
	return published.Keys[0].Kid
}

// headerKeysAreTold waits until the steps of the keys were told that often, each once and by an Event, too.
func (o *operator) headerKeysAreTold(t testing.TB, sp *v1alpha1.ServiceProvider, added, activated, retired int) {
	t.Helper()
	eventually(t, "the steps of the keys to be told", func() bool {
		return o.audit.count(audit.TypeHeaderKeyAdded, "main") == added && o.audit.count(audit.TypeHeaderKeyActivated, "main") == activated &&
			o.audit.count(audit.TypeHeaderKeyRetired, "main") == retired
	})
	keys := map[string]bool{}
	for _, r := range o.audit.all() {
		if r.Type != audit.TypeHeaderKeyAdded && r.Type != audit.TypeHeaderKeyActivated && r.Type != audit.TypeHeaderKeyRetired {
			continue
		}
		var d struct{ Key, Phase, NotAfter string }
		text, err := json.Marshal(r.Details)
		if err != nil || json.Unmarshal(text, &d) != nil || len(d.Key) != 43 || d.Phase == "" || d.NotAfter == "" {
			t.Errorf("%s: %s, %v", r.Type, text, err)
		}
		if told := transitionKey(t, r.Details); keys[told] {
			t.Errorf("%s was told twice", text)
		} else {
			keys[told] = true
		}
	}
	for reason, want := range map[string]int{"HeaderKeyActivated": activated, "HeaderKeyRetired": retired} {
		eventually(t, "Events with the reason "+reason, func() bool {
			n := 0
			for _, e := range told(t, sp, reason) {
				if n++; e.Series != nil {
					n += int(e.Series.Count) - 1
				}
			}
			return n == want
		})
	}
}

// rotated follows a rotation that has begun, and returns the key that signs after it.
func rotated(t testing.TB, ns string, clock *testclock.FakeClock, before string) string {
	t.Helper()
	next := nextHeaderKey(t, ns)
	awaitHeaderKeys(t, ns, map[snapshot.KeyPhase]string{snapshot.KeyCurrent: before, snapshot.KeyNext: next})
	sp := signInProvider(ns)
	awaitHeaderKeyStatus(t, ns, sp)
	clock.Step(time.Hour)
	awaitHeaderKeys(t, ns, map[snapshot.KeyPhase]string{snapshot.KeyCurrent: next, snapshot.KeyPrevious: before})
	awaitHeaderKeyStatus(t, ns, sp)
	clock.Step(time.Hour)
	awaitHeaderKeys(t, ns, map[snapshot.KeyPhase]string{snapshot.KeyCurrent: next})
	awaitHeaderKeyStatus(t, ns, sp)
	return next
}
