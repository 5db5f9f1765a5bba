package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// transitionKey is the key in a record's details.
func transitionKey(t testing.TB, details any) string {
	t.Helper()
	text, err := json.Marshal(details)
	if err != nil {
		t.Fatal(err)
	}
	var d struct{ Transition string }
	if err := json.Unmarshal(text, &d); err != nil || d.Transition == "" {
		t.Fatalf("no transition in %s: %v", text, err)
	}
	return d.Transition
}

// logged counts the records in the store by transition, and those of each type and generation.
func logged(t testing.TB, db *store.DB) (byKey, byGeneration map[string]int) {
	t.Helper()
	byKey, byGeneration = map[string]int{}, map[string]int{}
	lines, _, err := db.Audit(context.Background(), store.AuditQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		r, err := audit.ParseLine(l.Line)
		if err != nil {
			t.Fatal(err)
		}
		byKey[transitionKey(t, r.Details)]++
		byGeneration[fmt.Sprintf("%s %s %d", r.Type, r.Target.Name, r.Target.Generation)]++
	}
	return byKey, byGeneration
}

// TestEveryTransitionIsInTheLogOnceWhateverCrashes lets the operator die after each of its writes, and lets pods lose their answers, while somebody switches an
// IdentityProvider off and on.
func TestEveryTransitionIsInTheLogOnceWhateverCrashes(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	db := storetest.Open(t, storetest.SQLiteURL(t), store.Options{})
	o := newOperator(t, ns)
	create(t, serviceProvider(ns))
	p := newPod(t, ns, "main")
	var calls atomic.Int64
	p.mutex.Lock()
	p.takes = func(records []audit.Incoming) error {
		keyed := make([]store.KeyedRecord, 0, len(records))
		for _, r := range records {
			keyed = append(keyed, store.KeyedRecord{Key: r.Key, Record: r.Record()})
		}
		if _, err := db.WriteAuditOnce(context.Background(), keyed...); err != nil {
			return err
		}
		if calls.Add(1)%3 == 1 {
			return errors.New("the records are there, and the answer is lost")
		}
		return nil
	}
	p.mutex.Unlock()
	idp := identityProvider(ns, "okta", inline(t))
	create(t, idp)
	seen := func() bool {
		return k8s.Get(t.Context(), client.ObjectKeyFromObject(idp), idp) == nil && idp.Status.ObservedGeneration == idp.Generation
	}
	eventually(t, "the IdentityProvider to be seen", seen)
	const rounds = 7
	for k := 1; k <= rounds; k++ {
		crashed := o.wire.crash(k)
		change := client.MergeFrom(idp.DeepCopy())
		idp.Spec.State = map[bool]v1alpha1.State{true: v1alpha1.StateDisabled, false: v1alpha1.StateEnabled}[k%2 == 1]
		if err := k8s.Patch(t.Context(), idp, change); err != nil {
			t.Fatal(err)
		}
		select {
		case <-crashed:
		case <-time.After(3 * time.Second): // it made fewer writes
		}
		o.restart()
		eventually(t, "the change to be seen", seen)
	}
	wanted := []string{"saml_idp_created okta 1"}
	for generation := 2; generation <= 1+rounds; generation++ {
		wanted = append(wanted, fmt.Sprintf("%s okta %d", map[bool]string{true: "saml_idp_disabled", false: "saml_idp_enabled"}[generation%2 == 0], generation))
	}
	var byKey, byGeneration map[string]int
	eventually(t, "every change to be in the log", func() bool {
		byKey, byGeneration = logged(t, db)
		return !slices.ContainsFunc(wanted, func(what string) bool { return byGeneration[what] == 0 })
	})
	told := map[string]audit.Type{}
	for _, r := range o.audit.all() {
		told[transitionKey(t, r.Details)] = r.Type
	}
	for key, n := range byKey {
		if _, ok := told[key]; !ok || n != 1 {
			t.Errorf("transition %s (%s) is in the log %d times", key, told[key], n)
		}
	}
	for _, what := range wanted {
		if n := byGeneration[what]; n != 1 {
			t.Errorf("%s is in the log %d times", what, n)
		}
	}
	for key, recordType := range told {
		// What was told before a crash and not kept may look otherwise after it: the revision that all pods serve, and which fields differ from what was
		// published before.
		if byKey[key] == 0 && recordType != audit.TypeSnapshotProgrammed && recordType != audit.TypeSAMLIdPUpdated {
			t.Errorf("%s, transition %s, is not in the log", recordType, key)
		}
	}
	t.Log(len(byKey), "transitions, sent in", calls.Load(), "requests")
}

// all returns what was recorded so far.
func (l *auditLog) all() []audit.Record {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return slices.Clone(l.records)
}
