// Package ration keeps strangers from filling the audit log. What anybody can cause without any proof is recorded one by one up to a ration, and counted beyond it;
// once a minute one record for each IdP, type and reason says how many more there were. A count is in memory until then.
package ration

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/internal/audit"
)

const (
	// eachBurst records of one IdP, type and reason are written one by one at once, and one more every eachEvery.
	eachBurst = 200
	eachEvery = time.Minute
	// allBurst and allEvery bound all of them together.
	allBurst = 2000
	allEvery = 10 * time.Second
	// summariesAtOnce is how many counts one Flush writes; those that have waited longest come first.
	summariesAtOnce = 20
	// maxKinds bounds the memory: what comes of further IdPs is counted by type and reason alone.
	maxKinds = 4096
	// writeTimeout bounds how long a record waits for the store.
	writeTimeout = 5 * time.Second
)

// Lasting is a context for a record of what somebody else has sent: it goes on when they hang up, or they could keep it from being written, and ends after a while.
func Lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
}

// Log writes and counts. It is safe for concurrent use.
type Log struct {
	clock   clock.PassiveClock
	write   func(ctx context.Context, records ...audit.Record) error
	counted func()

	mu    sync.Mutex
	all   bucket
	kinds map[key]*kind
}

type key struct {
	typ         audit.Type
	reason, idp string
}

// kind is what is known of one IdP, type and reason.
type kind struct {
	bucket  bucket
	summary audit.Record
	// count are those since the last summary that were not written one by one, from first to last.
	count       int
	first, last time.Time
}

// New writes records with write. counted, where it is not nil, is called for each that is counted instead.
func New(c clock.PassiveClock, write func(ctx context.Context, records ...audit.Record) error, counted func()) *Log {
	return &Log{clock: c, write: write, counted: counted, all: bucket{most: allBurst, every: allEvery}, kinds: map[key]*kind{}}
}

// Record writes a record, or counts it when too many like it have been written, or the store does not take it.
func (l *Log) Record(ctx context.Context, r audit.Record) error {
	if !l.takes(r) {
		l.count(r)
		return nil
	}
	ctx, cancel := Lasting(ctx)
	defer cancel()
	err := l.write(ctx, r)
	if err != nil {
		l.count(r)
	}
	return err
}

// takes says whether a record is within the ration.
func (l *Log) takes(r audit.Record) bool {
	now := l.clock.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.of(r)
	k.bucket.refill(now)
	l.all.refill(now)
	if k.bucket.empty() || l.all.empty() {
		return false
	}
	k.bucket.used++
	l.all.used++
	return true
}

func (l *Log) count(r audit.Record) {
	if l.counted != nil {
		l.counted()
	}
	now := l.clock.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.of(r)
	if k.count == 0 {
		k.first = now
	}
	k.count++
	k.last = now
}

// of finds what is known of a record's kind, and begins with it where there is nothing. The caller holds the lock.
func (l *Log) of(r audit.Record) *kind {
	id := key{r.Type, r.Reason, ""}
	if r.Target.Kind == kindIdP {
		id.idp = r.Target.UID
	}
	known := l.kinds[id]
	if known == nil && id.idp != "" && len(l.kinds) >= maxKinds {
		r.Actor, r.Target, id.idp = audit.Actor{Kind: r.Actor.Kind}, audit.Target{}, ""
		known = l.kinds[id]
	}
	if known == nil {
		known = &kind{bucket: bucket{most: eachBurst, every: eachEvery}, summary: summaryOf(r)}
		l.kinds[id] = known
	}
	return known
}

// kindIdP is the kind of the targets that are told apart.
const kindIdP = "IdentityProvider"

// summaryOf is the record that tells of more like this one. It names no client: they may be many.
func summaryOf(r audit.Record) audit.Record {
	s := audit.Record{Type: audit.TypeRefusalsCounted, Outcome: r.Outcome, Reason: r.Reason, Actor: audit.Actor{Kind: r.Actor.Kind}}
	d := audit.RefusalCount{Type: r.Type.String()}
	if r.Target.Kind == kindIdP {
		s.Actor.ID, s.Target = r.Actor.ID, r.Target
		d.IdP, d.IdPUID = r.Target.Name, r.Target.UID
	}
	s.Details = d
	return s
}

// counts is what was taken from a kind to be written.
type counts struct {
	*kind
	count       int
	first, last time.Time
}

// Flush writes what was counted, and keeps it where that fails. Call it about once a minute, by one at a time, and with closing at the end: then nothing waits for
// another turn.
func (l *Log) Flush(ctx context.Context, closing bool) error {
	due := l.due(closing)
	if len(due) == 0 {
		return nil
	}
	records := make([]audit.Record, 0, len(due))
	for _, c := range due {
		r, d := c.summary, c.summary.Details.(audit.RefusalCount)
		d.Count, d.First, d.Last = c.count, c.first.UTC().Format(time.RFC3339), c.last.UTC().Format(time.RFC3339)
		r.Details = d
		records = append(records, r)
	}
	err := l.write(ctx, records...)
	if err != nil {
		l.putBack(due)
	}
	return err
}

// due takes the counts that are to be written, and forgets the kinds that have been quiet for so long that nothing of them is left.
func (l *Log) due(closing bool) (due []counts) {
	now := l.clock.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, k := range l.kinds {
		k.bucket.refill(now)
		switch {
		case k.count > 0:
			due = append(due, counts{k, k.count, k.first, k.last})
		case k.bucket.used == 0:
			delete(l.kinds, id)
		}
	}
	slices.SortFunc(due, func(a, b counts) int { return a.first.Compare(b.first) })
	if !closing {
		due = due[:min(len(due), summariesAtOnce)]
	}
	for _, c := range due {
		c.kind.count = 0
	}
	return due
}

func (l *Log) putBack(due []counts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range due {
		if c.kind.count == 0 {
			c.kind.last = c.last
		}
		c.kind.count, c.kind.first = c.kind.count+c.count, c.first
	}
}
