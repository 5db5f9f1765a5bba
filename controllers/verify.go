package controllers

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
)

// LookUpTXT returns the TXT records of a name. found is false when the DNS says that there are none; an error means that it gave no answer.
type LookUpTXT func(ctx context.Context, name string) (records []string, found bool, err error)

const (
	// A record that is there is looked at again every hour, one that is not after a time that grows from 10 s to 15 min: people wait for it.
	verifiedAgain  = time.Hour
	firstLookAgain = 10 * time.Second
	lastLookAgain  = 15 * time.Minute
	// benefit is how long a domain that was verified stays so while the DNS gives no answer at all.
	benefit       = 6 * time.Hour
	lookUpTimeout = 10 * time.Second
	// lookUpsAtOnce is how many of one ServiceProvider wait for the DNS at a time. Another one does not wait for those: the servers of a domain are its owner's, and may take
	// all the time that there is.
	lookUpsAtOnce = 8
)

// verify finds out which domains are proved. It asks the DNS in the background, and fails closed: what was never seen is not verified.
func (r *Reconciler) verify(ctx context.Context, s *scope) error {
	s.verified, s.records = map[string]compile.Verification{}, map[string]*v1alpha1.VerificationRecord{}
	if s.serviceProvider == nil {
		return nil
	}
	bindings := s.toVerify()
	if len(bindings) > 0 {
		if err := r.resolveDomainKey(ctx, s); err != nil {
			return err
		}
	}
	asked := map[types.UID]bool{}
	for _, b := range bindings {
		if s.domainKey == nil {
			s.verified[b.Name] = compile.Verification{Reason: v1alpha1.ReasonInvalid, Message: "What its TXT record has to say is not known. " + s.noDomainKey}
			continue
		}
		asked[b.UID] = true
		c := challengeOf(s.serviceProvider, s.domainKey, b.Spec.Domain)
		s.records[b.Name] = &c.record
		verified, former := wasVerified(b, c)
		p, next := r.proofs.of(s.key, b.UID, c, verified, former)
		s.laterAt(next)
		if v, ok := p.verification(s.now); ok {
			s.verified[b.Name] = v
		}
	}
	r.proofs.keep(s.key, asked)
	return nil
}

// toVerify are the bindings whose domain has to be proved to this ServiceProvider. One whose IdentityProvider is missing may be anybody's.
func (s *scope) toVerify() (bindings []*v1alpha1.DomainBinding) {
	for i := range s.bindings {
		b := &s.bindings[i]
		if idp := s.idpNamed(string(b.Spec.IdentityProviderRef.Name)); idp != nil && !s.ownsIdP(idp) {
			continue
		}
		if b.Spec.Verification.Method == v1alpha1.VerificationDNS && b.DeletionTimestamp == nil && compile.DomainProblem(b.Spec.Domain) == "" {
			bindings = append(bindings, b)
		}
	}
	return bindings
}

// wasVerified tells whether an earlier run of the operator has seen that very record, and not the one that another ServiceProvider had asked for; former: with the
// value of an earlier version, which may have written the status, too.
func wasVerified(b *v1alpha1.DomainBinding, c challenge) (verified, former bool) {
	condition := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionVerified)
	shown := ptr.Deref(b.Status.Verification, v1alpha1.VerificationRecord{})
	if !proved(condition) || shown.RecordName != c.record.RecordName {
		return false, false
	}
	if shown.RecordValue == c.record.RecordValue {
		return true, condition.Reason == v1alpha1.ReasonFormerValue
	}
	ofBefore := condition.Reason == v1alpha1.ReasonVerified && shown.RecordValue == c.former
	return ofBefore, ofBefore
}

// proof is what is known of one domain.
type proof struct {
	challenge
	running bool
	next    time.Time
	// answered is true once the DNS has said something, seen when the record was there last, and gone is true when the DNS said that it is not.
	answered, gone bool
	seen           time.Time
	formerSeen     bool // the record had only the value of an earlier version
	other          bool // there are TXT records, of other values
	failures       int
	problem        string
}

