package trust

import (
	"container/heap"
	"slices"
	"time"
)

// Bounds of the schedule.
const (
	defaultInFlight = 1024
	defaultPerHost  = 32
	// failingShare of the places is all that connections may take whose last fetch failed: 1/4.
	failingShare    = 4
	defaultPatience = time.Second
)

// class orders those that are due: who waits for the first time comes before who is only getting older, and both before who failed.
type class uint8

const (
	classNew class = iota
	classGood
	classFailing
	classes
)

// job is one connection's place in the schedule.
type job struct {
	key, host string
	class     class
	due       time.Time
	place     int // in the heap, -1 when not there

	queued  bool
	running bool
	started time.Time
	// startedAs is the class that it was started as, which is counted until it ends.
	startedAs class
	// givenUp is true once it was told to make room.
	givenUp bool
	removed bool
}

// schedule decides which fetches run. It holds no clock, no goroutine and no lock.
//
// A server that hangs costs a place for as long as the timeout. So there are many places, since waiting is cheap; those whose last fetch
// failed get a quarter of them at most; and when all are taken while others wait that did not fail, the one that has taken longest, and
// longer than the patience, is given up.
type schedule struct {
	inFlight, perHost int
	patience          time.Duration

	waiting jobHeap
	ready   [classes][]*job
	hosts   map[string]*hostJobs
	running map[*job]bool
	failing int // of running
}

type hostJobs struct {
	running int
	parked  []*job
}

func newSchedule(inFlight, perHost int, patience time.Duration) *schedule {
	return &schedule{inFlight: inFlight, perHost: perHost, patience: patience, hosts: map[string]*hostJobs{}, running: map[*job]bool{}}
}

// set says when a job is due. One that runs is put in place when it ends.
func (s *schedule) set(j *job, due time.Time) {
	j.due = due
	switch {
	case j.running || j.removed:
	case j.queued:
		// It is due already, and stays in its queue.
	case j.place >= 0:
		heap.Fix(&s.waiting, j.place)
	default:
		heap.Push(&s.waiting, j)
	}
}

// remove takes a job out for good; one that runs keeps its place until it ends.
func (s *schedule) remove(j *job) {
	j.removed = true
	same := func(other *job) bool { return other == j }
	switch {
	case j.place >= 0:
		heap.Remove(&s.waiting, j.place)
	case j.queued:
		s.ready[j.class] = slices.DeleteFunc(s.ready[j.class], same)
		if host := s.hosts[j.host]; host != nil {
			host.parked = slices.DeleteFunc(host.parked, same)
		}
	}
}

// next returns what to start and what to give up now, and when to ask again if nothing else happens; zero: no such time.
func (s *schedule) next(now time.Time) (start, giveUp []*job, wake time.Time) {
	for len(s.waiting) > 0 && !now.Before(s.waiting[0].due) {
		j := heap.Pop(&s.waiting).(*job)
		j.queued = true
		s.ready[j.class] = append(s.ready[j.class], j)
	}
	for {
		j := s.take()
		if j == nil {
			break
		}
		j.queued, j.running, j.givenUp, j.started, j.startedAs = false, true, false, now, j.class
		s.running[j] = true
		if j.class == classFailing {
			s.failing++
		}
		s.host(j.host).running++
		start = append(start, j)
	}
	if len(s.waiting) > 0 {
		wake = s.waiting[0].due
	}
	if len(s.ready[classNew])+len(s.ready[classGood]) > 0 {
		var at time.Time
		giveUp, at = s.impatient(now, len(s.ready[classNew])+len(s.ready[classGood]))
		if !at.IsZero() && (wake.IsZero() || at.Before(wake)) {
			wake = at
		}
	}
	return start, giveUp, wake
}

// take returns the next job that has a place to run in.
func (s *schedule) take() *job {
	for c := range classes {
		for len(s.ready[c]) > 0 {
			if len(s.running) >= s.inFlight || c == classFailing && s.failing >= max(s.inFlight/failingShare, 1) {
				break
			}
			j := s.ready[c][0]
			s.ready[c] = s.ready[c][1:]
			if host := s.host(j.host); host.running >= s.perHost {
				host.parked = append(host.parked, j)
				continue
			}
			return j
		}
	}
	return nil
}

// impatient returns up to so many running jobs, the longest running first, that have taken longer than the patience, and when the next
// one will have.
func (s *schedule) impatient(now time.Time, want int) (giveUp []*job, at time.Time) {
	var candidates []*job
	leaving := 0
	for j := range s.running {
		if j.givenUp {
			leaving++
			continue
		}
		candidates = append(candidates, j)
	}
	slices.SortFunc(candidates, func(a, b *job) int { return a.started.Compare(b.started) })
	for _, j := range candidates {
		if len(giveUp)+leaving >= want {
			break
		}
		if ends := j.started.Add(s.patience); now.Before(ends) {
			return giveUp, ends
		}
		j.givenUp = true
		giveUp = append(giveUp, j)
	}
	return giveUp, time.Time{}
}

// finish gives a job's place free and puts it back, as of the given class, unless it was removed.
func (s *schedule) finish(j *job, as class) {
	delete(s.running, j)
	if j.startedAs == classFailing {
		s.failing--
	}
	host := s.host(j.host)
	host.running--
	s.unpark(host)
	if host.running == 0 && len(host.parked) == 0 {
		delete(s.hosts, j.host)
	}
	j.running, j.class = false, as
	if !j.removed {
		heap.Push(&s.waiting, j)
	}
}

// unpark puts the best job that waits for a place at the host at the head of its queue.
func (s *schedule) unpark(host *hostJobs) {
	if len(host.parked) == 0 {
		return
	}
	best := 0
	for i, j := range host.parked {
		if j.class < host.parked[best].class {
			best = i
		}
	}
	j := host.parked[best]
	host.parked = slices.Delete(host.parked, best, best+1)
	s.ready[j.class] = slices.Insert(s.ready[j.class], 0, j)
}

func (s *schedule) host(name string) *hostJobs {
	if s.hosts[name] == nil {
		s.hosts[name] = &hostJobs{}
	}
	return s.hosts[name]
}

// jobHeap is a heap by due time.
type jobHeap []*job

func (h jobHeap) Len() int           { return len(h) }
func (h jobHeap) Less(i, k int) bool { return h[i].due.Before(h[k].due) }
func (h jobHeap) Swap(i, k int) {
	h[i], h[k] = h[k], h[i]
	h[i].place, h[k].place = i, k
}

func (h *jobHeap) Push(x any) {
	j := x.(*job)
	j.place = len(*h)
	*h = append(*h, j)
}

func (h *jobHeap) Pop() any {
	old := *h
	j := old[len(old)-1]
	old[len(old)-1] = nil
	*h, j.place = old[:len(old)-1], -1
	return j
}
