package controllers

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

const (
	// jumpEvery is how often the time of day is held against the time that has passed, and jumpLeast by how much the two must differ.
	jumpEvery = 2 * time.Second
	jumpLeast = 30 * time.Second
)

// jumps asks for a pass over everything when the clock has been set, or the machine has slept. Alarms wait for time that passes; what expires goes by the time of day,
// and what had expired by a clock that was ahead is good again.
type jumps struct {
	clock  clock.PassiveClock
	notify func(types.NamespacedName)
	all    func() []types.NamespacedName
}

// Start watches until the context ends.
func (j *jumps) Start(ctx context.Context) error {
	ticker := time.NewTicker(jumpEvery)
	defer ticker.Stop()
	day, passed := j.clock.Now().Round(0), time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		now, at := j.clock.Now().Round(0), time.Now()
		gained := now.Sub(day) - at.Sub(passed)
		day, passed = now, at
		if gained.Abs() < jumpLeast {
			continue
		}
		for _, key := range j.all() {
			j.notify(key)
		}
	}
}
