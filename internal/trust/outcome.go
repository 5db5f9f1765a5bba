package trust

import (
	"errors"
	"time"
)

// accept takes a result as the last good copy, unless it must not.
func (e *entry) accept(result *Result, now time.Time) error {
	if result.NotModified {
		if e.good == nil {
			return fail(KindHTTPStatus, "The metadata server said that nothing had changed, without having been asked.")
		}
		if validity, _ := e.good.Metadata.ValidityAt(e.good.ValidSince, now); validity == ValidityExpired {
			return fail(KindExpired, "The metadata expired on %s (validUntil), and the server has nothing newer.", e.good.Metadata.ValidUntil.UTC().Format(time.RFC3339))
		}
		e.keep(e.good.Metadata, result, now, e.good.Changed)
		return nil
	}
	next := result.Metadata
	inService := e.spec.InService
	if e.good != nil {
		inService = e.good.Metadata.Trust.EntityID
	}
	if err := CheckEntityID(inService, next, e.spec.Parse.EntityID); err != nil {
		return err
	}
	changed := now
	if e.good != nil && e.good.Metadata.Digest == next.Digest {
		// The same in another order is the same; only its times are new.
		same := *e.good.Metadata
		same.ValidUntil, same.Trust.ValidUntil, same.CacheDuration, same.Warnings = next.ValidUntil, next.ValidUntil, next.CacheDuration, next.Warnings
		next, changed = &same, e.good.Changed
	} else {
		e.state.Changes = Compare(e.state.Metadata, next)
	}
	e.keep(next, result, now, changed)
	return nil
}

func (e *entry) keep(m *Metadata, result *Result, now, changed time.Time) {
	validSince, kept := now, now
	if old := e.good; old != nil {
		if old.Metadata.ValidUntil.Equal(m.ValidUntil) {
			validSince = old.ValidSince
		}
		if old.Source == e.source && old.Metadata.Digest == m.Digest && stillLong(e.keptUntil, m.ValidUntil, now) {
			kept = old.Kept
		}
	}
	if kept.Equal(now) {
		e.keptUntil = m.ValidUntil
	}
	e.good = &saved{
		Version: savedVersion, URL: e.spec.URL, Source: e.source, ETag: result.ETag, LastModified: result.LastModified,
		Fetched: now.UTC(), Changed: changed.UTC(), ValidSince: validSince.UTC(), Kept: kept.UTC(), Metadata: m,
	}
	e.show()
}

// stillLong tells whether a copy that is kept with one validUntil need not be written again for another: it must not be good for longer,
// nor for less than half of the time. Metadata that is valid for a week from every request would be written all the time otherwise.
func stillLong(keptUntil, until, now time.Time) bool {
	if keptUntil.IsZero() || until.IsZero() {
		return keptUntil.Equal(until)
	}
	return !keptUntil.After(until) && keptUntil.Sub(now) >= until.Sub(now)/2
}

// show puts the good copy into the state.
func (e *entry) show() {
	g := e.good
	e.state.Metadata, e.state.LastFetched, e.state.LastChanged, e.state.ValidSince, e.state.Kept = g.Metadata, g.Fetched, g.Changed, g.ValidSince, g.Kept
}

// refuse notes a failure and returns how long to wait.
func (e *entry) refuse(err error, now time.Time, random float64) time.Duration {
	typed, ok := errors.AsType[*Error](err)
	if !ok {
		typed = fail(KindConnection, "The metadata could not be fetched.")
	}
	if e.state.Failures == 0 {
		e.state.FailingSince = now
	}
	e.state.Failures++
	e.state.Failure = typed
	return afterFailure(e.state.Failures, e.spec.Interval, e.good != nil, typed.RetryAfter, random)
}
