package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"sallyport.dev/sallyport/internal/resolve"
)

// lookAgain is when it is looked again at what a pod cannot start without, and of which nobody tells the operator.
const lookAgain = 30 * time.Second

// whyUnready says why no pod is ready, as far as anybody has said: what the pods cannot start without, else what the newest of them has come to.
func (r *Reconciler) whyUnready(ctx context.Context, s *scope, pods []corev1.Pod) (string, error) {
	// A pod waits for the Secret without a word in its status.
	_, err := resolve.Read(ctx, referred{r, s}, resolve.StoreConnection(s.serviceProvider))
	if problem, ok := errors.AsType[*resolve.Problem](err); ok {
		s.later(lookAgain)
		return problem.Error(), nil
	}
	if err != nil {
		return "", err
	}
	if problem := s.memory.store.resolved; problem.Reason != "" {
		return problem.Message, nil
	}
	lost, err := r.lostLastingKey(ctx, s)
	if lost != "" {
		s.later(lookAgain)
		return lost, nil
	}
	return troubleOf(pods), err
}

// troubleOf is what the newest pod has come to; empty: nothing that it tells of.
func troubleOf(pods []corev1.Pod) string {
	staying := slices.DeleteFunc(slices.Clone(pods), func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
	if len(staying) == 0 {
		return ""
	}
	newest := slices.MaxFunc(staying, func(a, b corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(b.Name, a.Name))
	})
	return podTrouble(&newest)
}

// podTrouble says what keeps a pod from becoming ready. It says the same for as long as nothing changes, also while a container is tried again and again.
func podTrouble(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			message, _, _ := strings.Cut(c.Message, " preemption:")
			return fmt.Sprintf("Pod %s cannot be scheduled: %s", pod.Name, sentence(message))
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		switch waits := c.State.Waiting; {
		case c.Ready:
		case waits != nil && slices.Contains([]string{"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"}, waits.Reason):
			return fmt.Sprintf("Pod %s cannot pull image %s: correct it where the operator was installed, or set spec.pods.imagePullSecrets.", pod.Name, c.Image)
		case c.RestartCount > 0:
			return fmt.Sprintf("Pod %s keeps restarting: kubectl -n %s logs %s --previous", pod.Name, pod.Namespace, pod.Name)
		case waits != nil && waits.Message != "" && waits.Reason != "CrashLoopBackOff":
			return fmt.Sprintf("Pod %s cannot start (%s): %s", pod.Name, waits.Reason, sentence(waits.Message))
		case c.State.Running != nil:
			return fmt.Sprintf("Pod %s is running but not ready: kubectl -n %s logs %s", pod.Name, pod.Namespace, pod.Name)
		}
	}
	return ""
}

// sentence is what another program said, in one line that ends.
func sentence(message string) string {
	const most = 300
	line := []rune(strings.Join(strings.Fields(message), " "))
	if len(line) > most {
		return string(line[:most]) + "..."
	}
	return strings.TrimSuffix(string(line), ".") + "."
}
