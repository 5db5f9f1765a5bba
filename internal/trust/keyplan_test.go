package trust

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/snapshot"
)

// planKey makes a key pair for the planner, which looks at nothing but the certificate's expiry: an EC key, because it is quick to make.
func planKey(t testing.TB, now time.Time, lifetime time.Duration) snapshot.SPKey {
	t.Helper()
	made := certify(t, ecKey(t, "plan"), fmt.Sprint(now.UnixNano()), now, now.Add(lifetime))
	key, err := ParseKeyPair([]byte(made.pem()), privatePEM(t, made.key))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// keyTest walks one connection through its plans.
type keyTest struct {
	t      *testing.T
	set    KeySet
	policy KeyPolicy
	wish   KeyWish
	now    time.Time
}

func newKeyTest(t *testing.T) *keyTest {
	return &keyTest{t: t, now: testNow, policy: KeyPolicy{Lifetime: 1000 * time.Hour, RotationWindow: 100 * time.Hour, Overlap: 30 * time.Hour}}
}

// next does one step and returns it.
func (k *keyTest) next() KeyPlan {
	k.t.Helper()
	plan := PlanKeys(k.set, k.policy, k.wish, k.now)
	set, err := plan.Apply(func() (snapshot.SPKey, error) { return planKey(k.t, k.now, k.policy.Lifetime), nil })
	if err != nil {
		k.t.Fatal(err)
	}
	// What is written is read again, as after a restart.
	if k.set, err = KeySetFromData(set.Data()); err != nil {
		k.t.Fatal(err)
	}
	return plan
}

func (k *keyTest) expect(step KeyStep) KeyPlan {
	k.t.Helper()
	plan := k.next()
	if plan.Step != step {
		k.t.Fatalf("at %v: step %q, want %q; keys %v", k.now.Sub(testNow), plan.Step, step, k.phases())
	}
	return plan
}

func (k *keyTest) serve() { k.set, _ = k.set.MarkServed(k.set.SPKeys(), k.now) }

func (k *keyTest) phases() []string {
	var out []string
	for _, key := range k.set.SPKeys() {
		out = append(out, string(key.Phase))
	}
	return out
}

func TestKeysLiveThroughTheirPhases(t *testing.T) {
	k := newKeyTest(t)
	k.expect(KeyStepCreate)
	k.serve()
	first := k.set.SPKeys()[0]
	if plan := k.expect(KeyStepNone); !plan.Next.Equal(testNow.Add(900 * time.Hour)) {
		t.Errorf("next look at %v, want when the rotation window begins", plan.Next)
	}
	k.now = testNow.Add(900*time.Hour - time.Second)
	k.expect(KeyStepNone)
	k.now = k.now.Add(time.Second)
	k.expect(KeyStepPublish)
	if got := fmt.Sprint(k.phases()); got != "[Current Next]" {
		t.Errorf("keys %s", got)
	}
	// It is not published before a pod serves it, however long that takes.
	k.now = k.now.Add(500 * time.Hour)
	if plan := k.expect(KeyStepNone); !plan.Next.IsZero() {
		t.Errorf("there is nothing to wait for but the pods, yet the next look is at %v", plan.Next)
	}
	k.serve()
	served := k.now
	if plan := k.expect(KeyStepNone); !plan.Next.Equal(served.Add(30 * time.Hour)) {
		t.Errorf("next look at %v", plan.Next)
	}
	k.now = served.Add(30*time.Hour - time.Second)
	k.expect(KeyStepNone)
	k.now = served.Add(30 * time.Hour)
	k.expect(KeyStepRotate)
	keys := k.set.SPKeys()
	if got := fmt.Sprint(k.phases()); got != "[Current Previous]" || !sameKey(keys[1], first) {
		t.Errorf("keys %s", got)
	}
	// The previous one decrypts until the overlap is over since partners could learn of the new one.
	k.now = k.now.Add(100 * time.Hour)
	k.expect(KeyStepNone)
	k.serve()
	k.now = k.now.Add(30*time.Hour - time.Second)
	k.expect(KeyStepNone)
	k.now = k.now.Add(time.Second)
	k.expect(KeyStepRetire)
	if got := fmt.Sprint(k.phases()); got != "[Current]" {
		t.Errorf("keys %s", got)
	}
	k.expect(KeyStepNone)
}

func TestRotationByHandHappensOnce(t *testing.T) {
	k := newKeyTest(t)
	k.wish.Rotation = "first value, there from the start"
	k.expect(KeyStepCreate)
	k.expect(KeyStepNone)
	k.serve()
	k.wish.Rotation = "2026-06-01"
	k.expect(KeyStepPublish)
	k.expect(KeyStepNone)
	k.wish.Rotation = "again, impatiently"
	k.expect(KeyStepNote)
	k.expect(KeyStepNone)
	k.serve()
	k.now = k.now.Add(30 * time.Hour)
	k.expect(KeyStepRotate)
	k.expect(KeyStepNone)
	// The next one may be published while the previous still decrypts; it signs after that one has gone.
	k.wish.Rotation = "third"
	k.expect(KeyStepPublish)
	if got := fmt.Sprint(k.phases()); got != "[Current Next Previous]" {
		t.Errorf("keys %s", got)
	}
	k.serve()
	k.now = k.now.Add(30 * time.Hour)
	k.expect(KeyStepRetire)
	k.expect(KeyStepRotate)
	k.expect(KeyStepNone)
	k.wish.Rotation = ""
	k.expect(KeyStepNone)
}

func TestKeysThatTheUserBrings(t *testing.T) {
	k := newKeyTest(t)
	mine := planKey(t, testNow.Add(time.Second), 10*time.Hour)
	k.wish.Provided = &mine
	k.expect(KeyStepCreate)
	if keys := k.set.SPKeys(); len(keys) != 1 || !sameKey(keys[0], mine) || keys[0].Phase != snapshot.KeyCurrent {
		t.Fatalf("keys %v", k.phases())
	}
	k.serve()
	// Its expiry is the user's to look after, and so is its rotation.
	k.now = k.now.Add(1000 * time.Hour)
	k.wish.Rotation = "now"
	k.expect(KeyStepNone)
	// A new one is published before it signs.
	second := planKey(t, k.now, 1000*time.Hour)
	k.wish.Provided = &second
	k.expect(KeyStepPublish)
	k.expect(KeyStepNone)
	k.serve()
	// Changed again before it signed: the second one never does.
	third := planKey(t, k.now.Add(time.Second), 1000*time.Hour)
	k.wish.Provided = &third
	k.expect(KeyStepPublish)
	k.now = k.now.Add(30 * time.Hour)
	k.expect(KeyStepNone)
	k.serve()
	k.now = k.now.Add(30 * time.Hour)
	k.expect(KeyStepRotate)
	if keys := k.set.SPKeys(); !sameKey(keys[0], third) || !sameKey(keys[1], mine) {
		t.Error("the third key does not sign, or the first does not decrypt")
	}
	// Back to the first, which partners may have forgotten.
	k.wish.Provided = &mine
	k.expect(KeyStepPublish)
	if got := fmt.Sprint(k.phases()); got != "[Current Next]" {
		t.Errorf("keys %s", got)
	}
	// And no: the one that signs is the right one.
	k.wish.Provided = &third
	k.expect(KeyStepRetire)
	k.expect(KeyStepNone)
	// From here on, keys are made again.
	k.wish = KeyWish{Rotation: "made"}
	k.expect(KeyStepPublish)
}

func TestKeySetsThatSomebodyEditedStillSign(t *testing.T) {
	for _, left := range []snapshot.KeyPhase{snapshot.KeyNext, snapshot.KeyPrevious} {
		k := newKeyTest(t)
		key := planKey(t, testNow, time.Hour)
		key.Phase = left
		k.set.Keys = []SPKeyState{{SPKey: key}}
		k.expect(KeyStepRotate)
		if keys := k.set.SPKeys(); len(keys) != 1 || keys[0].Phase != snapshot.KeyCurrent || !sameKey(keys[0], key) {
			t.Errorf("with only %s: %v", left, k.phases())
		}
	}
}

func TestPoliciesThatDoNotFitAreMadeTo(t *testing.T) {
	p := KeyPolicy{}.normal()
	if p != (KeyPolicy{Lifetime: DefaultKeyLifetime, RotationWindow: DefaultRotationWindow, Overlap: DefaultOverlap}) {
		t.Errorf("defaults %+v", p)
	}
	p = KeyPolicy{Lifetime: 24 * time.Hour, RotationWindow: 48 * time.Hour, Overlap: 96 * time.Hour}.normal()
	if p.RotationWindow >= p.Lifetime || p.Overlap > p.RotationWindow {
		t.Errorf("made %+v", p)
	}
}

// world is a connection whose operator crashes, whose pods lag and whose IdP keeps a copy of our metadata for as long as the overlap.
type world struct {
	t       *testing.T
	random  *rand.Rand
	keys    *keyTest
	written KeySet             // the Secret
	pods    [][]snapshot.SPKey // what each pod serves
	monitor bool               // the clock only goes forward, so that times can be judged
	// published is when each signing certificate was first in the metadata of every pod.
	published map[string]time.Time
	first     string
	// encryptTo is what IdPs may encrypt to, and until when: the first encryption key of any metadata they may still hold.
	encryptTo map[string]time.Time
}

func name(k snapshot.SPKey) string { return hexSHA256(k.Certificate) }

// TestKeyRotationSurvivesCrashesAtEveryStep is a property test: whatever is interrupted when, and whatever the clock does, every pod has a
// signing key from its first day, no key but the first signs before every pod published it, and what an IdP encrypts to is decrypted.
func TestKeyRotationSurvivesCrashesAtEveryStep(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 7))
		w := &world{t: t, random: random, keys: newKeyTest(t), pods: make([][]snapshot.SPKey, 1+random.IntN(3)), monitor: seed%3 != 0,
			published: map[string]time.Time{}, encryptTo: map[string]time.Time{}}
		for i := range 300 {
			w.tick(i)
			w.check(seed)
			if t.Failed() {
				return
			}
		}
	}
}

