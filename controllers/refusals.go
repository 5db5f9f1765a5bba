package controllers

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"
	eventsac "k8s.io/client-go/applyconfigurations/events/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/saml"
)

const (
	// refusalsPoll is how long a pod may wait for something to tell, and refusalsPause how long one that has told something is left alone: however
	// many sign-ins are refused, each IdP and reason is written this often at most.
	refusalsPoll  = 25 * time.Second
	refusalsPause = 10 * time.Second
	// quiet is after how long the next refusal begins a new series.
	quiet = 30 * time.Minute
	// maxNoted bounds how many kinds of refusals one answer may name.
	maxNoted = 4096
)

// refusals follows what pods tell of refused sign-ins and shows it on the IdentityProviders: one series of Events for each IdP and reason, never one
// Event for each attempt. They say how often and why; whose sign-ins these were is in the audit log of the service provider.
type refusals struct {
	pods   AddressOf
	client client.Client
	owner  func(uid string) (idpOwner, bool)
	clock  clock.Clock
	wake   chan struct{}

	mutex    sync.Mutex
	ended    bool
	followed map[types.NamespacedName]map[podRun]following
	series   map[refusalKey]*refusalSeries
}

// following is one pod that is being followed.
type following struct {
	token string
	stop  context.CancelFunc
}

type refusalKey struct{ idpUID, reason string }

// refusalSeries is one series of Events.
type refusalSeries struct {
	count       int
	first, last time.Time
	// heard is when a pod told of it last, by our own clock.
	heard     time.Time
	unwritten bool
}

func newRefusals(pods AddressOf, c client.Client, owner func(string) (idpOwner, bool), clock clock.Clock) *refusals {
	return &refusals{pods: pods, client: c, owner: owner, clock: clock, wake: make(chan struct{}, 1),
		followed: map[types.NamespacedName]map[podRun]following{}, series: map[refusalKey]*refusalSeries{}}
}

// Start writes Events until the context ends.
func (r *refusals) Start(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			r.end()
			return nil
		case <-r.wake:
		}
		if !r.write(ctx) {
			r.awake()
		}
		select {
		case <-ctx.Done():
		case <-r.clock.After(refusalsPause):
		}
	}
}

func (r *refusals) end() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.ended = true
	for _, pods := range r.followed {
		for _, f := range pods {
			f.stop()
		}
	}
}

