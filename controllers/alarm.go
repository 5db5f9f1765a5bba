package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// alarms ask for a pass at a time of day: a certificate passes a threshold, a key has been published for long enough. It is the clock of the
// passes that decides, so that a test can set it forward by a year.
type alarms struct {
	clock  clock.WithDelayedExecution
	notify func(types.NamespacedName)

	mutex  sync.Mutex
	timers map[types.NamespacedName]clock.Timer
}

func newAlarms(c clock.WithDelayedExecution, notify func(types.NamespacedName)) *alarms {
	return &alarms{clock: c, notify: notify, timers: map[types.NamespacedName]clock.Timer{}}
}

// set replaces the alarm of a ServiceProvider; the zero time is none.
func (a *alarms) set(key types.NamespacedName, at time.Time) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if old, ok := a.timers[key]; ok {
		old.Stop()
		delete(a.timers, key)
	}
	if at.IsZero() {
		return
	}
	now := a.clock.Now()
	a.timers[key] = a.clock.AfterFunc(max(at.Sub(now), time.Millisecond), func() { a.notify(key) })
	if at.After(now) && !at.After(a.clock.Now()) {
		go a.notify(key) // the clock was set forward in this moment, and the timer counts from then
	}
}