// tick is one pass of the operator, which may end anywhere.
func (w *world) tick(i int) {
	k := w.keys
	k.now = k.now.Add(time.Duration(w.random.Int64N(int64(40 * time.Hour))))
	if !w.monitor && w.random.IntN(10) == 0 {
		k.now = k.now.Add(time.Duration(w.random.Int64N(int64(4000*time.Hour))) - 2000*time.Hour)
	}
	if w.random.IntN(40) == 0 {
		k.wish.Rotation = fmt.Sprint(i)
	}
	crash := w.random.IntN(6)
	k.set = w.written
	if acknowledged := w.acknowledged(); acknowledged != nil {
		if marked, changed := k.set.MarkServed(acknowledged, k.now); changed {
			if crash == 0 {
				return
			}
			k.set, w.written = marked, marked
		}
	}
	if crash == 1 {
		return
	}
	k.next()
	if crash == 2 {
		return // before the Secret is written
	}
	w.written = k.set
	if crash == 3 {
		return // before the snapshot is
	}
	for pod := range w.pods {
		if w.pods[pod] == nil || w.random.IntN(3) > 0 {
			w.pods[pod] = w.written.SPKeys()
		}
		if crash == 4 {
			return // some pods have it and some have not
		}
	}
}

// acknowledged is what every pod serves, nil when they differ.
func (w *world) acknowledged() []snapshot.SPKey {
	for _, pod := range w.pods {
		if !slices.EqualFunc(pod, w.pods[0], func(a, b snapshot.SPKey) bool { return a.Phase == b.Phase && sameKey(a, b) }) {
			return nil
		}
	}
	return w.pods[0]
}

