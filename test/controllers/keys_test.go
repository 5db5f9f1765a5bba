package controllers

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
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
)

const overlap = 720 * time.Hour

// phasesOf are our certificates by phase, as status shows them.
func phasesOf(idp *v1alpha1.IdentityProvider) map[v1alpha1.KeyPhase]string {
	phases := map[v1alpha1.KeyPhase]string{}
	if idp.Status.ServiceProvider != nil {
		for _, c := range idp.Status.ServiceProvider.Certificates {
			phases[c.Phase] = c.SHA256
		}
	}
	return phases
}

// awaitPhases waits until our keys are in these phases and the pods serve them so, and returns their certificates.
func awaitPhases(t testing.TB, idp *v1alpha1.IdentityProvider, want ...v1alpha1.KeyPhase) map[v1alpha1.KeyPhase]string {
	t.Helper()
	var now map[v1alpha1.KeyPhase]string
	eventually(t, fmt.Sprintf("our keys are %v", want), func() bool {
		if k8s.Get(t.Context(), client.ObjectKeyFromObject(idp), idp) != nil {
			return false
		}
		now = phasesOf(idp)
		for _, phase := range want {
			if now[phase] == "" {
				return false
			}
		}
		return len(now) == len(want)
	})
	await(t, idp, "Ready", isTrue, "Serving")
	return now
}

// awaitServed waits until it is noted that every pod serves the key in its phase: the overlap is counted from then.
func awaitServed(t testing.TB, idp *v1alpha1.IdentityProvider, phase snapshot.KeyPhase) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s is known to be served", phase), func() bool {
		for _, key := range keptKeys(t, idp).Keys {
			if key.Phase == phase && !key.Served.IsZero() {
				return true
			}
		}
		return false
	})
}

func shas(certificates []*x509.Certificate) []string {
	var all []string
	for _, c := range certificates {
		all = append(all, sha256Of(c.Raw))
	}
	return all
}

// publishes holds what our metadata shows for each use, in its order.
func (d *door) publishes(t testing.TB, connection string, signing, encryption []string) {
	t.Helper()
	m, err := d.metadata(connection)
	if err != nil {
		t.Fatal(err)
	}
	if got := shas(m.Signing); !slices.Equal(got, signing) {
		t.Errorf("the metadata shows the signing keys %v, want %v", got, signing)
	}
	if got := shas(m.Encryption); !slices.Equal(got, encryption) {
		t.Errorf("the metadata shows the encryption keys %v, want %v", got, encryption)
	}
}

