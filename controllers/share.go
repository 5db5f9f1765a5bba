package controllers

import (
	"cmp"
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// A pass writes for a while, what people wait for first, and leaves the rest to the next one: when a thousand servers have failed at once, an object that was
// just applied waits for that while and not for a thousand writes.
const (
	// statusTime is how long a pass writes statuses, so many at a time. What must not wait is written however long it takes.
	statusTime      = 250 * time.Millisecond
	statusesAtATime = 2 * parallelWrites
	// kindTime is how long a pass writes finalizers, how long keys, and how long copies of metadata.
	kindTime = 100 * time.Millisecond
)

// haste says how soon a status is to be written.
type haste int

const (
	// atOnce are the statuses that must not wait, however many there are.
	atOnce haste = iota
	becomesReady
	hasNews
	// wordsOnly is when nothing but words have changed, such as the number of pods in a message.
	wordsOnly
)

func (o change) haste() haste {
	switch ready := v1alpha1.ConditionReady; {
	case o.kind == v1alpha1.KindServiceProvider || o.urgent():
		return atOnce
	case meta.IsStatusConditionTrue(o.conditionsAfter, ready) && !meta.IsStatusConditionTrue(o.conditionsBefore, ready):
		return becomesReady
	case !o.ahead && len(o.news) == 0 && sameButForWords(o.conditionsBefore, o.conditionsAfter):
		return wordsOnly
	}
	return hasNews
}

// writeChanged tells of the statuses that differ from what is there and writes them, as far as the time goes.
func (r *Reconciler) writeChanged(ctx context.Context, s *scope, all []subject) error {
	changed := s.changes(all)
	slices.SortStableFunc(changed, func(a, b change) int { return cmp.Compare(a.haste(), b.haste()) })
	waiting := slices.IndexFunc(changed, func(o change) bool { return o.haste() != atOnce })
	if waiting < 0 {
		waiting = len(changed)
	}
	for began := time.Now(); len(changed) > 0; {
		if waiting == 0 && time.Since(began) > statusTime {
			s.left = true
			s.later(settle)
			return nil
		}
		n := min(max(waiting, statusesAtATime), len(changed))
		if err := r.tellAndWrite(ctx, s, changed[:n]); err != nil {
			return err
		}
		changed, waiting = changed[n:], 0
	}
	return nil
}

// another tells whether there is time for another write of the kind whose first one began then; if not, the next pass goes on.
func (s *scope) another(first *time.Time) bool {
	if first.IsZero() {
		*first = time.Now()
	}
	if time.Since(*first) < kindTime {
		return true
	}
	s.later(settle)
	return false
}
