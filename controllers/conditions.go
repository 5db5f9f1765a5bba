package controllers

import (
	"fmt"
	"reflect"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/snapshot"
)

// conditions is the set of conditions of one object in one pass.
type conditions []compile.Condition

func (c *conditions) set(conditionType string, status metav1.ConditionStatus, reason, format string, args ...any) {
	next := compile.Condition{Type: conditionType, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...)}
	if i := slices.IndexFunc(*c, func(old compile.Condition) bool { return old.Type == conditionType }); i >= 0 {
		(*c)[i] = next
		return
	}
	*c = append(*c, next)
}

func (c conditions) get(conditionType string) compile.Condition {
	if i := slices.IndexFunc(c, func(old compile.Condition) bool { return old.Type == conditionType }); i >= 0 {
		return c[i]
	}
	return compile.Condition{Type: conditionType, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonPending, Message: "Not looked at yet."}
}

// program sets Programmed from what the pods serve. same says that what every pod is known to serve of this object equals what it should be.
func (c *conditions) program(f *compile.Finding, p programmed, same bool) {
	switch {
	case f.Serving == compile.ServingNothing:
		c.set(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonNotServed, "It is left out of what the pods serve.")
	case f.Serving == compile.ServingLastGood:
		c.set(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonServingLastGood, "This generation cannot be served; the pods serve the last good one.")
	case p.ready == 0:
		c.set(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonNoReadyPods, "No pod is ready: see the pods of the ServiceProvider.")
	case p.all || same:
		c.set(v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "Every pod serves generation %d.", f.Generation)
	default:
		c.set(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonWaitingForPods, "%d of %d pods serve generation %d.", p.serving, p.ready, f.Generation)
	}
}

// summarize sets Ready: the first of the given conditions that is not True decides, in the order in which a person would mend them.
func (c *conditions) summarize(f *compile.Finding, p programmed, order ...string) {
	for _, conditionType := range order {
		if found := c.get(conditionType); found.Status != metav1.ConditionTrue {
			c.set(v1alpha1.ConditionReady, found.Status, found.Reason, "%s", found.Message)
			return
		}
	}
	c.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonServing, "Every pod (%d/%d) serves generation %d.", p.ready, p.ready, f.Generation)
}

// servedSame tells whether every pod already serves this very connection: then a change of another object does not make it wait.
func servedSame(s *scope, name string) bool {
	now, ok := connection(s.output.Snapshot, name)
	if !ok {
		return false
	}
	before, ok := connection(s.programmed.served, name)
	return ok && reflect.DeepEqual(now, before)
}

func connection(s *snapshot.Snapshot, name string) (snapshot.Connection, bool) {
	if s == nil {
		return snapshot.Connection{}, false
	}
	i := slices.IndexFunc(s.Connections, func(c snapshot.Connection) bool { return c.Name == name })
	if i < 0 {
		return snapshot.Connection{}, false
	}
	return s.Connections[i], true
}

func domain(s *snapshot.Snapshot, binding string) (snapshot.Domain, bool) {
	if s == nil {
		return snapshot.Domain{}, false
	}
	i := slices.IndexFunc(s.Domains, func(d snapshot.Domain) bool { return d.Binding == binding })
	if i < 0 {
		return snapshot.Domain{}, false
	}
	return s.Domains[i], true
}

func servedSameDomain(s *scope, binding string) bool {
	now, ok := domain(s.output.Snapshot, binding)
	if !ok {
		return false
	}
	before, ok := domain(s.programmed.served, binding)
	return ok && now == before
}
