package controllers

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

const (
	// firstPollPause and lastPollPause bound how long a pod that cannot be asked is left alone.
	firstPollPause = 100 * time.Millisecond
	lastPollPause  = 10 * time.Second
)

// podRun is one run of a pod's container: after a restart nothing is known of it any more.
type podRun struct {
	uid      types.UID
	restarts int32
}

// question is what a pod is being asked.
type question struct {
	want, token string
	stop        context.CancelFunc
}

// acknowledgements remembers what each pod said last, and asks in the background those that have not said what is wanted.
type acknowledgements struct {
	pods   AddressOf
	notify func(types.NamespacedName)
	clock  clock.Clock

	mutex     sync.Mutex
	ended     bool
	said      map[types.NamespacedName]map[podRun]string
	questions map[podRun]question
}

func newAcknowledgements(pods AddressOf, notify func(types.NamespacedName), c clock.Clock) *acknowledgements {
	return &acknowledgements{pods: pods, notify: notify, clock: c, said: map[types.NamespacedName]map[podRun]string{}, questions: map[podRun]question{}}
}

// Start ends every question when the context ends.
func (a *acknowledgements) Start(ctx context.Context) error {
	<-ctx.Done()
	a.mutex.Lock()
	defer a.mutex.Unlock()
	for run := range a.questions {
		a.stop(run)
	}
	a.ended = true
	return nil
}

// revisions returns what each pod is known to serve ("": nothing is known), and sees to it that those are asked for which that is not want.
// Pods that are not in the list are not asked any more.
func (a *acknowledgements) revisions(key types.NamespacedName, pods []*corev1.Pod, want, token string) []string {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	before, now := a.said[key], map[podRun]string{}
	answers := make([]string, 0, len(pods))
	for _, pod := range pods {
		run := runOf(pod)
		now[run] = before[run]
		answers = append(answers, before[run])
		if before[run] != want {
			a.start(key, pod, run, want, token)
		}
	}
	for run := range before {
		if _, still := now[run]; !still {
			a.stop(run)
		}
	}
	a.said[key] = now
	return answers
}

// start asks a pod, unless it is being asked for the same already.
func (a *acknowledgements) start(key types.NamespacedName, pod *corev1.Pod, run podRun, want, token string) {
	if a.ended {
		return
	}
	if q, ok := a.questions[run]; ok {
		if q.want == want && q.token == token {
			return
		}
		q.stop()
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.questions[run] = question{want: want, token: token, stop: cancel}
	go a.poll(ctx, key, pod.DeepCopy(), run, want, token)
}

func (a *acknowledgements) stop(run podRun) {
	if q, ok := a.questions[run]; ok {
		q.stop()
		delete(a.questions, run)
	}
}

// forget stops asking the pods of a ServiceProvider.
func (a *acknowledgements) forget(key types.NamespacedName) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	for run := range a.said[key] {
		a.stop(run)
	}
	delete(a.said, key)
}

// poll asks until the pod serves what is wanted, or nobody wants to know any more.
func (a *acknowledgements) poll(ctx context.Context, key types.NamespacedName, pod *corev1.Pod, run podRun, want, token string) {
	pause := firstPollPause
	for ctx.Err() == nil {
		got, err := a.pods.revision(ctx, pod, token, want)
		if ctx.Err() != nil {
			return
		}
		if err == nil && a.hear(key, run, got) {
			a.notify(key)
		}
		if err == nil && got == want {
			a.done(run, want)
			return
		}
		select {
		case <-ctx.Done():
		case <-a.clock.After(pause):
		}
		if pause = min(2*pause, lastPollPause); err == nil {
			pause = firstPollPause
		}
	}
}

// hear stores what a pod said, and tells whether that is news.
func (a *acknowledgements) hear(key types.NamespacedName, run podRun, got string) bool {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	said := a.said[key]
	if said == nil || said[run] == got {
		return false
	}
	said[run] = got
	return true
}

func (a *acknowledgements) done(run podRun, want string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if q, ok := a.questions[run]; ok && q.want == want {
		q.stop()
		delete(a.questions, run)
	}
}

func runOf(pod *corev1.Pod) podRun {
	run := podRun{uid: pod.UID}
	for _, c := range pod.Status.ContainerStatuses {
		run.restarts += c.RestartCount
	}
	return run
}
