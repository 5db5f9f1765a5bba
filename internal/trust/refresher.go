package trust

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/internal/tracing"
)

// Source is where a Refresher gets metadata from: a *Fetcher.
type Source interface {
	Fetch(ctx context.Context, r Request) (*Result, error)
}

// RefresherOptions shape a Refresher; zero values take the defaults.
type RefresherOptions struct {
	// Source is required.
	Source Source
	Clock  clock.Clock
	// OnChange is called after every fetch, good or not, with the connection's key; from many goroutines, with no lock held. It must not
	// block. It may be called once more for a key that was just forgotten.
	OnChange func(key string)
	// InFlight is how many fetches run at a time, waiting for servers most of it; 0 is 1,024. PerHost is how many of them to one host and
	// port; 0 is 32.
	InFlight, PerHost int
	// Patience is how long a fetch may take while others wait for its place; 0 is a second. Else the Fetcher's timeout holds.
	Patience time.Duration
	// Tracer traces each fetch; About says what the connection of a key is.
	Tracer *tracing.Tracer
	About  func(key string) []tracing.Attribute
	// Random is in [0, 1) and spreads refreshes; nil is chance.
	Random func() float64
}

// Refresher keeps the metadata of any number of connections fresh, in the background, and the last good copy of each. A server that
// hangs, fails or lies delays no other connection than its own. It is safe for concurrent use.
type Refresher struct {
	o    RefresherOptions
	wake chan struct{}
	all  sync.WaitGroup

	mutex    sync.Mutex
	schedule *schedule
	entries  map[string]*entry
}

// entry is one connection.
type entry struct {
	spec   Spec
	source string
	good   *saved
	// keptUntil is the validUntil of the copy of State.Kept.
	keptUntil time.Time
	state     State
	// job is replaced when the spec changes or a refresh is asked for: what a former one brings home is not looked at.
	job    *job
	cancel context.CancelFunc
}

// NewRefresher makes a Refresher; it does nothing before Start.
func NewRefresher(o RefresherOptions) *Refresher {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.OnChange == nil {
		o.OnChange = func(string) {}
	}
	if o.About == nil {
		o.About = func(string) []tracing.Attribute { return nil }
	}
	if o.InFlight <= 0 {
		o.InFlight = defaultInFlight
	}
	if o.PerHost <= 0 {
		o.PerHost = defaultPerHost
	}
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return &Refresher{o: o, wake: make(chan struct{}, 1), schedule: newSchedule(o.InFlight, o.PerHost, o.Patience), entries: map[string]*entry{}}
}

// Ensure sees to it that the connection's metadata is fetched, at once where it was not or where the spec has changed, and refreshed from
// then on. With the same spec again it does nothing. It returns what is known now.
func (r *Refresher) Ensure(key string, spec Spec) State {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	source := spec.source()
	e := r.entries[key]
	if e == nil {
		e = &entry{}
		r.entries[key] = e
	}
	e.spec.InService = spec.InService
	if e.job != nil && e.source == source {
		if e.spec.Interval != spec.Interval {
			e.spec = spec
			r.reschedule(e)
		}
		return e.state
	}
	e.spec, e.source = spec, source
	e.state.Failure, e.state.FailingSince, e.state.Failures = nil, time.Time{}, 0
	now := r.o.Clock.Now()
	due := now
	e.state.Pending = true
	if e.good != nil && e.good.Source == source {
		e.state.Pending = false
		due = e.due(now, r.o.Random())
	}
	r.restart(key, e, due)
	return e.state
}

// reschedule moves a connection that is not failing to where a new interval puts it.
func (r *Refresher) reschedule(e *entry) {
	if e.good == nil || e.good.Source != e.source || e.state.Failures > 0 || e.job.running {
		return
	}
	due := e.due(r.o.Clock.Now(), r.o.Random())
	e.state.NextRefresh = due
	r.schedule.set(e.job, due)
	r.signal()
}

// due is when a good copy is fetched again. One that a clock has fetched which was ahead is fetched no later than one of now.
func (e *entry) due(now time.Time, random float64) time.Time {
	fetched := e.good.Fetched
	if fetched.After(now) {
		fetched = now
	}
	return fetched.Add(afterSuccess(e.spec.Interval, e.good.Metadata, fetched, random))
}

// restart gives an entry a new job and lets go of its former one.
func (r *Refresher) restart(key string, e *entry, due time.Time) {
	r.stop(e)
	j := &job{key: key, host: hostOf(e.spec.URL), place: -1}
	if e.good != nil && !e.state.Pending {
		j.class = classGood
	}
	e.job, e.state.NextRefresh = j, due
	r.schedule.set(j, due)
	r.signal()
}

func (r *Refresher) stop(e *entry) {
	if e.job != nil {
		r.schedule.remove(e.job)
	}
	if e.cancel != nil {
		e.cancel()
		e.cancel = nil
	}
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}

