package trust

import "time"

// Times between refreshes.
const (
	DefaultInterval = time.Hour
	// minInterval is the shortest time between two fetches, whatever a cacheDuration asks for.
	minInterval = time.Minute
	// firstRetry is the time to the first retry; each further one waits twice as long.
	firstRetry = 30 * time.Second
	// maxRetryFirst caps that while there is no good copy, so that nobody can sign in.
	maxRetryFirst = 5 * time.Minute
)

// afterSuccess is how long to wait after a good fetch: the interval, or less where cacheDuration asks for it or validUntil comes near.
// Up to a tenth is taken off by chance (random is in [0, 1)), so that a thousand connections do not ask at once.
func afterSuccess(interval time.Duration, m *Metadata, now time.Time, random float64) time.Duration {
	if interval <= 0 {
		interval = DefaultInterval
	}
	if m.CacheDuration > 0 {
		interval = min(interval, m.CacheDuration)
	}
	if !m.ValidUntil.IsZero() {
		// Half of what is left leaves time for several tries before the warning at a quarter.
		interval = min(interval, m.ValidUntil.Sub(now)/2)
	}
	interval = max(interval, minInterval)
	return interval - time.Duration(random*float64(interval)/10)
}

// afterFailure is how long to wait after the given number of failures in a row (1 is the first): 30 s, doubled each time up to the interval,
// or as long as the server asks to be left alone, at most the interval.
func afterFailure(failures int, interval time.Duration, haveGood bool, retryAfter time.Duration, random float64) time.Duration {
	if interval <= 0 {
		interval = DefaultInterval
	}
	longest := max(interval, firstRetry)
	if !haveGood {
		longest = min(longest, maxRetryFirst)
	}
	wait := min(firstRetry<<min(max(failures-1, 0), 16), longest)
	wait -= time.Duration(random * float64(wait) / 10)
	return max(wait, min(retryAfter, longest))
}
