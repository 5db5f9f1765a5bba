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
)

const (
	// countEvery is the least time between two counts of people and sessions; countPerIdP is added up over all IdentityProviders, so that with
	// thousands of them no more than two statuses a second change on average.
	countEvery  = time.Minute
	countPerIdP = 500 * time.Millisecond
	// countRest is how many times as long as a count took the store is left alone after it.
	countRest = 100
	// countRetry is how soon a count that failed is tried again, with the next pod.
	countRetry = 5 * time.Second
	// countTimeout bounds one count.
	countTimeout = 30 * time.Second
)

// counts is what a pod says about people and sessions, by the UIDs of IdentityProviders.
type counts struct {
	Users          int64                `json:"users"`
	ActiveSessions int64                `json:"activeSessions"`
	IdPs           map[string]idpCounts `json:"identityProviders"`
}

type idpCounts struct {
	Users      int64     `json:"users"`
	LastSignIn time.Time `json:"lastSignIn"`
	// GroupOverage counts the people whose groups the IdP did not send because there are too many.
	GroupOverage int64 `json:"groupOverage"`
}

// counting asks one pod of each ServiceProvider from time to time how many people and sessions there are, in the background, and asks for a pass only
// when that has changed.
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
	last  *counts
}

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

// of returns the last counts, nil before the first ones, and sees to it that these pods are asked for the next ones.
func (c *counting) of(key types.NamespacedName, pods []*corev1.Pod, token string, idps int) *counts {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	one := c.all[key]
	if one == nil {
		if c.ended || len(pods) == 0 || token == "" {
			return nil
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
	return one.last
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
		wait, err := c.count(ctx, key, one)
		if err != nil && ctx.Err() == nil {
			ctrl.Log.WithName("sallyport").Info("people and sessions could not be counted; it is tried again", "serviceProvider", key.String(), "error", err.Error())
		}
		select {
		case <-ctx.Done():
		case <-one.wake:
		case <-c.clock.After(wait):
		}
	}
}

// count asks one pod and returns how long to wait for the next count.
func (c *counting) count(ctx context.Context, key types.NamespacedName, one *counter) (wait time.Duration, err error) {
	c.mutex.Lock()
	pods, next, token, every := one.pods, one.next, one.token, one.every
	c.mutex.Unlock()
	if len(pods) == 0 {
		return every, nil // whoever brings pods wakes us
	}
	limited, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	began, fresh := c.clock.Now(), &counts{}
	err = c.pods.call(limited, pods[next%len(pods)], token, http.MethodGet, "/v1/stats", nil, fresh)
	c.mutex.Lock()
	if err != nil {
		one.next++
		c.mutex.Unlock()
		return countRetry, err
	}
	changed := !reflect.DeepEqual(one.last, fresh)
	one.last = fresh
	c.mutex.Unlock()
	if changed {
		c.notify(key)
	}
	return max(every, countRest*c.clock.Now().Sub(began)), nil
}
