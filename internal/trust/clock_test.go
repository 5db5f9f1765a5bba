package trust

import (
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/snapshot"
)

// TestACopyThatAClockHasFetchedAheadIsFetchedInItsInterval: an operator that starts with the right clock does not wait until the one that was ahead would have asked again.
func TestACopyThatAClockHasFetchedAheadIsFetchedInItsInterval(t *testing.T) {
	r := newRefresherTest(t, RefresherOptions{})
	setDocument(r.server, standalone("https://idp.example.com", goodRole(signer(t, "first"))))
	r.clock.SetTime(testNow.AddDate(1, 0, 0))
	r.Ensure("a", r.spec("changing"))
	r.await("a")
	kept := r.Saved("a")

	next := newRefresherTest(t, RefresherOptions{})
	if err := next.Restore("a", kept); err != nil {
		t.Fatal(err)
	}
	if state := next.Ensure("a", r.spec("changing")); state.NextRefresh.After(testNow.Add(time.Hour)) {
		t.Errorf("it is fetched again at %s, and now is %s", state.NextRefresh, testNow)
	}
}

// TestAnOverlapIsCountedAnewWhenTheClockWasAhead: a key that was marked as served ahead would not sign for as long.
func TestAnOverlapIsCountedAnewWhenTheClockWasAhead(t *testing.T) {
	key := snapshot.SPKey{Phase: snapshot.KeyNext, Certificate: []byte("next")}
	set, _ := KeySet{Keys: []SPKeyState{{SPKey: key}}}.MarkServed([]snapshot.SPKey{key}, testNow.AddDate(1, 0, 0))
	if again, news := set.MarkServed([]snapshot.SPKey{key}, testNow.AddDate(1, 0, 0).Add(-time.Minute)); news || !again.Keys[0].Served.Equal(testNow.AddDate(1, 0, 0)) {
		t.Error("a clock that is a minute behind counts anew")
	}
	if again, news := set.MarkServed([]snapshot.SPKey{key}, testNow); !news || !again.Keys[0].Served.Equal(testNow) {
		t.Errorf("%+v", again.Keys[0])
	}
}