// TestOurKeysRotateWhilePeopleSignIn takes a connection through a rotation by hand and to the one that comes by itself, with an IdP that checks
// signatures, encrypts assertions, and does not always look at our metadata.
func TestOurKeysRotateWhilePeopleSignIn(t *testing.T) {
	t.Parallel()
	ns, clock := namespace(t), movable(t)
	o := newOperator(t, ns, withClock(clock))
	idp := upstream(t, "okta")
	object := identityProvider(ns, "okta", v1alpha1.MetadataSource{Inline: string(idp.Metadata())})
	create(t, signInProvider(ns), object, domainBinding(ns, "okta", domainOf("okta"), "okta"))
	door := newDoor(t, o)
	first := awaitPhases(t, object, v1alpha1.KeyPhaseCurrent)[v1alpha1.KeyPhaseCurrent]
	awaitEvent(t, object, "Normal", "KeyCreated", first[:16])
	door.publishes(t, "okta", []string{first}, []string{first})
	door.signsIn(t, "with the first key", "okta", idp)

	annotate(t, object, v1alpha1.AnnotationRotateKeys, "1")
	next := awaitPhases(t, object, v1alpha1.KeyPhaseCurrent, v1alpha1.KeyPhaseNext)[v1alpha1.KeyPhaseNext]
	awaitEvent(t, object, "Normal", "KeyPublished", next[:16])
	door.publishes(t, "okta", []string{first, next}, []string{first})
	door.signsIn(t, "with the next key published", "okta", idp)
	awaitServed(t, object, snapshot.KeyNext)
	clock.Step(overlap - time.Hour)
	refresh(t, object, "another pass")
	awaitPhases(t, object, v1alpha1.KeyPhaseCurrent, v1alpha1.KeyPhaseNext)

	kept, err := door.metadata("okta")
	if err != nil {
		t.Fatal(err)
	}
	clock.Step(time.Hour)
	if now := awaitPhases(t, object, v1alpha1.KeyPhaseCurrent, v1alpha1.KeyPhasePrevious); now[v1alpha1.KeyPhaseCurrent] != next || now[v1alpha1.KeyPhasePrevious] != first {
		t.Fatalf("after the overlap the phases are %v, want %s before %s", now, next, first)
	}
	awaitEvent(t, object, "Normal", "KeyRotated", next[:16])
	door.publishes(t, "okta", []string{next}, []string{next, first})
	door.signsIn(t, "with the next key", "okta", idp)
	// The IdP has kept our metadata of before: it knows the key that signs now, and encrypts to the previous one (fault F8).
	door.cached = kept
	door.signsIn(t, "encrypted to the previous key", "okta", idp)
	awaitServed(t, object, snapshot.KeyPrevious)
	clock.Step(overlap - time.Hour)
	refresh(t, object, "yet another pass")
	door.signsIn(t, "at the end of the overlap", "okta", idp)
	clock.Step(time.Hour)
	awaitPhases(t, object, v1alpha1.KeyPhaseCurrent)
	awaitEvent(t, object, "Normal", "KeyRetired", first[:16])
	door.publishes(t, "okta", []string{next}, []string{next})
	if err := door.signIn("okta", "alice@"+domainOf("okta"), idp); err == nil {
		t.Error("a key that is let go still decrypts")
	}
	door.cached = nil
	door.signsIn(t, "after the rotation", "okta", idp)

	// Once per value. The next one comes by itself, the rotation window before the end.
	o.restart()
	refresh(t, object, "the same value")
	awaitPhases(t, object, v1alpha1.KeyPhaseCurrent)
	clock.SetTime(object.Status.ServiceProvider.Certificates[0].NotAfter.Add(-2160*time.Hour + time.Minute))
	awaitPhases(t, object, v1alpha1.KeyPhaseCurrent, v1alpha1.KeyPhaseNext)
	for recordType, want := range map[audit.Type]int{audit.TypeSAMLIdPSPCertificateCreated: 1, audit.TypeSAMLIdPSPCertificatePublished: 2,
		audit.TypeSAMLIdPSPCertificateRotated: 1, audit.TypeSAMLIdPSPCertificateRetired: 1} {
		if n := o.audit.count(recordType, "okta"); n != want {
			t.Errorf("%v was recorded %d times, want %d", recordType, n, want)
		}
	}
}