// verification is what to say about it; false: nothing is known yet.
func (p proof) verification(now time.Time) (compile.Verification, bool) {
	record := p.record
	write := fmt.Sprintf("write a TXT record %s with the value %q", record.RecordName, record.RecordValue)
	switch {
	case p.gone && p.other:
		return compile.Verification{Reason: v1alpha1.ReasonRecordNotFound, Message: fmt.Sprintf("%s has TXT records, but none has the right value: %s.", record.RecordName, write)}, true
	case p.gone:
		return compile.Verification{Reason: v1alpha1.ReasonRecordNotFound, Message: fmt.Sprintf("There is no TXT record %s: %s.", record.RecordName, write)}, true
	case !p.seen.IsZero() && now.Sub(p.seen) < benefit && p.formerSeen:
		return compile.Verification{Verified: true, Reason: v1alpha1.ReasonFormerValue, Message: fmt.Sprintf("The TXT record %s has the value of an earlier version, "+
			"which is worth nothing in a new cluster or when the ServiceProvider is made again. Beside it, %s.", record.RecordName, write)}, true
	case !p.seen.IsZero() && now.Sub(p.seen) < benefit:
		return compile.Verification{Verified: true, Reason: v1alpha1.ReasonVerified, Message: fmt.Sprintf("The TXT record %s is there.", record.RecordName)}, true
	case p.answered:
		return compile.Verification{Reason: v1alpha1.ReasonLookupFailed, Message: fmt.Sprintf("The TXT record %s could not be looked up: %s. It will be retried; if the record is not there, %s.", record.RecordName, p.problem, write)}, true
	}
	return compile.Verification{}, false
}

// proofs asks the DNS for every domain that is to be verified.
type proofs struct {
	lookUp LookUpTXT
	notify func(types.NamespacedName)
	clock  clock.Clock

	mutex  sync.Mutex
	all    map[types.NamespacedName]map[types.UID]*proof
	places map[types.NamespacedName]chan struct{}
}

func newProofs(lookUp LookUpTXT, notify func(types.NamespacedName), c clock.Clock) *proofs {
	return &proofs{lookUp: lookUp, notify: notify, clock: c, all: map[types.NamespacedName]map[types.UID]*proof{}, places: map[types.NamespacedName]chan struct{}{}}
}

// of returns what is known of a binding's domain and when to look at it again, and starts a look-up when one is due. verified says that an
// earlier run of the operator has seen the record, and former that it had the value of an earlier version: that holds until the DNS says otherwise.
func (p *proofs) of(key types.NamespacedName, uid types.UID, c challenge, verified, former bool) (proof, time.Time) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.all[key] == nil {
		p.all[key], p.places[key] = map[types.UID]*proof{}, make(chan struct{}, lookUpsAtOnce)
	}
	known := p.all[key][uid]
	now := p.clock.Now()
	if known == nil || known.challenge != c {
		known = &proof{challenge: c}
		if verified {
			known.seen, known.formerSeen = now, former
		}
		p.all[key][uid] = known
	}
	if !known.running && !now.Before(known.next) {
		known.running = true
		go p.look(key, p.places[key], known)
	}
	if known.running {
		return *known, time.Time{}
	}
	return *known, known.next
}

// keep forgets the bindings that do not ask for verification any more.
func (p *proofs) keep(key types.NamespacedName, asked map[types.UID]bool) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	keepAsked(p.all, key, asked)
}

func (p *proofs) look(key types.NamespacedName, places chan struct{}, known *proof) {
	defer p.notify(key)
	places <- struct{}{}
	defer func() { <-places }()
	ctx, cancel := context.WithTimeout(context.Background(), lookUpTimeout)
	defer cancel()
	now := p.clock.Now() // an answer is as old as its question
	records, found, err := p.lookUp(ctx, known.record.RecordName)
	p.mutex.Lock()
	defer p.mutex.Unlock()
	known.running, known.answered = false, true
	current := slices.Contains(records, known.record.RecordValue)
	if err == nil && found && (current || slices.Contains(records, known.former)) {
		known.formerSeen = !current
		known.seen, known.gone, known.failures, known.next = now, false, 0, now.Add(verifiedAgain)
		return
	}
	if known.problem = ""; err != nil {
		known.problem = err.Error()
	} else {
		known.gone, known.other = true, found
	}
	known.next = now.Add(min(firstLookAgain<<min(known.failures, 10), lastLookAgain))
	known.failures++
}
