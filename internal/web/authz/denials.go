package authz

import (
	"context"
	"sync"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/serve"
)

const (
	// denialEvery is how long one denied person and host share one record and one reference: a page asks for many things.
	denialEvery = 5 * time.Minute
	// denialsKept bounds the memory of that, denialsWriting how many records are written at once.
	denialsKept    = 4096
	denialsWriting = 8
	denialTimeout  = 5 * time.Second
)

type denialKey struct {
	session session.Key
	host    string
}

type denial struct {
	reference string
	until     time.Time
}

// denials records denied accesses, beside the requests: a proxy waits for no store.
type denials struct {
	env     *serve.Env
	writing chan struct{}
	running sync.WaitGroup

	mu     sync.Mutex
	recent map[denialKey]denial
}

func newDenials(env *serve.Env) *denials {
	return &denials{env: env, writing: make(chan struct{}, denialsWriting), recent: map[denialKey]denial{}}
}

// record returns the reference to show, and records the denial unless it was recorded a moment ago.
func (d *denials) record(current *session.Session, host string, client serve.Client) string {
	key, now := denialKey{current.Key, host}, d.env.Clock.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.recent[key]; ok && now.Before(known.until) {
		return known.reference
	}
	if len(d.recent) >= denialsKept {
		clear(d.recent)
	}
	fresh := denial{serve.NewReference(), now.Add(denialEvery)}
	d.recent[key] = fresh
	select {
	case d.writing <- struct{}{}:
		d.running.Go(func() { d.write(current, host, fresh.reference, client) })
	default:
		d.env.Metrics.DenialsDropped.Inc()
	}
	return fresh.reference
}

func (d *denials) write(current *session.Session, host, reference string, client serve.Client) {
	defer func() { <-d.writing }()
	ctx, cancel := context.WithTimeout(context.Background(), denialTimeout)
	defer cancel()
	err := d.env.Store.WriteAudit(ctx, audit.Record{
		Type: audit.TypeUserAccessDenied, Outcome: audit.OutcomeDenied, Reason: "access_rule", Session: current.Key.Hex(), Request: reference,
		Actor:  audit.Actor{Kind: audit.ActorUser, ID: current.UserID, Email: current.Email(), IP: client.IP, UserAgent: client.UserAgent},
		Target: audit.Target{Kind: "Host", Name: host},
	})
	if err != nil {
		d.env.Metrics.StoreFailed(metrics.WriteAudit)
		d.env.Log.Error("a denied access could not be recorded", "reference", reference, "error", err)
	}
}

func (d *denials) wait() { d.running.Wait() }
