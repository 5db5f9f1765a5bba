package secondfactor_test

import (
	"errors"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/session/secondfactor"
)

// TestNobodyIsKeptOutForAsLongAsTheClockWasWrongBy: failed attempts while it was ahead by a year cost the longest wait and not a year.
func TestNobodyIsKeptOutForAsLongAsTheClockWasWrongBy(t *testing.T) {
	each(t, func(w *world) {
		secret, _, _ := w.enrolled()
		right := w.clock.Now()
		w.clock.SetTime(right.AddDate(1, 0, 0))
		for range 5 {
			_, err := w.verify(w.waiting(), "000000")
			w.want(err, secondfactor.ErrWrong)
		}
		w.clock.SetTime(right)
		var throttled *secondfactor.ThrottledError
		for range 2 {
			if _, err := w.verify(w.waiting(), w.code(secret)); !errors.As(err, &throttled) || !throttled.Until.Equal(right.Add(15*time.Minute)) {
				w.t.Errorf("got %v, want to wait for the longest time and no longer", err)
			}
		}
		w.clock.Step(15 * time.Minute)
		if _, err := w.verify(w.waiting(), w.code(secret)); err != nil {
			w.t.Error(err)
		}
	})
}

// TestACeremonyEndsWithTheClockThatBeganIt: what was begun ahead cannot be ended for a year.
func TestACeremonyEndsWithTheClockThatBeganIt(t *testing.T) {
	each(t, func(w *world) {
		right, k := w.clock.Now(), w.waiting()
		w.clock.SetTime(right.Add(2 * time.Hour))
		begun, err := w.service.BeginPasskey(w.t.Context(), k)
		if err != nil {
			w.t.Fatal(err)
		}
		response := newAuthenticator(w.t).create(begun.Options)
		finish := func() error {
			_, err := w.service.FinishPasskey(w.t.Context(), k, begun.State, response, "phone", secondfactor.By{})
			return err
		}
		w.clock.SetTime(right)
		w.want(finish(), secondfactor.ErrWrong)
		w.clock.SetTime(right.Add(2 * time.Hour))
		if err := finish(); err != nil {
			w.t.Error(err)
		}
	})
}