// RefreshNow fetches the connection's metadata as soon as there is a place for it, before those that only grow old.
func (r *Refresher) RefreshNow(key string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if e := r.entries[key]; e != nil && e.job != nil {
		r.restart(key, e, r.o.Clock.Now())
		e.job.class = classNew
	}
}

// Forget lets go of a connection and everything known of it.
func (r *Refresher) Forget(key string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if e := r.entries[key]; e != nil {
		r.stop(e)
		delete(r.entries, key)
	}
}

// State returns what is known of a connection; false: it was neither ensured nor restored.
func (r *Refresher) State(key string) (State, bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	e := r.entries[key]
	if e == nil {
		return State{}, false
	}
	return e.state, true
}

// Saved returns the last good copy in a form to keep, at most 1 MiB; nil: there is none. Write it when State.Kept is new. Its times and
// ETag are new after every good fetch; losing those costs one fetch after a restart, not trust.
func (r *Refresher) Saved(key string) []byte {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if e := r.entries[key]; e != nil {
		return e.good.marshal()
	}
	return nil
}

// Restore gives a connection the good copy that Saved returned in an earlier life; call it before the first Ensure. It is trusted at once,
// and refreshed when its time comes. A copy of the present life is never replaced.
func (r *Refresher) Restore(key string, data []byte) error {
	good, err := unmarshalSaved(data)
	if err != nil {
		return err
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	e := r.entries[key]
	if e == nil {
		e = &entry{}
		r.entries[key] = e
	}
	if e.good != nil {
		return nil
	}
	e.good = good
	e.keptUntil = good.Metadata.ValidUntil
	e.show()
	return nil
}

func (r *Refresher) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Start runs fetches until the context ends, and returns when the last of them has.
func (r *Refresher) Start(ctx context.Context) error {
	defer r.all.Wait()
	for {
		wait := r.dispatch(ctx)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-r.wake:
		case <-wait.C():
		}
		wait.Stop()
	}
}

// dispatch starts what is due and returns a timer for when to look again.
func (r *Refresher) dispatch(ctx context.Context) clock.Timer {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	now := r.o.Clock.Now()
	start, giveUp, wake := r.schedule.next(now)
	for _, j := range giveUp {
		if e := r.entries[j.key]; e != nil && e.job == j && e.cancel != nil {
			e.cancel()
		}
	}
	for _, j := range start {
		r.begin(ctx, j)
	}
	if wake.IsZero() {
		wake = now.Add(day)
	}
	// Never in the past, so that a clock that stands still does not make this loop spin.
	return r.o.Clock.NewTimer(max(wake.Sub(now), time.Millisecond))
}

// begin starts the fetch of a job.
func (r *Refresher) begin(ctx context.Context, j *job) {
	e := r.entries[j.key]
	request := Request{URL: e.spec.URL, CABundle: e.spec.CABundle, Parse: e.spec.Parse}
	request.Parse.Now = r.o.Clock.Now()
	if e.good != nil && e.good.Source == e.source {
		request.ETag, request.LastModified = e.good.ETag, e.good.LastModified
	}
	ctx, e.cancel = context.WithCancel(ctx)
	cancel := e.cancel
	r.all.Go(func() {
		ctx, span := r.o.Tracer.Work(ctx, "metadata.refresh", append(r.o.About(j.key), tracing.About("server.address", hostOf(request.URL)))...)
		defer span.End()
		result, err := r.o.Source.Fetch(ctx, request)
		stopped := ctx.Err() != nil
		cancel()
		wanted, err := r.end(j, result, err, stopped)
		span.Outcome(string(reasonFor(err)), "")
		if wanted {
			r.o.OnChange(j.key)
		}
	})
}

// reasonFor is the word for an error, "" for none.
func reasonFor(err error) Kind {
	failure, ok := errors.AsType[*Error](err)
	switch {
	case err == nil:
		return ""
	case ok:
		return failure.Kind
	}
	return "Other"
}

// end takes what a fetch brought home. It tells whether the connection still asks for it, and why it is of no use.
func (r *Refresher) end(j *job, result *Result, err error, stopped bool) (bool, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	defer r.signal()
	e := r.entries[j.key]
	if e == nil || e.job != j {
		r.schedule.finish(j, classGood)
		return false, err
	}
	e.cancel = nil
	now := r.o.Clock.Now()
	if stopped && err != nil && j.givenUp {
		err = fail(KindTimeout, "The metadata server was slow to answer while other servers were waiting to be asked: it will be retried.")
	}
	if err == nil {
		err = e.accept(result, now)
	}
	e.state.Pending = false
	wait := time.Duration(0)
	as := classGood
	if err != nil {
		wait, as = e.refuse(err, now, r.o.Random()), classFailing
	} else {
		e.state.Failure, e.state.FailingSince, e.state.Failures = nil, time.Time{}, 0
		wait = afterSuccess(e.spec.Interval, e.good.Metadata, now, r.o.Random())
	}
	e.state.NextRefresh = now.Add(wait)
	j.due = e.state.NextRefresh
	r.schedule.finish(j, as)
	return true, err
}
