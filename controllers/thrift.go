package controllers

import (
	"context"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

const (
	// calm is how long there has been no pass when a burst is over, and burst how many passes make one.
	calm  = 10 * time.Second
	burst = 20
)

// thrift gives memory back when a burst of passes is over. While a directory is imported, a thousand passes and ten thousand Events leave two to three times as
// much garbage as there is in use, and at rest nothing would make Go collect it, or the system get it back, for minutes.
type thrift struct {
	clock   clock.WithDelayedExecution
	release func()

	passes atomic.Int64
}

// Start looks from time to time until the context ends.
func (t *thrift) Start(ctx context.Context) error {
	var released, before int64
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.clock.After(calm):
		}
		now := t.passes.Load()
		if now == before && now-released >= burst {
			t.release()
			released = now
		}
		before = now
	}
}
