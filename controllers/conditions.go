package controllers

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
)

// conditions is the set of conditions of one object in one pass.
type conditions []compile.Condition

func (c *conditions) set(conditionType string, status metav1.ConditionStatus, reason, format string, args ...any) {
	next := compile.Condition{Type: conditionType, Status: status, Reason: reason, Message: format}
	if len(args) > 0 {
		next.Message = fmt.Sprintf(format, args...)
	}
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
	return compile.Condition{Type: conditionType, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonPending, Message: "Not evaluated yet."}
}

// program sets Programmed from what the pods serve. same says that what every pod is known to serve of this object is what it should be,
// so that a change of another object does not make it wait.
func (c *conditions) program(s *scope, f *compile.Finding, same bool) {
	p := s.programmed
	switch {
	case f.Serving == compile.ServingNothing:
		c.set(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonNotServed, "This object is not part of the served snapshot.")
	case f.Serving == compile.ServingLastGood:
		c.set(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonServingLastGood, "This generation cannot be served; the pods serve the last good one.")
	case p.ready == 0:
		c.set(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonNoReadyPods, "No pod is ready: kubectl -n %s describe sp %s", s.key.Namespace, s.key.Name)
	case s.blocked != nil && !same:
		c.set(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, s.blocked.reason, "%s", s.blocked.message)
	case p.all || same:
		c.set(v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "Every pod serves generation %d.", f.Generation)
	default:
		c.set(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonWaitingForPods, "%d of %d pods serve the latest snapshot (generation %d).", p.serving, p.ready, f.Generation)
	}
}

// summarize sets Ready: the first of the given conditions that is not True decides, in the order in which a person would mend them.
func (c *conditions) summarize(s *scope, f *compile.Finding, order ...string) {
	for _, conditionType := range order {
		if found := c.get(conditionType); found.Status != metav1.ConditionTrue {
			c.set(v1alpha1.ConditionReady, found.Status, found.Reason, "%s", found.Message)
			return
		}
	}
	c.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonServing, "Every pod (%s) serves generation %d.", s.programmed.pods(), f.Generation)
}

// merge returns the conditions with their times: one that did not change its status keeps the time of its last transition. Where nothing changed, they are those of
// before themselves.
func (c conditions) merge(before []metav1.Condition, generation int64, now time.Time) []metav1.Condition {
	if slices.EqualFunc(c, before, func(is compile.Condition, was metav1.Condition) bool {
		return is.Type == was.Type && is.Status == was.Status && is.Reason == was.Reason && truncate(is.Message) == was.Message && was.ObservedGeneration == generation &&
			was.LastTransitionTime.Unix() > 0
	}) {
		return before
	}
	merged := make([]metav1.Condition, 0, len(c))
	for _, condition := range c {
		next := metav1.Condition{Type: condition.Type, Status: condition.Status, Reason: condition.Reason, Message: truncate(condition.Message), ObservedGeneration: generation,
			LastTransitionTime: metav1.NewTime(now.Truncate(time.Second))}
		if old := meta.FindStatusCondition(before, condition.Type); old != nil && old.Status == condition.Status && old.LastTransitionTime.Unix() > 0 {
			next.LastTransitionTime = old.LastTransitionTime
		}
		merged = append(merged, next)
	}
	return merged
}

// truncate keeps a message within what the API server takes.
func truncate(message string) string {
	const most = 2000
	if len(message) <= most {
		return message
	}
	if runes := []rune(message); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return message
}

// sameButForWords tells whether nothing but messages differs.
func sameButForWords(before, after []metav1.Condition) bool {
	return slices.EqualFunc(before, after, func(a, b metav1.Condition) bool {
		a.Message, b.Message = "", ""
		return a.Type == b.Type && a.Status == b.Status && a.Reason == b.Reason && a.ObservedGeneration == b.ObservedGeneration
	})
}
