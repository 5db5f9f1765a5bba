package trust

import (
	"slices"
	"time"

	"sallyport.dev/sallyport/internal/snapshot"
)

// SPKeyState is one key of a connection and how far it is in its phase.
type SPKeyState struct {
	snapshot.SPKey
	// Since is when the phase began, that is, when it was decided.
	Since time.Time
	// Served is when every ready pod was first known to serve the key in this phase; zero: not yet. Overlaps are counted from here, because
	// a partner can only learn what is served.
	Served time.Time
}

// KeySet is everything that is kept about the keys of one connection. It changes in steps, each written at once.
type KeySet struct {
	Keys []SPKeyState
	// Rotation is the value of the last request to rotate by hand that was taken up.
	Rotation string
}

// KeyPolicy is the life of keys; zero values take the defaults.
type KeyPolicy struct {
	// Lifetime of a new certificate.
	Lifetime time.Duration
	// RotationWindow is how long before its expiry a certificate's successor is published.
	RotationWindow time.Duration
	// Overlap is how long the next key is published before it signs, and how long the previous one decrypts after.
	Overlap time.Duration
}

// Defaults of KeyPolicy: 3 years, 90 days, 30 days.
const (
	DefaultKeyLifetime    = 26280 * time.Hour
	DefaultRotationWindow = 2160 * time.Hour
	DefaultOverlap        = 720 * time.Hour
)

// normal fills in defaults and makes the three fit: a certificate must not be replaced before it was published itself.
func (p KeyPolicy) normal() KeyPolicy {
	if p.Lifetime <= 0 {
		p.Lifetime = DefaultKeyLifetime
	}
	if p.RotationWindow <= 0 {
		p.RotationWindow = DefaultRotationWindow
	}
	if p.Overlap <= 0 {
		p.Overlap = DefaultOverlap
	}
	if p.RotationWindow >= p.Lifetime {
		p.RotationWindow = p.Lifetime / 3
	}
	p.Overlap = min(p.Overlap, p.RotationWindow)
	return p
}

// KeyWish is what the user asks for.
type KeyWish struct {
	// Rotation is any value; one that is neither empty nor KeySet.Rotation starts a rotation.
	Rotation string
	// Provided is the user's own key pair; nil: keys are made.
	Provided *snapshot.SPKey
}

// KeyStep is what happens to the keys of a connection, for audit records and Events.
type KeyStep string

const (
	// KeyStepNone: nothing to do before KeyPlan.Next.
	KeyStepNone KeyStep = ""
	// KeyStepCreate: the first key, which signs at once: nobody knows another.
	KeyStepCreate KeyStep = "Create"
	// KeyStepPublish: the next key appears in the metadata.
	KeyStepPublish KeyStep = "Publish"
	// KeyStepRotate: the next key signs; the one before it still decrypts.
	KeyStepRotate KeyStep = "Rotate"
	// KeyStepRetire: the previous key goes, or a next one that is not wanted any more.
	KeyStepRetire KeyStep = "Retire"
	// KeyStepNote: nothing but KeySet.Rotation changes, because a rotation is under way already.
	KeyStepNote KeyStep = "Note"
)

// KeyPlan is the next step.
type KeyPlan struct {
	Step KeyStep
	// Next is when to plan again without any other cause; zero: there is no such time.
	Next time.Time

	set  KeySet
	make snapshot.KeyPhase
	now  time.Time
}

// Apply returns the keys after the step. newKey is called when the step needs a key that does not exist yet. Write the result at once
// and whole: a crash before or after that leaves a set that PlanKeys goes on from.
func (p KeyPlan) Apply(newKey func() (snapshot.SPKey, error)) (KeySet, error) {
	set := p.set
	if p.make == "" {
		return set, nil
	}
	key, err := newKey()
	if err != nil {
		return KeySet{}, err
	}
	set.Keys = append(slices.Clone(set.Keys), p.state(key, p.make))
	return set, nil
}

func (p KeyPlan) state(key snapshot.SPKey, phase snapshot.KeyPhase) SPKeyState {
	key.Phase = phase
	return SPKeyState{SPKey: key, Since: p.now.UTC()}
}

// PlanKeys says what the next step is in the life of a connection's keys: Next is published for Overlap before it becomes Current and
// signs, and Previous decrypts for Overlap after that. It is a pure function of its arguments; whatever the clock does, there is always a
// signing key once there was one, and but for the first key none signs before it was served.
func PlanKeys(set KeySet, policy KeyPolicy, wish KeyWish, now time.Time) KeyPlan {
	policy = policy.normal()
	p := KeyPlan{now: now, set: KeySet{Keys: slices.Clone(set.Keys), Rotation: set.Rotation}}
	current, next, previous := set.find(snapshot.KeyCurrent), set.find(snapshot.KeyNext), set.find(snapshot.KeyPrevious)
	if current == nil {
		return p.first(next, previous, wish)
	}
	if previous != nil && over(previous.Served, policy.Overlap, now) {
		p.drop(snapshot.KeyPrevious)
		return p.step(KeyStepRetire)
	}
	if wish.Provided != nil {
		if step := p.provide(*current, next, *wish.Provided); step != KeyStepNone {
			return p.step(step)
		}
		wish.Rotation = ""
		next = p.set.find(snapshot.KeyNext)
	}
	if next != nil && previous == nil && over(next.Served, policy.Overlap, now) {
		p.promote()
		return p.step(KeyStepRotate)
	}
	asked := wish.Rotation != "" && wish.Rotation != set.Rotation
	due := notAfter(current.SPKey).Add(-policy.RotationWindow)
	switch {
	case next != nil && asked:
		p.set.Rotation = wish.Rotation
		return p.step(KeyStepNote)
	case next == nil && wish.Provided == nil && (asked || !now.Before(due)):
		if asked {
			p.set.Rotation = wish.Rotation
		}
		p.make = snapshot.KeyNext
		return p.step(KeyStepPublish)
	}
	if next == nil && wish.Provided == nil {
		p.at(due)
	}
	for _, waiting := range []*SPKeyState{next, previous} {
		if waiting != nil && !waiting.Served.IsZero() {
			p.at(waiting.Served.Add(policy.Overlap))
		}
	}
	return p
}