// TestAKeyPairOfTheUsersGoesThroughThePhases brings a key pair, replaces it, and breaks the Secret in between.
func TestAKeyPairOfTheUsersGoesThroughThePhases(t *testing.T) {
	t.Parallel()
	ns, clock := namespace(t), movable(t)
	o := newOperator(t, ns, withClock(clock))
	idp := upstream(t, "okta")
	object := identityProvider(ns, "okta", v1alpha1.MetadataSource{Inline: string(idp.Metadata())})
	object.Spec.SAML.Keys.SecretRef = &v1alpha1.KeyPairReference{Name: "own"}
	create(t, signInProvider(ns), object, domainBinding(ns, "okta", domainOf("okta"), "okta"))
	mustContain(t, await(t, object, "Ready", isFalse, "ReferenceNotFound"), "spec.saml.keys.secretRef", "there is no Secret own")
	secret, first := keyPair(t, ns, "own", clock.Now(), clock.Now().AddDate(3, 0, 0))
	create(t, secret)
	door := newDoor(t, o)
	if now := awaitPhases(t, object, v1alpha1.KeyPhaseCurrent); now[v1alpha1.KeyPhaseCurrent] != first {
		t.Fatalf("in use is %v, and brought was %s", now, first)
	}
	door.signsIn(t, "with the key that was brought", "okta", idp)

	good := secret.DeepCopy()
	other, _ := keyPair(t, ns, "other", clock.Now(), clock.Now().AddDate(3, 0, 0))
	secret.Data[corev1.TLSPrivateKeyKey] = other.Data[corev1.TLSPrivateKeyKey]
	update(t, secret)
	mustContain(t, await(t, object, "Accepted", isFalse, "Invalid"), "spec.saml.keys.secretRef", "does not belong to the private key")
	door.signsIn(t, "while the Secret does not fit together", "okta", idp)
	o.restart()
	refresh(t, object, "after a restart")
	await(t, object, "Accepted", isFalse, "Invalid")
	door.signsIn(t, "after a restart", "okta", idp)
	secret.Data = good.Data
	update(t, secret)
	await(t, object, "Ready", isTrue, "Serving")

	replacement, second := keyPair(t, ns, "own", clock.Now(), clock.Now().AddDate(3, 0, 0))
	secret.Data = replacement.Data
	update(t, secret)
	if now := awaitPhases(t, object, v1alpha1.KeyPhaseCurrent, v1alpha1.KeyPhaseNext); now[v1alpha1.KeyPhaseCurrent] != first || now[v1alpha1.KeyPhaseNext] != second {
		t.Fatalf("the phases are %v", now)
	}
	door.signsIn(t, "with the second pair published", "okta", idp)
	awaitServed(t, object, snapshot.KeyNext)
	clock.Step(overlap)
	if now := awaitPhases(t, object, v1alpha1.KeyPhaseCurrent, v1alpha1.KeyPhasePrevious); now[v1alpha1.KeyPhaseCurrent] != second {
		t.Fatalf("the phases are %v", now)
	}
	door.signsIn(t, "with the second pair", "okta", idp)
}

// seenKeys is what a pod has seen of a connection's keys.
type seenKeys struct {
	mutex     sync.Mutex
	published map[string]bool
	faults    []string
	current   string
}

func (k *seenKeys) see(s snapshot.Snapshot) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	for _, c := range s.Connections {
		current := ""
		for _, key := range c.Keys {
			if key.Phase == snapshot.KeyCurrent {
				current = sha256Of(key.Certificate)
			}
		}
		switch {
		case k.current == "" && current == "": // the first is still being made
			continue
		case current == "":
			k.faults = append(k.faults, "a snapshot has no signing key any more")
			continue
		case k.current != "" && current != k.current && !k.published[current]:
			k.faults = append(k.faults, "a key signs that was never published")
		}
		k.current = current
		for _, key := range c.Keys {
			k.published[sha256Of(key.Certificate)] = true
		}
	}
}

// TestNoCrashLosesTheSigningKey rotates again and again, and crashes the operator after the first write of a rotation, then after the second one, and
// so on, until a rotation has no such write.
func TestNoCrashLosesTheSigningKey(t *testing.T) {
	t.Parallel()
	writes := afterEachWrite(t, func(t *testing.T) func(*testing.T, int) bool {
		ns, clock := namespace(t), movable(t)
		o := newOperator(t, ns, withClock(clock))
		object := identityProvider(ns, "okta", inline(t))
		create(t, serviceProvider(ns), object)
		p := podObject(t, ns, "main")
		seen := &seenKeys{published: map[string]bool{}}
		p.sees = seen.see
		p.serve(t)
		<-p.firstSnapshot()
		p.setReady(t, true)
		awaitPhases(t, object, v1alpha1.KeyPhaseCurrent)
		rotations := 0
		t.Cleanup(func() { o.toldRotations(t, seen, rotations) })
		return func(t *testing.T, k int) bool {
			rotations++
			before := phasesOf(object)[v1alpha1.KeyPhaseCurrent]
			crashed := o.rotateAndCrash(t, clock, object, k)
			if after := phasesOf(object)[v1alpha1.KeyPhaseCurrent]; after == before {
				t.Fatalf("crashed after write %d, and the key is the same as before", k)
			}
			o.wire.revive()
			return crashed
		}
	})
	t.Logf("crashed after each of %d writes of a rotation", writes)
	if writes < 7 {
		t.Errorf("only %d writes: a rotation has more than that", writes)
	}
}

