package refusals

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport.dev/sallyport/internal/manageapi"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestWhatWasAnsweredAndNotReceivedIsAnsweredAgain(t *testing.T) {
	tally := New(noon)
	add := func(reason string, minute int) {
		tally.Add("okta", reason, noon.Add(time.Duration(minute)*time.Minute))
	}
	check := func(name string, got []manageapi.Refusal, want ...manageapi.Refusal) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	add("expired", 0)
	add("expired", 1)
	add("domain_not_bound", 2)
	bound := manageapi.Refusal{IdPUID: "okta", Reason: "domain_not_bound", Count: 1, First: noon.Add(2 * time.Minute), Last: noon.Add(2 * time.Minute)}
	first, cursor := tally.After("")
	check("the first answer", first, bound, manageapi.Refusal{IdPUID: "okta", Reason: "expired", Count: 2, First: noon, Last: noon.Add(time.Minute)})

	add("expired", 3)
	again, cursor2 := tally.After("of another process")
	check("the reader lost the answer", again, bound, manageapi.Refusal{IdPUID: "okta", Reason: "expired", Count: 3, First: noon, Last: noon.Add(3 * time.Minute)})
	if cursor == cursor2 {
		t.Error("two answers have the same cursor")
	}
	add("expired", 4)
	next, cursor3 := tally.After(cursor2)
	check("the reader had the answer", next, manageapi.Refusal{IdPUID: "okta", Reason: "expired", Count: 1, First: noon.Add(4 * time.Minute), Last: noon.Add(4 * time.Minute)})
	none, _ := tally.After(cursor3)
	check("nothing new", none)
}

func TestAFloodOfReasonsIsBounded(t *testing.T) {
	tally := New(noon)
	for i := range 3 * maxCounts {
		tally.Add(fmt.Sprint(i), "malformed", noon)
	}
	if counts, _ := tally.After(""); len(counts) != maxCounts {
		t.Errorf("%d counts, want %d", len(counts), maxCounts)
	}
}
