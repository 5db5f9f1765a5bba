package web

import (
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
)

// TestNothingGoesForGoodBeforeTheClockHasRunEvenly for an hour, since the start or since it was set in either direction.
func TestNothingGoesForGoodBeforeTheClockHasRunEvenly(t *testing.T) {
	c := testclock.NewFakeClock(time.Now())
	s, passed := newSteady(c), time.Duration(0)
	s.passed = func() time.Duration { return passed }
	run := func(minutes int) (holds bool) {
		for range minutes {
			c.Step(time.Minute)
			passed += time.Minute
			holds = s.holds()
		}
		return holds
	}
	if run(59) || !run(1) {
		t.Error("it does not take an hour since the start")
	}
	for _, jump := range []time.Duration{10 * time.Minute, -10 * time.Minute, 2 * time.Hour, -2 * time.Hour, 365 * 24 * time.Hour, -365 * 24 * time.Hour} {
		c.SetTime(c.Now().Add(jump))
		if s.holds() || run(59) || !run(2) {
			t.Errorf("it does not take an hour after a jump by %s", jump)
		}
	}
	// A clock that is being slewed is no clock that is set.
	for range 60 {
		c.Step(time.Second)
		if !run(1) {
			t.Fatal("a small correction counts as a jump")
		}
	}
}
