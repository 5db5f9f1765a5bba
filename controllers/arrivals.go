package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// arrivals are when the operator first heard of what the next pass over a ServiceProvider will look at.
type arrivals struct {
	mutex sync.Mutex
	since map[types.NamespacedName]time.Time
}

// note keeps the earliest time; the zero time is none.
func (a *arrivals) note(key types.NamespacedName, at time.Time) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.since == nil {
		a.since = map[types.NamespacedName]time.Time{}
	}
	a.since[key] = earliest(a.since[key], at)
	if a.since[key].IsZero() {
		delete(a.since, key)
	}
}

// take returns the time and forgets it; zero: nothing was heard.
func (a *arrivals) take(key types.NamespacedName) time.Time {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	at := a.since[key]
	delete(a.since, key)
	return at
}

// earliest returns the earlier of two times; zero times do not count.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
