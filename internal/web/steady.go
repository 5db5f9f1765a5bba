package web

import (
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// steadyFor is how long the clock must have run evenly before sessions and records that are old by it are removed for good. A machine starts with a wrong clock, or
	// somebody sets it and sees the mistake: meanwhile nothing is lost.
	steadyFor = time.Hour
	// steadyWithin is how much the time of day may gain or lose against the time that has passed, between two looks.
	steadyWithin = time.Minute
)

// steady watches the time of day by the time that passes, which nobody can set.
type steady struct {
	clock  clock.PassiveClock
	passed func() time.Duration

	mu sync.Mutex
	// looked is the time of day at the last look, at and since how much time had passed then and when the clock was last set.
	looked    time.Time
	at, since time.Duration
}

func newSteady(c clock.PassiveClock) *steady {
	began := time.Now()
	return &steady{clock: c, passed: func() time.Duration { return time.Since(began) }, looked: c.Now().Round(0)}
}

// holds looks at both, and tells whether the clock has run evenly for long enough.
func (s *steady) holds() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, passed := s.clock.Now().Round(0), s.passed()
	if drift := now.Sub(s.looked) - (passed - s.at); drift.Abs() > steadyWithin {
		s.since = passed
	}
	s.looked, s.at = now, passed
	return passed-s.since >= steadyFor
}
