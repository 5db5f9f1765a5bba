package controllers

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
)

const (
	// longPoll is how long a pod may wait before it answers with what it serves.
	longPoll = 5 * time.Second
	// silence is how long a pod that has just become ready may take to say what it serves.
	silence = 10 * time.Second
)

// revision asks a pod which revision it serves. The pod may wait for want for a while, so that the answer comes as soon as it is true.
func (a AddressOf) revision(ctx context.Context, pod *corev1.Pod, token, want string) (string, error) {
	var answer manageapi.Revision
	ctx, cancel := context.WithTimeout(ctx, 2*longPoll)
	defer cancel()
	err := a.call(ctx, pod, token, http.MethodGet, "/v1/revision?"+url.Values{"wait": {want}, "timeout": {longPoll.String()}}.Encode(), nil, &answer)
	return answer.Revision, err
}

// programmed is what the ready pods have said they serve.
type programmed struct {
	// wanted is the number of pods that there should be, ready that of those that are, and serving that of the ready ones that serve this revision.
	wanted, ready, serving int
	// all is true when there are ready pods and every one serves this revision.
	all bool
}

// pods is the number of pods for people: of a surge during a rollout they need not know.
func (p programmed) pods() string { return fmt.Sprintf("%d/%d", min(p.ready, p.wanted), p.wanted) }

// acknowledge finds out what the ready pods serve. It never waits for them: when one has something new to say, there is another pass.
func (r *Reconciler) acknowledge(ctx context.Context, s *scope) error {
	if s.serviceProvider == nil {
		return nil
	}
	m := s.memory
	var pods corev1.PodList
	if err := r.Client.List(ctx, &pods, client.InNamespace(s.key.Namespace), client.MatchingLabels(render.Selector(s.key.Name)), client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	for i := range pods.Items {
		if _, ok := readySince(&pods.Items[i]); ok {
			s.ready = append(s.ready, &pods.Items[i])
		}
	}
	r.refusals.follow(s.key, s.ready, m.token)
	if len(s.ready) == 0 {
		var err error
		if s.whyUnready, err = r.whyUnready(ctx, s, pods.Items); err != nil {
			return err
		}
	}
	s.programmed = programmed{wanted: int(max(1, s.serviceProvider.Spec.Replicas)), ready: len(s.ready)}
	s.counts, s.storeDown, s.storeProblem = r.counting.of(s.key, s.ready, m.token, len(s.idps))
	if m.published.encoded == nil {
		return nil
	}
	want := m.published.encoded.Revision
	said := r.acks.revisions(s.key, s.ready, want, m.token)
	s.countServing(said, want)
	r.spread(s)
	now := m.agreed(said)
	if s.programmed.all {
		now = m.published.served
	}
	if now == nil {
		return nil
	}
	if m.served = now; m.waitsToBeServed(s.now) {
		// The next pass notes since when a key is served: its overlap is counted from then.
		s.later(settle)
	}
	return nil
}

// countServing counts the pods that have said, each in its place among the ready ones, that they serve the revision.
func (s *scope) countServing(said []string, want string) {
	m := s.memory
	if m.present == nil {
		m.present = map[podRun]bool{}
		for _, pod := range s.ready {
			m.present[runOf(pod)] = true
		}
	}
	silent := 0
	for i, revision := range said {
		since, _ := readySince(s.ready[i])
		switch {
		case revision == want:
			s.programmed.serving++
		case revision != "":
		case m.present[runOf(s.ready[i])] && s.serviceProvider.Status.ProgrammedRevision == want:
			// The operator has just started, and what status says still holds.
			s.programmed.serving++
		case s.now.Sub(since).Abs() < silence:
			silent++
			s.later(silence)
		}
	}
	// A pod that has just come is not counted before it has said something: a rollout is nothing that other objects need to know of.
	if s.programmed.serving > 0 {
		s.programmed.ready -= silent
	}
	s.programmed.all = s.programmed.ready > 0 && s.programmed.serving == s.programmed.ready
}

// agreed is the snapshot that every pod has said it serves: what is the same in it and in a newer one is served, however fast one change follows another. Nil:
// they differ, or that is not known.
func (m *memory) agreed(said []string) *served {
	for _, r := range m.recent {
		if len(said) > 0 && !slices.ContainsFunc(said, func(revision string) bool { return revision != r.revision }) {
			return r.served
		}
	}
	return nil
}

// spread measures how long a change took to reach every pod. Where no pod is ready, there is none that it could reach.
func (r *Reconciler) spread(s *scope) {
	m := s.memory
	if s.programmed.all && !m.spreading.IsZero() {
		r.gauges.propagated(s.key, r.Clock.Now().Sub(m.spreading))
	}
	if s.programmed.all || s.programmed.ready == 0 {
		m.spreading = time.Time{}
	}
}

// waitsToBeServed tells whether there is a key of which it is not noted yet that every pod serves it, although they do.
func (m *memory) waitsToBeServed(now time.Time) bool {
	for _, c := range m.served.snapshot.Connections {
		if known := m.idps[types.UID(c.UID)]; known != nil && known.waits(c.Keys, now) {
			return true
		}
	}
	return m.header.waits(m.served.headerKeys(), now)
}

func (known *keptKeys) waits(served []snapshot.SPKey, now time.Time) bool {
	if !slices.ContainsFunc(known.keys.Keys, func(k trust.SPKeyState) bool { return k.Served.IsZero() }) {
		return false
	}
	_, news := known.keys.MarkServed(served, now)
	return news
}

// readySince returns since when a pod is ready to serve.
func readySince(pod *corev1.Pod) (time.Time, bool) {
	if pod.DeletionTimestamp != nil || pod.Status.PodIP == "" {
		return time.Time{}, false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.LastTransitionTime.Time, c.Status == corev1.ConditionTrue
		}
	}
	return time.Time{}, false
}
