package controllers

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/manageapi"
)

const (
	// removalTimeout bounds one attempt; the service provider goes on where it stopped.
	removalTimeout = 45 * time.Second
	// firstRemovalPause and lastRemovalPause bound how long a service provider that did not answer is left alone.
	firstRemovalPause = time.Second
	lastRemovalPause  = time.Minute
	// parting is how long an IdentityProvider that nothing holds any more waits for its sessions to end, so that its keys go last. A service provider
	// that does not answer holds nothing up for longer: the rest is done when it does.
	parting = time.Second
)

// undo has the service provider end the sessions of IdentityProviders that are gone, mark their groups invalid and scrub what is to be scrubbed. It begins
// when no pod can open a session any more. What is left to do is in the ledger, so that neither a crash nor a pod that does not answer loses it; the service
// provider does it once, and records it with its result.
func (r *Reconciler) undo(_ context.Context, s *scope) error {
	s.undone, s.undoing = map[types.UID]bool{}, map[types.UID]bool{}
	there := map[types.UID]bool{}
	for i := range s.idps {
		there[s.idps[i].UID] = !s.goes(&s.idps[i])
	}
	asked := map[types.UID]bool{}
	for uid, entry := range s.memory.ledger.Entries {
		if entry.Kind != v1alpha1.KindIdentityProvider || there[uid] {
			continue
		}
		asked[uid] = true
		if s.serviceProvider == nil {
			s.undone[uid], s.undoing[uid] = r.removals.known(s.key, uid)
			continue
		}
		if !s.programmed.all || s.memory.published.hasConnection(uid) {
			continue // its pods are asked again when they have said that they serve the newest snapshot
		}
		done, next := r.removals.of(s.key, uid, manageapi.Removal{Name: entry.Name, Namespace: s.key.Namespace, Scrub: entry.Scrub}, s.ready, s.memory.token)
		s.undone[uid] = done
		s.laterAt(next)
	}
	r.removals.keep(s.key, asked)
	return nil
}

// goes tells whether an IdentityProvider is being deleted and has no domain bindings.
func (s *scope) goes(idp *v1alpha1.IdentityProvider) bool {
	return idp.DeletionTimestamp != nil && !s.bound(idp)
}

// parts tells whether an IdentityProvider that goes waits for its sessions to end.
func (s *scope) parts(idp *v1alpha1.IdentityProvider) bool {
	if s.serviceProvider == nil || s.programmed.ready == 0 || s.undone[idp.UID] {
		return false
	}
	known := s.memory.idp(idp.UID)
	if known.parting.IsZero() {
		known.parting = s.now
	}
	until := known.parting.Add(parting)
	if !s.now.Before(until) {
		return false
	}
	s.laterAt(until)
	return true
}

// removedNote says to people what came of it.
func removedNote(name string, r audit.Deletion) string {
	profiles := "profile values kept"
	if r.Scrubbed {
		profiles = plural(r.Values, "profile value") + " of " + plural(r.Users, "user") + " cleared"
	}
	return fmt.Sprintf("IdentityProvider %s was removed: %s ended, %s kept and marked invalid, %s.", name, plural(r.Sessions, "session"), plural(r.Groups, "group"), profiles)
}

// plural counts things.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// removedNews is the Event on the ServiceProvider: the IdentityProvider itself is gone.
func (r *Reconciler) removedNews(s *scope, uid types.UID, name string) news {
	return news{key: keyOf(string(uid), "removed"), kind: v1alpha1.KindServiceProvider, about: s.serviceProvider,
		event: &eventNote{reason: "IdentityProviderRemoved", action: "Delete", note: removedNote(name, r.removals.result(s.key, uid))}}
}

// remove has a pod undo what an IdentityProvider has left, and may be repeated.
func (a AddressOf) remove(ctx context.Context, pod *corev1.Pod, token string, uid types.UID, what manageapi.Removal) (result audit.Deletion, err error) {
	return result, a.call(ctx, pod, token, http.MethodPost, "/v1/identity-providers/"+url.PathEscape(string(uid))+"/remove", what, &result)
}

// removals asks service providers in the background, until they have answered.
type removals struct {
	pods   AddressOf
	notify func(types.NamespacedName)
	clock  clock.Clock

	mutex sync.Mutex
	all   map[types.NamespacedName]map[types.UID]*attempt
}

// attempt is what has become of one removal.
type attempt struct {
	running, done bool
	next          time.Time
	failures      int
	result        audit.Deletion
}

func newRemovals(pods AddressOf, notify func(types.NamespacedName), c clock.Clock) *removals {
	return &removals{pods: pods, notify: notify, clock: c, all: map[types.NamespacedName]map[types.UID]*attempt{}}
}

// of tells whether the service provider has done it, and when to look again. It starts an attempt when one is due.
func (r *removals) of(key types.NamespacedName, uid types.UID, what manageapi.Removal, pods []*corev1.Pod, token string) (done bool, next time.Time) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.all[key] == nil {
		r.all[key] = map[types.UID]*attempt{}
	}
	a := r.all[key][uid]
	if a == nil {
		a = &attempt{}
		r.all[key][uid] = a
	}
	switch {
	case a.done:
		return true, time.Time{}
	case a.running || len(pods) == 0:
		return false, time.Time{}
	case r.clock.Now().Before(a.next):
		return false, a.next
	}
	a.running = true
	go r.try(key, uid, a, what, pods[a.failures%len(pods)].DeepCopy(), token)
	return false, time.Time{}
}

// known tells whether the service provider has done it, or is doing it.
func (r *removals) known(key types.NamespacedName, uid types.UID) (done, running bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	a := r.all[key][uid]
	return a != nil && a.done, a != nil && a.running
}

// result is what came of a removal that is done.
func (r *removals) result(key types.NamespacedName, uid types.UID) audit.Deletion {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if a := r.all[key][uid]; a != nil {
		return a.result
	}
	return audit.Deletion{}
}

// keep forgets the removals that are not asked for any more.
func (r *removals) keep(key types.NamespacedName, asked map[types.UID]bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	keepAsked(r.all, key, asked)
}

// keepAsked leaves of what is known of a ServiceProvider's objects what is asked for.
func keepAsked[T any](all map[types.NamespacedName]map[types.UID]T, key types.NamespacedName, asked map[types.UID]bool) {
	maps.DeleteFunc(all[key], func(uid types.UID, _ T) bool { return !asked[uid] })
	if len(all[key]) == 0 {
		delete(all, key)
	}
}

func (r *removals) try(key types.NamespacedName, uid types.UID, a *attempt, what manageapi.Removal, pod *corev1.Pod, token string) {
	defer r.notify(key)
	ctx, cancel := context.WithTimeout(context.Background(), removalTimeout)
	defer cancel()
	result, err := r.pods.remove(ctx, pod, token, uid, what)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	a.result = result
	if a.running, a.done = false, err == nil; a.done {
		return
	}
	a.next = r.clock.Now().Add(min(firstRemovalPause<<min(a.failures, 10), lastRemovalPause))
	a.failures++
	ctrl.Log.WithName("sallyport").Info("the service provider has not cleaned up after a deleted IdentityProvider; retrying",
		"identityProvider", what.Name, "namespace", what.Namespace, "pod", pod.Name, "error", err.Error())
}