// toldRotations holds what a pod has seen, and what was told, to so many rotations.
func (o *operator) toldRotations(t testing.TB, seen *seenKeys, rotations int) {
	t.Helper()
	seen.mutex.Lock()
	defer seen.mutex.Unlock()
	if len(seen.faults) > 0 {
		t.Errorf("%d faults: %v", len(seen.faults), seen.faults[0])
	}
	for _, recordType := range []audit.Type{audit.TypeSAMLIdPSPCertificatePublished, audit.TypeSAMLIdPSPCertificateRotated, audit.TypeSAMLIdPSPCertificateRetired} {
		keys := map[string]bool{}
		for _, r := range o.audit.of(recordType, "okta") {
			keys[transitionOf(t, r)] = true
		}
		if len(keys) != rotations {
			t.Errorf("%v was told of %d rotations, and there were %d", recordType, len(keys), rotations)
		}
	}
}

// rotateAndCrash makes one rotation, in which the operator dies after its k-th write and another one takes over, and tells whether it did.
func (o *operator) rotateAndCrash(t *testing.T, clock *testclock.FakeClock, object *v1alpha1.IdentityProvider, k int) (crashed bool) {
	t.Helper()
	dies := o.wire.crash(k)
	await := func(what string, done func() bool) {
		t.Helper()
		eventually(t, fmt.Sprintf("crash after write %d: %s", k, what), func() bool {
			select {
			case <-dies:
				if !crashed {
					crashed = true
					o.restart()
				}
			default:
			}
			return done()
		})
	}
	served := func(phase snapshot.KeyPhase) func() bool {
		return func() bool {
			return slices.ContainsFunc(keptKeys(t, object).Keys, func(key keptKey) bool { return key.Phase == phase && !key.Served.IsZero() })
		}
	}
	annotate(t, object, v1alpha1.AnnotationRotateKeys, strconv.Itoa(k))
	await("the next key is served", served(snapshot.KeyNext))
	clock.Step(overlap)
	await("the previous key is served", served(snapshot.KeyPrevious))
	clock.Step(overlap)
	await("one key is left", func() bool {
		return k8s.Get(t.Context(), client.ObjectKeyFromObject(object), object) == nil && len(phasesOf(object)) == 1 && len(keptKeys(t, object).Keys) == 1
	})
	return crashed
}

type keptKey = trust.SPKeyState

// keptKeys are the keys in the Secret of the connection; none while it cannot be read.
func keptKeys(t testing.TB, idp *v1alpha1.IdentityProvider) trust.KeySet {
	t.Helper()
	var secret corev1.Secret
	if err := k8s.Get(t.Context(), types.NamespacedName{Namespace: idp.Namespace, Name: "sallyport-keys-" + idp.Name}, &secret); err != nil {
		return trust.KeySet{}
	}
	set, err := trust.KeySetFromData(secret.Data)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// transitionOf is the key by which readers of the audit log drop what was told again after a crash.
func transitionOf(t testing.TB, r audit.Record) string {
	t.Helper()
	var d struct{ Transition string }
	encoded, err := json.Marshal(r.Details)
	if err == nil {
		err = json.Unmarshal(encoded, &d)
	}
	if err != nil || d.Transition == "" {
		t.Fatalf("the record %+v has no key: %v", r, err)
	}
	return d.Transition
}