func (w *world) check(seed uint64) {
	now, overlap := w.keys.now, w.keys.policy.Overlap
	counts := map[string]int{}
	for i, pod := range w.pods {
		if pod == nil {
			continue
		}
		if pod[0].Phase != snapshot.KeyCurrent {
			w.t.Fatalf("seed %d: pod %d has no signing key", seed, i)
		}
		current := name(pod[0])
		if w.first == "" {
			w.first = current
		}
		since, known := w.published[current]
		if current != w.first && (!known || w.monitor && now.Sub(since) < overlap) {
			w.t.Fatalf("seed %d: pod %d signs with a key that was published %v ago (known %v)", seed, i, now.Sub(since), known)
		}
		decrypts := map[string]bool{}
		for _, key := range pod {
			decrypts[name(key)] = true
			if key.Phase != snapshot.KeyPrevious {
				counts[name(key)]++
			}
		}
		for key, until := range w.encryptTo {
			if w.monitor && now.Before(until) && !decrypts[key] && w.podsKnow(key) {
				w.t.Fatalf("seed %d: pod %d cannot decrypt what is encrypted to a key that metadata named", seed, i)
			}
		}
	}
	for key, count := range counts {
		if _, known := w.published[key]; !known && count == len(w.pods) {
			w.published[key] = now
		}
	}
	for _, pod := range w.pods {
		if pod != nil {
			w.encryptTo[name(pod[0])] = now.Add(overlap)
		}
	}
}

// podsKnow is true once every pod has served the key in some phase: one that never had it is a pod that is not ready.
func (w *world) podsKnow(key string) bool {
	_, known := w.published[key]
	return known
}
