package controllers

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"

	"sallyport.dev/sallyport/internal/manageapi"
)

// What a pod tells makes Events in the API server. One that somebody has broken into must not be able to make as many as it likes.
func TestAPodMakesFewEvents(t *testing.T) {
	clock := testclock.NewFakeClock(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
	key := types.NamespacedName{Namespace: "sso", Name: "main"}
	r := newRefusals(nil, nil, func(string) (idpOwner, bool) { return idpOwner{serviceProvider: key, name: "okta"}, true }, clock)
	var told []manageapi.Refusal
	for i := range maxNoted {
		told = append(told, manageapi.Refusal{IdPUID: "u", Reason: fmt.Sprintf("made_up_%d", i), Count: 1, First: clock.Now(), Last: clock.Now()})
	}
	r.note(key, told)
	if len(r.series) != 0 {
		t.Errorf("%d series of reasons that there are not", len(r.series))
	}
	written := map[string]bool{}
	for i := range 20 {
		at := clock.Now().Add(time.Duration(i-10) * time.Hour)
		r.note(key, []manageapi.Refusal{{IdPUID: "u", Reason: "expired", Count: 1, First: at, Last: at}})
		for range 2 { // the second one clears away
			for k, s := range r.unwritten() {
				written[*refusalEvent(idpOwner{serviceProvider: key, name: "okta"}, k, s).Name] = true
			}
		}
		clock.Step(refusalsPause)
	}
	if len(written) != 1 {
		t.Errorf("times long past and to come made %d Events of one reason", len(written))
	}
}
