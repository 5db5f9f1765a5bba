package controllers

import (
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"sallyport.dev/sallyport/api/v1alpha1"
)

func TestTheCacheKeepsWhoChangedAnObjectAndNotWhich(t *testing.T) {
	at := metav1.NewTime(time.Unix(1000, 0))
	kinds := map[string]client.Object{"ServiceProvider": &v1alpha1.ServiceProvider{}, "IdentityProvider": &v1alpha1.IdentityProvider{},
		"DomainBinding": &v1alpha1.DomainBinding{}, "AttributeMapping": &v1alpha1.AttributeMapping{}}
	seen := 0
	for kind, options := range CacheOptions(nil).ByObject {
		for name, object := range kinds {
			if reflect.TypeOf(kind) != reflect.TypeOf(object) {
				continue
			}
			seen++
			object.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kubectl", Time: &at, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`)},
				{Manager: "sallyport-status", Subresource: "status", FieldsV1: metav1.NewFieldsV1(`{"f:status":{}}`)}})
			kept, err := options.Transform(object)
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range kept.(client.Object).GetManagedFields() {
				if entry.FieldsV1 != nil {
					t.Errorf("%s keeps the fields that %s has changed", name, entry.Manager)
				}
			}
			if who := actor(kept.(client.Object)); who.Manager != "kubectl" {
				t.Errorf("%s: who changed it is %+v", name, who)
			}
		}
	}
	if seen != len(kinds) {
		t.Errorf("%d of %d kinds have such a cache", seen, len(kinds))
	}
}

// TestAPodWakesAPassWhenItSaysSomethingNew: what a pass knows of pods is whether they are ready, since when, which run of them, and what is wrong with them.
func TestAPodWakesAPassWhenItSaysSomethingNew(t *testing.T) {
	at := metav1.NewTime(time.Unix(1000, 0))
	container := func(s *corev1.PodStatus) *corev1.ContainerStatus { return &s.ContainerStatuses[0] }
	ready := corev1.PodStatus{PodIP: "10.0.0.1", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: at}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "service-provider", Ready: true}}}
	starting := corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "service-provider", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}}}}
	wait := func(reason string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			container(&p.Status).State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
		}
	}
	for _, c := range []struct {
		name   string
		status corev1.PodStatus
		change func(*corev1.Pod)
		passes bool
	}{
		{"it becomes ready", starting, func(p *corev1.Pod) { p.Status = ready }, true},
		{"it is not ready any more", ready, func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }, true},
		{"it was not ready in between", ready, func(p *corev1.Pod) { p.Status.Conditions[0].LastTransitionTime = metav1.NewTime(at.Add(time.Second)) }, true},
		{"it has restarted, and was ready before and after", ready, func(p *corev1.Pod) { container(&p.Status).RestartCount++ }, true},
		{"it is being deleted", ready, func(p *corev1.Pod) { p.DeletionTimestamp = &at }, true},
		{"it has lost its address", ready, func(p *corev1.Pod) { p.Status.PodIP = "" }, true},
		{"its image cannot be got", starting, wait("ErrImagePull"), true},
		{"no node has room for it", starting, func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/3 nodes are available"}}
		}, true},
		{"its container runs and is not ready", starting, func(p *corev1.Pod) {
			container(&p.Status).State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
		}, true},
		{"it waits for something else without a word", starting, wait("PodInitializing"), false},
		{"a probe has looked at it", ready, func(p *corev1.Pod) { p.Status.Conditions[0].LastProbeTime = at }, false},
		{"a label", ready, func(p *corev1.Pod) { p.Labels = map[string]string{"a": "b"} }, false},
		{"nothing", ready, func(*corev1.Pod) {}, false},
	} {
		before := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "a"}, Status: c.status}
		after := before.DeepCopy()
		c.change(after)
		if got := podChanged.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != c.passes {
			t.Errorf("%s: a pass is asked for: %v", c.name, got)
		}
	}
	if pod := (&corev1.Pod{Status: starting}); !podChanged.Create(event.CreateEvent{Object: pod}) || !podChanged.Delete(event.DeleteEvent{Object: pod}) {
		t.Error("a pod that comes or goes asks for no pass")
	}
}
