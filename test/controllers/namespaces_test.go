package controllers

import (
	"testing"

	"sallyport.dev/sallyport/internal/tracing/tracingtest"
)

// TestLedgersOfOtherNamespacesWait: an operator that is told to work in fewer namespaces than before leaves those of the others alone.
func TestLedgersOfOtherNamespacesWait(t *testing.T) {
	before, now := namespace(t), namespace(t)
	o := newOperator(t, before)
	former, sp := serviceProvider(before), serviceProvider(now)
	create(t, former)
	eventually(t, "the ledger of before", func() bool { return o.remembers(t, former) })
	o.stop()
	collector := tracingtest.NewCollector(t)
	fewer := newOperator(t, now, withTracer(tracingtest.Tracer(t, collector.URL)), func(fewer *operator) { fewer.home = o.home })
	create(t, sp)
	await(t, sp, "Ready", isFalse, "NoReadyPods")
	fewer.atRest(t)
	eventually(t, "passes", func() bool { return len(collector.Named("operator.pass")) > 0 })
	for _, pass := range collector.Named("operator.pass") {
		if ns := attribute(pass, "k8s.namespace.name"); ns != now {
			t.Errorf("a pass over namespace %s: %v", ns, pass.Status)
			break
		}
	}
	if !o.remembers(t, former) {
		t.Error("the ledger of the other namespace is gone")
	}
}
