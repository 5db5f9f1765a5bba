package controllers

import (
	"sync/atomic"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/snapshot"
)

// TestAPodThatServesNothingNewGetsTheRecordsAllTheSame has a pass publish what no pod acknowledges: what it leaves to the pass that an acknowledgement brings is
// delivered, and the ledger settled, without one.
func TestAPodThatServesNothingNewGetsTheRecordsAllTheSame(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	idp := identityProvider(ns, "okta", inline(t))
	create(t, serviceProvider(ns), idp)
	p := newPod(t, ns, "main")
	await(t, idp, "Ready", isTrue, "Serving")
	o.atRest(t)
	var taken atomic.Int64
	_, revision, _ := p.current()
	p.mutex.Lock()
	p.sees = func(snapshot.Snapshot) { p.revision = revision }
	p.takes = func(records []audit.Incoming) error {
		for _, r := range records {
			if r.Type == audit.TypeSAMLIdPDisabled {
				taken.Add(1)
			}
		}
		return nil
	}
	p.mutex.Unlock()
	change := client.MergeFrom(idp.DeepCopy())
	idp.Spec.State = v1alpha1.StateDisabled
	if err := k8s.Patch(t.Context(), idp, change); err != nil {
		t.Fatal(err)
	}
	await(t, idp, "Programmed", isFalse, v1alpha1.ReasonWaitingForPods)
	eventually(t, "the record to be with the pod", func() bool { return taken.Load() > 0 })
	o.atRest(t)
	if n := taken.Load(); n != 1 {
		t.Errorf("the record was sent %d times", n)
	}
}
