package controllers

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

// TestMemoryIsGivenBackOnceAfterABurst goes from one look to the next.
func TestMemoryIsGivenBackOnceAfterABurst(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Unix(0, 0))
	var released atomic.Int64
	th := &thrift{clock: clock, release: func() { released.Add(1) }}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = th.Start(ctx) }()
	look := func(passes, want int64, what string) {
		t.Helper()
		th.passes.Add(passes)
		for !clock.HasWaiters() {
			time.Sleep(time.Millisecond)
		}
		clock.Step(calm)
		for !clock.HasWaiters() {
			time.Sleep(time.Millisecond)
		}
		if got := released.Load(); got != want {
			t.Errorf("%s: memory was given back %d times, want %d", what, got, want)
		}
	}
	look(0, 0, "before any pass")
	look(burst, 0, "in a burst")
	look(burst, 0, "in a burst that goes on")
	look(0, 1, "after it")
	look(0, 1, "still at rest")
	look(burst-1, 1, "a few passes")
	look(0, 1, "after a few passes")
	look(1, 1, "one more")
	look(0, 2, "when they have come to as many as a burst")
	stop()
	<-ended
}
