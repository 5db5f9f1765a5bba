package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// rounds are run in turns, so that a machine that slows down slows all contestants; the best counts and the spread is printed.
	rounds = 5
	// coldPerRound is how many sessions a round of cold checks reads from the store.
	coldPerRound = 4000
	manySessions = 1000
	connections  = 16
)

// contestant is one row of the table.
type contestant struct {
	name    string
	process *peerProcess
	// others are the processes that process asks; their processor time counts too.
	others []*peerProcess
	// next gives the requests one by one; nil ends the round.
	next func() []byte
	// against is the row that it is compared with.
	against string
	seen    []stats
	cpu     []time.Duration
}

// authzSuite measures the forward-auth check for nginx beside a bare handler that writes the same headers, and beside the session check of
// crewjam's middleware. Each is a process of its own, on the same machine as the load.
func authzSuite(ctx context.Context, o options) ([]Result, error) {
	ours, err := startServiceProvider(ctx, manySessions+rounds*coldPerRound, o.sessions)
	if err != nil {
		return nil, err
	}
	defer ours.stop()
	peers := map[string]*peerProcess{}
	for _, name := range []string{"bare", "bare-200", "samlsp"} {
		if peers[name], err = startPeer(name); err != nil {
			return nil, err
		}
		defer peers[name].stop()
	}
	store := fmt.Sprintf("%d sessions in the store", o.sessions)
	idle := ours.memory()
	contestants := []*contestant{
		{name: "bare handler, 2 groups", process: peers["bare"], next: same("")},
		{name: "crewjam samlsp", process: peers["samlsp"], next: same(peers["samlsp"].cookie), against: "bare handler, 2 groups"},
		{name: "warm, 1 session, " + store, process: &ours.peerProcess, next: same(cookieName + ours.people.small), against: "bare handler, 2 groups"},
		{name: "warm, 1000 sessions, " + store, process: &ours.peerProcess, next: inTurns(ours.people.many[:manySessions]), against: "bare handler, 2 groups"},
		{name: "bare handler, 200 groups", process: peers["bare-200"], next: same("")},
		{name: "warm, 200 groups", process: &ours.peerProcess, next: same(cookieName + ours.people.large), against: "bare handler, 200 groups"},
		{name: "cold, every check reads the store, " + store, process: &ours.peerProcess, next: once(ours.people.many[manySessions:]), against: "bare handler, 2 groups"},
	}
	results, err := measure(contestants, o)
	if err != nil {
		return nil, err
	}
	results = append(results,
		Result{Name: "memory of the service provider, idle", Value: idle / (1 << 20), Unit: "MiB"},
		Result{Name: fmt.Sprintf("memory of the service provider with %d sessions in its cache", rounds*coldPerRound+manySessions), Value: ours.memory() / (1 << 20), Unit: "MiB"})
	proxied, err := throughNginx(peers["bare"], &ours.peerProcess, o)
	return append(results, proxied...), err
}

// measure runs the rounds and compares.
func measure(contestants []*contestant, o options) ([]Result, error) {
	for range rounds {
		for _, c := range contestants {
			if err := c.round(o.duration); err != nil {
				return nil, err
			}
		}
	}
	return compare(contestants), nil
}

func (c *contestant) processorTime() time.Duration {
	used := c.process.cpu()
	for _, other := range c.others {
		used += other.cpu()
	}
	return used
}

func (c *contestant) round(length time.Duration) error {
	before := c.processorTime()
	seen, err := load{Address: c.process.address, Next: c.next, Status: http.StatusOK, Connections: connections, Duration: length}.run()
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	c.seen = append(c.seen, seen)
	c.cpu = append(c.cpu, (c.processorTime()-before)/time.Duration(seen.Requests))
	return nil
}

// compare makes the rows: of every figure the median of the rounds, and the median of the rounds' own ratios.
func compare(contestants []*contestant) []Result {
	byName := map[string]*contestant{}
	for _, c := range contestants {
		byName[c.name] = c
	}
	figures := []struct {
		name, unit string
		of         func(c *contestant, round int) float64
	}{
		{"checks", "1/s", func(c *contestant, i int) float64 { return c.seen[i].PerSecond }},
		{"p50", "us", func(c *contestant, i int) float64 { return float64(c.seen[i].P50.Microseconds()) }},
		{"p99", "us", func(c *contestant, i int) float64 { return float64(c.seen[i].P99.Microseconds()) }},
		{"CPU per check", "us", func(c *contestant, i int) float64 { return float64(c.cpu[i].Nanoseconds()) / 1000 }},
	}
	var results []Result
	for _, c := range contestants {
		for _, f := range figures {
			values, ratios := make([]float64, len(c.seen)), make([]float64, len(c.seen))
			against := byName[c.against]
			for i := range values {
				values[i] = f.of(c, i)
				if against != nil {
					ratios[i] = values[i] / f.of(against, i)
				}
			}
			slices.Sort(values)
			slices.Sort(ratios)
			r := Result{Name: c.name + ": " + f.name, Value: values[len(values)/2], Unit: f.unit, Low: values[0], High: values[len(values)-1]}
			if against != nil {
				r.Against, r.Ratio = c.against, ratios[len(ratios)/2]
			}
			results = append(results, r)
		}
	}
	return results
}

func checkRequest(cookie string) []byte {
	return []byte("GET /authz/nginx HTTP/1.1\r\nHost: sso.example.com\r\nCookie: " + cookie + "\r\nX-Original-URL: https://app.example.com/dashboard\r\n\r\n")
}

// get asks for a path of a host again and again.
func get(path, host, cookie string) func() []byte {
	request := []byte("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nCookie: " + cookie + "\r\n\r\n")
	return func() []byte { return request }
}

func same(cookie string) func() []byte {
	request := checkRequest(cookie)
	return func() []byte { return request }
}

func inTurns(tokens []string) func() []byte {
	requests := make([][]byte, len(tokens))
	for i, token := range tokens {
		requests[i] = checkRequest(cookieName + token)
	}
	var at atomic.Uint64
	return func() []byte { return requests[at.Add(1)%uint64(len(requests))] }
}

// once uses each token one time, and ends a round after coldPerRound of them.
func once(tokens []string) func() []byte {
	var at, round atomic.Int64
	return func() []byte {
		if round.Add(1) > coldPerRound {
			if round.Load() >= coldPerRound+connections {
				round.Store(0)
			}
			return nil
		}
		return checkRequest(cookieName + tokens[at.Add(1)-1])
	}
}
