package controllers

import (
	"strconv"
	"sync/atomic"
	"testing"
)

// lanes are how many runs of a crash matrix go on side by side.
const lanes = 4

// afterEachWrite runs a life of something again and again, and lets the operator die after its first write, then after the second one, and so on, until a life is over before it. Lanes share the
// runs; world makes a namespace and an operator for a lane, and returns what lives once and tells whether the operator died. Returned is how many writes there are to die after.
func afterEachWrite(t *testing.T, world func(t *testing.T) (live func(t *testing.T, k int) (died bool))) (writes int) {
	t.Helper()
	var next, outlived atomic.Int64
	t.Run("crash", func(t *testing.T) {
		for i := range lanes {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				live := world(t)
				for outlived.Load() == 0 {
					if k := next.Add(1); !live(t, int(k)) {
						outlived.CompareAndSwap(0, k)
					}
				}
			})
		}
	})
	return int(outlived.Load()) - 1
}
