package ration

import "time"

// bucket holds tokens: it begins full with most of them, and gets one back every so often.
type bucket struct {
	most  float64
	every time.Duration

	used float64
	at   time.Time
}

// refill is before any question. A clock that was set back gives nothing back until it moves on.
func (b *bucket) refill(now time.Time) {
	if passed := now.Sub(b.at); passed > 0 {
		b.used = max(0, b.used-float64(passed)/float64(b.every))
	}
	b.at = now
}

func (b *bucket) empty() bool { return b.used+1 > b.most }
