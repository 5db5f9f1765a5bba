package controllers

import (
	"context"
	"net/http"
	"reflect"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"sallyport.dev/sallyport/internal/manageapi"
)

const (
	// countEvery is the least time between two counts of people and sessions; countPerIdP is added up over all IdentityProviders, so that with
	// thousands of them no more than two statuses a second change on average.
	countEvery  = time.Minute
	countPerIdP = 500 * time.Millisecond
	// countRest is how many times as long as a count took the store is left alone after it.
	countRest = 100
	// storeEvery is how often a pod is asked whether its store answers, and storeDoubt after how many pods in a row that say no it is believed.
	storeEvery = 15 * time.Second
	storeDoubt = 2
	// countRetry is how soon a question that failed is asked again, to the next pod.
	countRetry = 5 * time.Second
	// countTimeout bounds one question.
	countTimeout = 30 * time.Second
)

// counting asks one pod of each ServiceProvider from time to time whether its store answers and how many people and sessions are in it, in the background,
// and asks for a pass only when that has changed.
type counting struct {
	pods   AddressOf
	notify func(types.NamespacedName)
	clock  clock.Clock

	mutex sync.Mutex
	ended bool
	all   map[types.NamespacedName]*counter
}

// counter counts for one ServiceProvider. All but the channel is guarded by the mutex of counting.
type counter struct {
	stop  context.CancelFunc
	wake  chan struct{}
	pods  []*corev1.Pod
	next  int // the pod to ask
	token string
	every time.Duration
	last  *manageapi.Stats
	due   time.Time
	// doubts counts the pods in a row that said that the store does not answer.
	doubts int
	// problem is why, as the last one said.
	problem string
}

// down tells whether the store does not answer.
func (c *counter) down() bool { return c.doubts >= storeDoubt }

func newCounting(pods AddressOf, notify func(types.NamespacedName), c clock.Clock) *counting {
	return &counting{pods: pods, notify: notify, clock: c, all: map[types.NamespacedName]*counter{}}
}

// Start ends all counting when the context ends.
func (c *counting) Start(ctx context.Context) error {
	<-ctx.Done()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, one := range c.all {
		one.stop()
	}
	c.ended = true
	return nil
}

// of returns the last counts, nil before the first ones, and whether the store is down and why, and sees to it that these pods are asked for the next ones.
func (c *counting) of(key types.NamespacedName, pods []*corev1.Pod, token string, idps int) (last *manageapi.Stats, down bool, problem string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	one := c.all[key]
	if one == nil {
		if c.ended || len(pods) == 0 || token == "" {
			return nil, false, ""
		}
		ctx, cancel := context.WithCancel(context.Background())
		one = &counter{stop: cancel, wake: make(chan struct{}, 1)}
		c.all[key] = one
		go c.run(ctx, key, one)
	}
	if len(one.pods) == 0 && len(pods) > 0 {
		select {
		case one.wake <- struct{}{}:
		default:
		}
	}
	one.pods, one.token, one.every = nil, token, max(countEvery, time.Duration(idps)*countPerIdP)
	for _, pod := range pods {
		one.pods = append(one.pods, pod.DeepCopy())
	}
	return one.last, one.down(), one.problem
}

// forget ends the counting for a ServiceProvider.
func (c *counting) forget(key types.NamespacedName) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if one := c.all[key]; one != nil {
		one.stop()
		delete(c.all, key)
	}
}

func (c *counting) run(ctx context.Context, key types.NamespacedName, one *counter) {
	for ctx.Err() == nil {
		wait, err := c.look(ctx, key, one)
		if err != nil && ctx.Err() == nil {
			ctrl.Log.WithName("sallyport").Info("a pod could not be asked for the counts of users and sessions; retrying", "serviceProvider", key.String(), "error", err.Error())
		}
		select {
		case <-ctx.Done():
		case <-one.wake:
		case <-c.clock.After(wait):
		}
	}
}

// look asks one pod and returns how long to wait before the next look.
func (c *counting) look(ctx context.Context, key types.NamespacedName, one *counter) (wait time.Duration, err error) {
	c.mutex.Lock()
	pods, next, token := one.pods, one.next, one.token
	due := !c.clock.Now().Before(one.due)
	c.mutex.Unlock()
	if len(pods) == 0 {
		return storeEvery, nil // whoever brings pods wakes us
	}
	pod := pods[next%len(pods)]
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	var state manageapi.Revision
	err = c.pods.call(ctx, pod, token, http.MethodGet, "/v1/revision?timeout=0s", nil, &state)
	if err == nil && c.hear(one, state.Ready, state.StoreProblem) {
		c.notify(key)
	}
	if err == nil && state.Ready && due {
		err = c.count(ctx, key, one, pod, token)
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if err != nil || !state.Ready {
		one.next++
		return countRetry, err
	}
	return min(storeEvery, max(time.Second, one.due.Sub(c.clock.Now()))), nil
}

// hear notes what a pod says of the store, and tells whether that is news.
func (c *counting) hear(one *counter, answers bool, problem string) bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	before, was := one.down(), one.problem
	if one.doubts++; answers {
		one.doubts = 0
	}
	one.problem = problem
	return one.down() != before || one.down() && problem != was
}

func (c *counting) count(ctx context.Context, key types.NamespacedName, one *counter, pod *corev1.Pod, token string) error {
	began, fresh := c.clock.Now(), &manageapi.Stats{}
	if err := c.pods.call(ctx, pod, token, http.MethodGet, "/v1/stats", nil, fresh); err != nil {
		return err
	}
	now := c.clock.Now()
	c.mutex.Lock()
	one.due = now.Add(max(one.every, countRest*now.Sub(began)))
	changed := !reflect.DeepEqual(one.last, fresh)
	one.last = fresh
	c.mutex.Unlock()
	if changed {
		c.notify(key)
	}
	return nil
}
