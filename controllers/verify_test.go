package controllers

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// Whoever binds domains also runs their DNS servers. Any number that never answer hold up nobody else's.
func TestOnesDomainsDoNotWaitForAnothersServers(t *testing.T) {
	ended, stop := context.WithCancel(t.Context())
	defer stop()
	looked := make(chan types.NamespacedName, 1)
	p := newProofs(func(_ context.Context, name string) ([]string, bool, error) {
		if strings.Contains(name, "slow") {
			<-ended.Done()
		}
		return []string{"v"}, true, nil
	}, func(key types.NamespacedName) {
		if key.Namespace == "good" {
			looked <- key
		}
	}, testclock.NewFakeClock(time.Now()))
	bad, good := types.NamespacedName{Namespace: "bad", Name: "main"}, types.NamespacedName{Namespace: "good", Name: "main"}
	for i := range 100 {
		p.of(bad, types.UID(fmt.Sprint(i)), challenge{record: v1alpha1.VerificationRecord{RecordName: fmt.Sprintf("slow%d.example", i), RecordValue: "v"}}, false, false)
	}
	await := time.After(time.Minute) // long enough for any machine
	record := challenge{record: v1alpha1.VerificationRecord{RecordName: "good.example", RecordValue: "v"}}
	p.of(good, "g", record, false, false)
	select {
	case <-looked:
	case <-await:
		t.Fatal("it waits for the servers of somebody else")
	}
	known, _ := p.of(good, "g", record, false, false)
	if v, ok := known.verification(known.seen); !ok || !v.Verified {
		t.Errorf("%+v", v)
	}
}
