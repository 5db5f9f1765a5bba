package trust

import (
	"strings"
	"testing"
	"time"
)

func TestValidUntilIsHonoured(t *testing.T) {
	r := newRefresherTest(t, RefresherOptions{})
	until := testNow.Add(8 * time.Hour)
	setDocument(r.server, strings.Replace(r.server.document, "<md:EntityDescriptor", `<md:EntityDescriptor validUntil="`+until.Format(time.RFC3339)+`"`, 1))
	spec := r.spec("changing")
	spec.Interval = 24 * time.Hour
	r.Ensure("idp", spec)
	state := r.await("idp")
	if !state.NextRefresh.Equal(testNow.Add(4 * time.Hour)) {
		t.Errorf("next refresh %v: half of the time to validUntil is what is left for tries", state.NextRefresh)
	}
	validity, when := state.Validity(testNow)
	if validity != ValidityGood || !when.Equal(testNow.Add(6*time.Hour)) || !state.NextTransition(testNow).Equal(when) {
		t.Errorf("at first: %s until %v", validity, when)
	}
	// The server goes on saying that nothing has changed: the end comes nearer all the same.
	for i := 0; i < 100 && r.clock.Now().Before(until); i++ {
		r.pass(state.NextRefresh.Sub(r.clock.Now()))
		state = r.await("idp")
		if state.Failure == nil && !r.clock.Now().Before(testNow.Add(6*time.Hour)) {
			if validity, _ := state.Validity(r.clock.Now()); validity != ValidityExpiring {
				t.Fatalf("at %v: %s", r.clock.Now(), validity)
			}
		}
	}
	if state.Failure == nil || state.Failure.Kind != KindExpired || state.Trusted(r.clock.Now()) != nil || state.Metadata == nil {
		t.Errorf("at the end: %+v", state)
	}
}

// Metadata that is valid for a week from whenever it is asked for must not be written at every refresh, and what was written must not
// expire while the server goes on saying the same.
func TestMovingValidityIsKeptNowAndThen(t *testing.T) {
	r := newRefresherTest(t, RefresherOptions{})
	original := r.server.document
	const week = 7 * 24 * time.Hour
	move := func() {
		until := r.clock.Now().Add(week).Format(time.RFC3339)
		setDocument(r.server, strings.Replace(original, "<md:EntityDescriptor", `<md:EntityDescriptor validUntil="`+until+`"`, 1))
	}
	move()
	r.Ensure("idp", r.spec("changing"))
	state := r.await("idp")
	writes, written := 1, r.Saved("idp")
	for kept := state.Kept; r.clock.Now().Before(testNow.Add(4 * week)); {
		r.settle()
		r.clock.SetTime(state.NextRefresh)
		move()
		state = r.await("idp")
		if !state.Kept.Equal(kept) {
			kept, written, writes = state.Kept, r.Saved("idp"), writes+1
		}
		// As after a restart at this moment, with the server down.
		again := NewRefresher(RefresherOptions{Source: NewFetcher(FetcherOptions{})})
		if err := again.Restore("idp", written); err != nil {
			t.Fatal(err)
		}
		restored, _ := again.State("idp")
		if restored.Trusted(r.clock.Now().Add(3*24*time.Hour)) == nil || !restored.Kept.Equal(kept) {
			t.Fatalf("at %v the written copy is good until %v only", r.clock.Now(), restored.Metadata.ValidUntil)
		}
	}
	if !state.LastChanged.Equal(testNow) || writes > 10 {
		t.Errorf("changed at %v, %d writes in four weeks", state.LastChanged, writes)
	}
	// One that ends sooner than what was written counts at once.
	kept := state.Kept
	setDocument(r.server, strings.Replace(original, "<md:EntityDescriptor", `<md:EntityDescriptor validUntil="`+r.clock.Now().Add(2*time.Hour).Format(time.RFC3339)+`"`, 1))
	r.RefreshNow("idp")
	if state = r.await("idp"); state.Kept.Equal(kept) {
		t.Error("a shorter validity is not kept")
	}
}
