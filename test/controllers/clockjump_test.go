package controllers

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/internal/trust"
)

// set is the machine's clock, set forward or back: the time of day is another, and the time that passes, which timers and differences go by, is not.
type set struct {
	clock.RealClock
	by atomic.Int64 // in seconds
}

// Now changes the time of day alone, as the kernel does. Nothing in the library of Go can do that to a time: its first word has the seconds above 30 bits of nanoseconds.
func (s *set) Now() time.Time {
	now := time.Now()
	*(*uint64)(unsafe.Pointer(&now)) += uint64(s.by.Load()) << 30
	return now
}

func (s *set) Since(t time.Time) time.Duration { return s.Now().Sub(t) }

func (s *set) to(t testing.TB, by time.Duration) {
	t.Helper()
	s.by.Store(int64(by / time.Second))
	before, after := time.Now(), s.Now()
	if passed, day := after.Sub(before), after.Round(0).Sub(before.Round(0)); passed > time.Minute || passed < 0 || (day-by).Abs() > time.Minute {
		t.Fatalf("the clock is set by %s: %s have passed and the day is another by %s", by, passed, day)
	}
}

// TestTheOperatorsClockIsSet forward and back, by minutes, hours and two years, or the machine sleeps for that long. What has expired by it is taken out of service
// and told within seconds, and is good again within seconds when the clock is right: nothing waits for a timer that was set by another time of day.
func TestTheOperatorsClockIsSet(t *testing.T) {
	t.Parallel()
	ns, clock := namespace(t), &set{}
	now := time.Now()
	server := newPlayed(t)
	newOperatorOf := func() *operator {
		return newOperator(t, ns, withClock(clock), withFetcher(trust.FetcherOptions{Proxy: server.through, Clock: clock}))
	}
	o := newOperatorOf()
	object, binding := server.connection(ns, "okta")
	idp := valid(t, upstream(t, "okta"), now.Add(-3*365*day), now.Add(100*day))
	until := now.Add(40 * day).UTC().Truncate(time.Second)
	server.play("okta", answer(strings.Replace(string(idp.Metadata()), "<md:EntityDescriptor", fmt.Sprintf(`<md:EntityDescriptor validUntil="%s"`, until.Format(time.RFC3339)), 1)))
	create(t, server.ca(ns), signInProvider(ns), object, binding)
	door := newDoor(t, o)
	good := func(when string) {
		t.Helper()
		await(t, object, "Ready", isTrue, "Serving")
		await(t, object, "CertificatesValid", isTrue, "Valid")
		door.signsIn(t, when, "okta", idp)
	}
	good("before")
	for _, by := range []time.Duration{10 * time.Minute, -10 * time.Minute, 2 * time.Hour, -2 * time.Hour, -365 * day} {
		clock.to(t, by)
		good("while it is set by " + by.String())
	}
	clock.to(t, 0)
	good("when it is right")
	clock.to(t, 730*day)
	await(t, object, "TrustEstablished", isFalse, "MetadataExpired")
	await(t, object, "CertificatesValid", isFalse, "Expired")
	if err := door.signIn("okta", "alice@"+domainOf("okta"), idp); err == nil {
		t.Error("people sign in with metadata that has expired")
	}
	began := time.Now()
	clock.to(t, 0)
	good("when it is right again")
	if took := time.Since(began); took > patience/2 {
		t.Errorf("that took %s", took)
	}
	// What was written while it was ahead holds nobody up after a restart.
	clock.to(t, 730*day)
	await(t, object, "TrustEstablished", isFalse, "MetadataExpired")
	o.stop()
	clock.to(t, 0)
	o.start()
	good("after a restart")
}
