package controllers

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
)

// advance takes keys one step further in their life. served are the keys that every ready pod serves. Each step is written before anything uses it, so that a
// crash at any point leaves keys that the next pass goes on from. newKey may say errNoKeyYet: then nothing has changed.
func (known *keptKeys) advance(s *scope, served []snapshot.SPKey, policy trust.KeyPolicy, wish trust.KeyWish,
	newKey func() (snapshot.SPKey, error), write func(set trust.KeySet, first bool) error) error {
	set := known.keys
	if marked, news := set.MarkServed(served, s.now); news {
		set = marked
	}
	plan := trust.PlanKeys(set, policy, wish, s.now)
	next, err := plan.Apply(newKey)
	if err != nil {
		return err
	}
	if known.keysLost || !sameSet(next, known.keys) {
		if err := write(next, known.keysGone || len(known.keys.Keys) == 0); err != nil {
			return fmt.Errorf("writing the Secret of the keys: %w", err)
		}
		known.keys, known.keysLost, known.keysGone = next, false, false
	}
	if plan.Step != trust.KeyStepNone {
		s.later(time.Second) // there may be a further step
	} else {
		s.laterAt(plan.Next)
	}
	return nil
}

func sameSet(a, b trust.KeySet) bool {
	if a.Rotation != b.Rotation || len(a.Keys) != len(b.Keys) {
		return false
	}
	for i := range a.Keys {
		x, y := a.Keys[i], b.Keys[i]
		if x.Phase != y.Phase || !x.Since.Equal(y.Since) || !x.Served.Equal(y.Served) || string(x.Certificate) != string(y.Certificate) {
			return false
		}
	}
	return true
}

// mendKeys takes keys that somebody has put into the Secret, if they can be used; otherwise those that are in service are written again.
func (known *keptKeys) mendKeys(secret *corev1.Secret, exists bool) {
	set, err := trust.KeySetFromData(secret.Data)
	if usable := exists && err == nil && len(set.Keys) > 0; usable {
		known.keys, known.keysProblem = set, ""
		return
	}
	known.keysProblem = ""
	known.keysLost = len(known.keys.Keys) > 0
	known.keysGone = !exists
}