// first finds a signing key where there is none. Outside of the very first time that means that somebody edited the Secret: then a key
// that was published is better than a new one.
func (p KeyPlan) first(next, previous *SPKeyState, wish KeyWish) KeyPlan {
	if wish.Rotation != "" {
		p.set.Rotation = wish.Rotation
	}
	switch {
	case next != nil:
		p.move(snapshot.KeyNext, snapshot.KeyCurrent)
		return p.step(KeyStepRotate)
	case previous != nil:
		p.move(snapshot.KeyPrevious, snapshot.KeyCurrent)
		return p.step(KeyStepRotate)
	case wish.Provided != nil:
		p.set.Keys = append(p.set.Keys, p.state(*wish.Provided, snapshot.KeyCurrent))
	default:
		p.make = snapshot.KeyCurrent
	}
	return p.step(KeyStepCreate)
}

// provide makes the user's key the next one, unless it is that or the current one already.
func (p *KeyPlan) provide(current SPKeyState, next *SPKeyState, provided snapshot.SPKey) KeyStep {
	switch {
	case sameKey(current.SPKey, provided) && next == nil, next != nil && sameKey(next.SPKey, provided):
		return KeyStepNone
	case sameKey(current.SPKey, provided):
		// A successor that was made or brought before is not wanted any more; it has signed nothing.
		p.drop(snapshot.KeyNext)
		return KeyStepRetire
	}
	p.drop(snapshot.KeyNext)
	// One that was used before comes back as if it were new: partners may have forgotten it.
	p.set.Keys = slices.DeleteFunc(p.set.Keys, func(k SPKeyState) bool { return sameKey(k.SPKey, provided) })
	p.set.Keys = append(p.set.Keys, p.state(provided, snapshot.KeyNext))
	return KeyStepPublish
}

func (p *KeyPlan) promote() {
	p.move(snapshot.KeyCurrent, snapshot.KeyPrevious)
	p.move(snapshot.KeyNext, snapshot.KeyCurrent)
}

// move changes the phase of the key in one phase.
func (p *KeyPlan) move(from, to snapshot.KeyPhase) {
	for i := range p.set.Keys {
		if p.set.Keys[i].Phase == from {
			p.set.Keys[i] = p.state(p.set.Keys[i].SPKey, to)
			return
		}
	}
}

func (p *KeyPlan) drop(phase snapshot.KeyPhase) {
	p.set.Keys = slices.DeleteFunc(p.set.Keys, func(k SPKeyState) bool { return k.Phase == phase })
}

func (p KeyPlan) step(step KeyStep) KeyPlan {
	p.Step, p.Next = step, time.Time{}
	return p
}

func (p *KeyPlan) at(t time.Time) {
	if p.Next.IsZero() || t.Before(p.Next) {
		p.Next = t
	}
}

func over(since time.Time, overlap time.Duration, now time.Time) bool {
	return !since.IsZero() && !now.Before(since.Add(overlap))
}

func (s KeySet) find(phase snapshot.KeyPhase) *SPKeyState {
	for i := range s.Keys {
		if s.Keys[i].Phase == phase {
			return &s.Keys[i]
		}
	}
	return nil
}

// SPKeys returns the keys as a connection is served with them: Current, Next, Previous.
func (s KeySet) SPKeys() []snapshot.SPKey {
	var keys []snapshot.SPKey
	for _, phase := range []snapshot.KeyPhase{snapshot.KeyCurrent, snapshot.KeyNext, snapshot.KeyPrevious} {
		if k := s.find(phase); k != nil {
			keys = append(keys, k.SPKey)
		}
	}
	return keys
}

// servedSlack is how far the clocks of two runs of the operator may be apart.
const servedSlack = 5 * time.Minute

// MarkServed notes which keys every ready pod serves now, in which phase, and tells whether that is news. served is what the snapshot that
// all of them acknowledged has for the connection.
func (s KeySet) MarkServed(served []snapshot.SPKey, now time.Time) (KeySet, bool) {
	marked := KeySet{Keys: slices.Clone(s.Keys), Rotation: s.Rotation}
	changed := false
	for i := range marked.Keys {
		key := &marked.Keys[i]
		known := slices.ContainsFunc(served, func(k snapshot.SPKey) bool { return k.Phase == key.Phase && sameKey(k, key.SPKey) })
		// A clock that was ahead would let its overlap last for as much longer.
		if known && (key.Served.IsZero() || key.Served.Sub(now) > servedSlack) {
			key.Served, changed = now.UTC(), true
		}
	}
	return marked, changed
}
