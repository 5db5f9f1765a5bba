package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/internal/snapshot"
)

// programmed is what the ready pods have said they serve.
type programmed struct {
	ready, serving int
	// served is what every ready pod is known to serve, of this revision or an earlier one. Nil: not known.
	served *snapshot.Snapshot
	// all is true when there are ready pods and every one serves this revision.
	all bool
}

// RevisionOf asks one pod which revision it serves. It may wait for want for a few seconds, so that the answer comes as soon as it is true.
type RevisionOf func(ctx context.Context, pod *corev1.Pod, token, want string) (string, error)

const (
	longPoll     = 5 * time.Second
	pollPause    = 500 * time.Millisecond
	pollAttempts = 120
)

// HTTPRevision asks over the management port of the pod.
func HTTPRevision(ctx context.Context, pod *corev1.Pod, token, want string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, longPoll+5*time.Second)
	defer cancel()
	address := net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(render.ManagementPort))
	query := url.Values{"wait": {want}, "timeout": {longPoll.String()}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/v1/revision?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the management API answered %s", response.Status)
	}
	var answer struct {
		Revision string `json:"revision"`
	}
	return answer.Revision, json.NewDecoder(io.LimitReader(response.Body, 4<<10)).Decode(&answer)
}

// podRun is one run of a pod's container: after a restart nothing is known of it any more.
type podRun struct {
	uid      types.UID
	restarts int32
}

// acknowledgements remembers what each pod said last, and asks in the background those that have not said what is wanted.
type acknowledgements struct {
	ask    RevisionOf
	notify func(types.NamespacedName)

	mutex sync.Mutex
	said  map[podRun]string
	want  map[podRun]string // being asked, for this revision
}

func newAcknowledgements(ask RevisionOf, notify func(types.NamespacedName)) *acknowledgements {
	return &acknowledgements{ask: ask, notify: notify, said: map[podRun]string{}, want: map[podRun]string{}}
}

// revision returns what the pod is known to serve ("": nothing is known) and sees to it that it is asked if that is not want.
func (a *acknowledgements) revision(ctx context.Context, key types.NamespacedName, pod *corev1.Pod, want string, token func(context.Context) (string, error)) string {
	run := runOf(pod)
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.said[run] != want && a.want[run] != want {
		a.want[run] = want
		go a.poll(context.WithoutCancel(ctx), key, pod.DeepCopy(), run, want, token)
	}
	return a.said[run]
}

func (a *acknowledgements) poll(ctx context.Context, key types.NamespacedName, pod *corev1.Pod, run podRun, want string, token func(context.Context) (string, error)) {
	defer a.finish(run, want)
	bearer, err := token(ctx)
	for range pollAttempts {
		var got string
		if err == nil {
			got, err = a.ask(ctx, pod, bearer, want)
		}
		if current := a.hear(run, want, got); !current {
			return
		}
		if got == want {
			a.notify(key)
			return
		}
		if err != nil {
			time.Sleep(pollPause)
			bearer, err = token(ctx)
		}
	}
	a.notify(key)
}

// hear stores what a pod said and tells whether anybody still wants to know about want.
func (a *acknowledgements) hear(run podRun, want, got string) bool {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if got != "" {
		a.said[run] = got
	}
	return a.want[run] == want
}

func (a *acknowledgements) finish(run podRun, want string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.want[run] == want {
		delete(a.want, run)
	}
}

func runOf(pod *corev1.Pod) podRun {
	run := podRun{uid: pod.UID}
	for _, c := range pod.Status.ContainerStatuses {
		run.restarts += c.RestartCount
	}
	return run
}

// acknowledge finds out what the ready pods serve. It never waits for them: when one has something new to say, there is another pass.
func (r *Reconciler) acknowledge(ctx context.Context, s *scope) error {
	if s.serviceProvider == nil || s.encoded == nil {
		return nil
	}
	var pods corev1.PodList
	if err := r.Client.List(ctx, &pods, client.InNamespace(s.key.Namespace), client.MatchingLabels(render.Selector(s.key.Name))); err != nil {
		return err
	}
	secret := types.NamespacedName{Namespace: s.key.Namespace, Name: render.ManagementSecretName(s.key.Name)}
	token := func(ctx context.Context) (string, error) { return r.token(ctx, secret) }
	want := s.encoded.Revision
	for i := range pods.Items {
		pod := &pods.Items[i]
		if !podReady(pod) {
			continue
		}
		s.programmed.ready++
		said := r.acks.revision(ctx, s.key, pod, want, token)
		// After a restart of the operator nothing has been said yet, and what status says still holds.
		if said == want || said == "" && s.serviceProvider.Status.ProgrammedRevision == want {
			s.programmed.serving++
		}
	}
	s.programmed.all = s.programmed.ready > 0 && s.programmed.serving == s.programmed.ready
	if s.programmed.all {
		r.setServed(s.key, s.output.Snapshot)
	}
	s.programmed.served = r.served(s.key)
	return nil
}

func podReady(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil || pod.Status.PodIP == "" {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// conditionsOf are the conditions of the object as they were before this pass.
func conditionsOf(object client.Object) []metav1.Condition {
	switch o := object.(type) {
	case *v1alpha1.ServiceProvider:
		return o.Status.Conditions
	case *v1alpha1.IdentityProvider:
		return o.Status.Conditions
	case *v1alpha1.DomainBinding:
		return o.Status.Conditions
	case *v1alpha1.AttributeMapping:
		return o.Status.Conditions
	}
	return nil
}
