package trust

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func newJob(key, host string, c class) *job { return &job{key: key, host: host, class: c, place: -1} }

func keysOf(jobs []*job) string {
	var keys []string
	for _, j := range jobs {
		keys = append(keys, j.key)
	}
	return fmt.Sprint(keys)
}

func TestWhoIsNewComesFirst(t *testing.T) {
	s := newSchedule(2, 10, time.Second)
	for i, j := range []*job{newJob("failing", "a", classFailing), newJob("good", "b", classGood), newJob("new", "c", classNew)} {
		s.set(j, testNow.Add(time.Duration(i)))
	}
	later := newJob("later", "d", classNew)
	s.set(later, testNow.Add(time.Hour))
	start, _, _ := s.next(testNow.Add(time.Second))
	if got := keysOf(start); got != "[new good]" {
		t.Errorf("started %s", got)
	}
	for _, j := range start {
		j.due = testNow.Add(time.Hour)
		s.finish(j, classGood)
	}
	start, _, wake := s.next(testNow.Add(time.Second))
	if got := keysOf(start); got != "[failing]" || !wake.Equal(testNow.Add(time.Hour)) {
		t.Errorf("then %s, wakes at %v", got, wake)
	}
}

func TestFailingConnectionsTakeAQuarterOfThePlacesAtMost(t *testing.T) {
	s := newSchedule(8, 10, time.Second)
	for i := range 20 {
		s.set(newJob(fmt.Sprint("failing", i), fmt.Sprint(i), classFailing), testNow)
	}
	start, giveUp, _ := s.next(testNow)
	if len(start) != 2 || len(giveUp) != 0 {
		t.Fatalf("%d started, %d given up", len(start), len(giveUp))
	}
	for i := range 6 {
		s.set(newJob(fmt.Sprint("good", i), fmt.Sprint("g", i), classGood), testNow)
	}
	if start, _, _ = s.next(testNow); len(start) != 6 {
		t.Errorf("%d good ones started beside them", len(start))
	}
}

func TestOneHostIsNotAskedByEverybodyAtOnce(t *testing.T) {
	s := newSchedule(100, 2, time.Second)
	for i := range 5 {
		s.set(newJob(fmt.Sprint("same", i), "login.example.com", classGood), testNow.Add(time.Duration(i)))
	}
	s.set(newJob("other", "idp.example.com", classGood), testNow.Add(time.Second))
	start, giveUp, _ := s.next(testNow.Add(time.Second))
	if got := keysOf(start); got != "[same0 same1 other]" || len(giveUp) != 0 {
		t.Fatalf("started %s", got)
	}
	parked := s.host("login.example.com").parked
	gone := parked[0]
	s.remove(gone)
	urgent := newJob("urgent", "login.example.com", classNew)
	s.set(urgent, testNow)
	s.next(testNow.Add(time.Second))
	s.finish(start[0], classGood)
	again, _, _ := s.next(testNow.Add(time.Second))
	if got := keysOf(again); got != "[urgent]" {
		t.Errorf("then %s", got)
	}
	s.finish(start[1], classGood)
	if again, _, _ = s.next(testNow.Add(time.Second)); len(again) != 1 || again[0] == gone {
		t.Errorf("then %s", keysOf(again))
	}
}

func TestTheLongestRunningMakesRoomAfterThePatience(t *testing.T) {
	s := newSchedule(3, 10, time.Second)
	first := newJob("first", "a", classGood)
	s.set(first, testNow)
	s.next(testNow)
	for i := range 2 {
		s.set(newJob(fmt.Sprint("second", i), fmt.Sprint(i), classGood), testNow)
	}
	s.next(testNow.Add(100 * time.Millisecond))
	s.set(newJob("waiting", "w", classNew), testNow)
	start, giveUp, wake := s.next(testNow.Add(500 * time.Millisecond))
	if len(start)+len(giveUp) != 0 || !wake.Equal(testNow.Add(time.Second)) {
		t.Errorf("too early: %s started, %s given up, wakes %v", keysOf(start), keysOf(giveUp), wake)
	}
	_, giveUp, _ = s.next(testNow.Add(time.Second))
	if got := keysOf(giveUp); got != "[first]" {
		t.Errorf("given up %s", got)
	}
	// It is told once, and nobody else for the same one who waits.
	if _, giveUp, _ = s.next(testNow.Add(time.Hour)); len(giveUp) != 0 {
		t.Errorf("given up again: %s", keysOf(giveUp))
	}
	first.due = testNow.Add(2 * time.Hour)
	s.finish(first, classFailing)
	if start, _, _ = s.next(testNow.Add(time.Second)); keysOf(start) != "[waiting]" {
		t.Errorf("started %s", keysOf(start))
	}
	// For one that failed before, nobody makes room.
	s.set(newJob("failing", "f", classFailing), testNow)
	if _, giveUp, _ = s.next(testNow.Add(time.Hour)); len(giveUp) != 0 {
		t.Errorf("given up for a failing one: %s", keysOf(giveUp))
	}
}

// Whatever comes, nothing is lost, nothing runs twice, and the bounds hold.
func TestScheduleKeepsItsBounds(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := newSchedule(1+random.IntN(8), 1+random.IntN(3), time.Second)
		jobs := map[*job]bool{}
		running := map[*job]bool{}
		now := testNow
		for range 400 {
			now = now.Add(time.Duration(random.IntN(2000)) * time.Millisecond)
			switch random.IntN(4) {
			case 0:
				j := newJob("", fmt.Sprint(random.IntN(5)), class(random.IntN(int(classes))))
				jobs[j] = true
				s.set(j, now.Add(time.Duration(random.IntN(5))*time.Second))
			case 1:
				for j := range jobs {
					s.remove(j)
					delete(jobs, j)
					break
				}
			default:
				for j := range running {
					j.due = now.Add(time.Second)
					s.finish(j, class(random.IntN(int(classes))))
					delete(running, j)
					break
				}
			}
			start, _, _ := s.next(now)
			for _, j := range start {
				if running[j] || !jobs[j] {
					t.Fatalf("seed %d: started twice or after it was removed", seed)
				}
				running[j] = true
			}
			hosts := map[string]int{}
			for j := range running {
				hosts[j.host]++
				if hosts[j.host] > s.perHost || len(running) > s.inFlight {
					t.Fatalf("seed %d: %d run, %d at one host", seed, len(running), hosts[j.host])
				}
			}
		}
		// When everything that runs ends at once each time, everybody has a turn.
		turns := map[*job]bool{}
		for range 200 {
			for j := range running {
				j.due = now.Add(time.Hour)
				s.finish(j, classGood)
				delete(running, j)
			}
			now = now.Add(time.Second)
			start, _, _ := s.next(now)
			for _, j := range start {
				running[j], turns[j] = true, true
			}
		}
		if len(turns) < len(jobs)/2 && len(jobs) > 10 {
			t.Fatalf("seed %d: %d of %d had a turn", seed, len(turns), len(jobs))
		}
		for j := range jobs {
			if !turns[j] && j.due.Before(now) && !j.running {
				t.Fatalf("seed %d: one that is due never has a turn", seed)
			}
		}
	}
}