func (r *refusals) awake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// follow asks these pods of a ServiceProvider, and no others of it.
func (r *refusals) follow(key types.NamespacedName, pods []*corev1.Pod, token string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	before, now := r.followed[key], map[podRun]following{}
	for _, pod := range pods {
		run := runOf(pod)
		if f, ok := before[run]; ok && f.token == token {
			now[run] = f
			delete(before, run)
			continue
		}
		if r.ended || token == "" {
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		now[run] = following{token, cancel}
		go r.listen(ctx, key, pod.DeepCopy(), token)
	}
	for _, f := range before {
		f.stop()
	}
	if r.followed[key] = now; len(now) == 0 {
		delete(r.followed, key)
	}
}

// listen asks one pod until nobody wants to know any more.
func (r *refusals) listen(ctx context.Context, key types.NamespacedName, pod *corev1.Pod, token string) {
	cursor := ""
	for ctx.Err() == nil {
		asked := r.clock.Now()
		told, next, err := r.pods.refusals(ctx, pod, token, cursor)
		if err == nil {
			cursor = next
			r.note(key, told)
		}
		if err == nil && len(told) == 0 && r.clock.Now().Sub(asked) >= refusalsPause {
			continue // it has waited long enough
		}
		select {
		case <-ctx.Done():
		case <-r.clock.After(refusalsPause):
		}
	}
}

// refusals asks a pod what it has refused after a cursor; the pod answers as soon as there is something.
func (a AddressOf) refusals(ctx context.Context, pod *corev1.Pod, token, cursor string) (told []manageapi.Refusal, next string, err error) {
	var answer manageapi.Page[manageapi.Refusal]
	ctx, cancel := context.WithTimeout(ctx, refusalsPoll+longPoll)
	defer cancel()
	err = a.call(ctx, pod, token, http.MethodGet, "/v1/refusals?"+url.Values{"after": {cursor}, "timeout": {refusalsPoll.String()}}.Encode(), nil, &answer)
	return answer.Items[:min(len(answer.Items), maxNoted)], answer.Next, err
}

// note adds what a pod told. A pod speaks for the IdentityProviders of its own ServiceProvider alone, in words of the closed list, and of nothing that is to come: whoever has
// broken into one makes no more Events than the others do.
func (r *refusals) note(key types.NamespacedName, told []manageapi.Refusal) {
	now := r.clock.Now()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, t := range told {
		owner, known := r.owner(t.IdPUID)
		if !known || owner.serviceProvider != key || t.Count < 1 || !slices.Contains(saml.Reasons(), saml.Reason(t.Reason)) {
			continue
		}
		if t.Last.After(now) {
			t.Last = now
		}
		if t.First.After(t.Last) {
			t.First = t.Last
		}
		k := refusalKey{t.IdPUID, t.Reason}
		s := r.series[k]
		if s == nil || now.Sub(s.heard) > quiet {
			s = &refusalSeries{first: t.First}
			r.series[k] = s
		}
		s.heard = now
		s.count += t.Count
		if t.Last.After(s.last) {
			s.last = t.Last
		}
		s.unwritten = true
		r.awake()
	}
}

// write writes every series that has grown, and tells whether all of them were taken.
func (r *refusals) write(ctx context.Context) bool {
	all := true
	for k, s := range r.unwritten() {
		owner, known := r.owner(k.idpUID)
		if !known {
			continue // it is gone, and its Events are nobody's
		}
		err := r.client.Apply(ctx, refusalEvent(owner, k, s), client.FieldOwner(ownerEvents), client.ForceOwnership)
		if client.IgnoreNotFound(err) != nil && ctx.Err() == nil {
			ctrl.Log.WithName("sallyport").Error(err, "an Event about rejected sign-ins could not be written; retrying", "identityProvider", owner.name, "namespace", owner.serviceProvider.Namespace)
			r.again(k)
			all = false
		}
	}
	return all
}

// unwritten takes the series that have grown since they were written, and forgets those that have been quiet.
func (r *refusals) unwritten() map[refusalKey]refusalSeries {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	grown := map[refusalKey]refusalSeries{}
	for k, s := range r.series {
		switch {
		case s.unwritten:
			s.unwritten = false
			grown[k] = *s
		case r.clock.Now().Sub(s.heard) > quiet:
			delete(r.series, k)
		}
	}
	return grown
}

func (r *refusals) again(k refusalKey) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if s := r.series[k]; s != nil {
		s.unwritten = true
	}
}

// refusalEvent is a series as an Event. What may not change in an Event follows from the first refusal alone.
func refusalEvent(owner idpOwner, k refusalKey, s refusalSeries) *eventsac.EventApplyConfiguration {
	note := refusalNote(owner.serviceProvider.Namespace, owner.name, k.reason)
	// The note is in the name, because it may not change either: another release may word it otherwise.
	event := eventsac.Event(owner.name+"."+keyOf(k.idpUID, "refused", k.reason, s.first.UTC().Format(time.RFC3339Nano), note), owner.serviceProvider.Namespace).
		WithEventTime(metav1.NewMicroTime(s.first.Truncate(time.Microsecond))).WithType(corev1.EventTypeWarning).
		WithReason("SignInRejected").WithAction("AcceptAssertion").
		WithReportingController("sallyport-operator").WithReportingInstance("sallyport-operator").
		WithNote(note).
		WithRegarding(coreac.ObjectReference().WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind(v1alpha1.KindIdentityProvider).
			WithNamespace(owner.serviceProvider.Namespace).WithName(owner.name).WithUID(types.UID(k.idpUID)))
	if s.count > 1 {
		event.WithSeries(eventsac.EventSeries().WithCount(int32(min(s.count, 1<<30))).WithLastObservedTime(metav1.NewMicroTime(s.last.Truncate(time.Microsecond))))
	}
	return event
}

func refusalNote(namespace, name, reason string) string {
	what := "Sign-ins were rejected: " + reason
	if reason == "domain_not_bound" {
		what += " (addresses of a domain that is not bound to this IdP)"
	}
	return fmt.Sprintf("%s. To see why: kubectl sso debug idp/%s -n %s", what, name, namespace)
}
