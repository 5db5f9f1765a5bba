package session_test

import (
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// TestAClockThatIsSetSignsNobodyOutForLonger: while it is ahead, sessions that are over by it do not count, and when it is right again they do, at once. What it has
// opened itself does not: such a session would last for as long as the clock was wrong by.
func TestAClockThatIsSetSignsNobodyOutForLonger(t *testing.T) {
	for _, jump := range []time.Duration{10 * time.Minute, 2 * time.Hour, 365 * 24 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, storeURL string) {
				f := newFixture(t, storeURL, session.Options{})
				lasting := func(s *store.Session) { s.ExpiresAt = s.CreatedAt.Add(jump / 2) }
				cached, uncached := f.add("alice@example.com", lasting), f.add("bob@example.com", lasting)
				f.expect(cached, nil)
				f.clock.SetTime(start.Add(jump))
				f.expect(cached, session.ErrNone)
				f.expect(uncached, session.ErrNone)
				ahead, aheadUncached := f.add("carol@example.com"), f.add("dave@example.com")
				f.expect(ahead, nil)
				f.clock.SetTime(start.Add(time.Second))
				f.expect(cached, nil)
				f.expect(uncached, nil)
				f.expect(ahead, session.ErrNone)
				f.expect(aheadUncached, session.ErrNone)

				// Set back, it signs nobody out who was signed in for longer than that; and when it is right again, all are.
				f.clock.SetTime(start.Add(time.Second - store.ClockSlack))
				f.expect(cached, nil)
				f.clock.SetTime(start.Add(-jump))
				f.expect(cached, session.ErrNone)
				f.clock.SetTime(start.Add(2 * time.Second))
				f.expect(cached, nil)
				f.expect(uncached, nil)
			})
		})
	}
}

// TestIdleTimeBeginsAnewWhenTheClockIsRightAgain: a request while the clock was ahead does not keep a session for that much longer.
func TestIdleTimeBeginsAnewWhenTheClockIsRightAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		f := newFixture(t, storeURL, session.Options{})
		token := f.add("alice@example.com", func(s *store.Session) { s.ExpiresAt, s.IdleTimeout = start.Add(365*24*time.Hour), time.Hour })
		f.clock.SetTime(start.Add(50 * time.Minute))
		f.expect(token, nil)
		f.stop() // writes it
		f.run()
		f.clock.SetTime(start.Add(time.Minute))
		f.expect(token, nil)
		f.stop()
		f.run()
		f.clock.Step(62 * time.Minute)
		f.expect(token, session.ErrNone)
	})
}

// TestTheGraceIsNoLongerForAClockThatIsSetBack: revocations go unseen meanwhile.
func TestTheGraceIsNoLongerForAClockThatIsSetBack(t *testing.T) {
	f := newFixture(t, storetest.PostgresURL(t), session.Options{Grace: 15 * time.Minute})
	f.clock.SetTime(start.Add(30 * time.Minute))
	token := f.add("alice@example.com", func(s *store.Session) { s.CreatedAt = start })
	f.expect(token, nil)
	session.SetLost(f.manager, true)
	f.clock.SetTime(start.Add(16 * time.Minute))
	f.expect(token, nil)
	f.clock.SetTime(start.Add(15 * time.Minute))
	f.expect(token, session.ErrUnavailable)
}
