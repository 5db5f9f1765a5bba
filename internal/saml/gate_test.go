package saml

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// waitFor spins until the gate's state is as wanted.
func waitFor(t *testing.T, g *Gate, waiting int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		g.mu.Lock()
		n := g.waiting
		g.mu.Unlock()
		if n == waiting {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d wait, want %d", n, waiting)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestGateServesClientsInTurn(t *testing.T) {
	g := NewGate(1, 100, 100)
	hold, err := g.Acquire(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []string
	var wg sync.WaitGroup
	enter := func(client string, waiting int) {
		wg.Go(func() {
			release, err := g.Acquire(t.Context(), client)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, client)
			mu.Unlock()
			release()
		})
		waitFor(t, g, waiting)
	}
	for i := range 10 {
		enter("mallory", i+1)
	}
	enter("alice", 11)
	enter("bob", 12)
	hold()
	wg.Wait()
	for i, c := range order {
		if (c == "alice" && i > 1) || (c == "bob" && i > 2) {
			t.Errorf("served in the order %v", order)
		}
	}
	if len(g.clients) != 0 || g.turn.Len() != 0 || g.free != 1 || g.waiting != 0 {
		t.Errorf("left over: %+v", g)
	}
}

func TestGateIsBounded(t *testing.T) {
	g := NewGate(1, 2, 1)
	release, err := g.Acquire(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error, 2)
	wait := func(client string) {
		r, err := g.Acquire(ctx, client)
		if err == nil {
			r()
		}
		results <- err
	}
	go wait("a")
	waitFor(t, g, 1)
	if _, err := g.Acquire(t.Context(), "a"); !errors.Is(err, ErrBusy) {
		t.Errorf("a second message of one client waits: %v", err)
	}
	go wait("b")
	waitFor(t, g, 2)
	if _, err := g.Acquire(t.Context(), "c"); !errors.Is(err, ErrBusy) {
		t.Errorf("a third message waits: %v", err)
	}
	cancel()
	for range 2 {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("given up with %v", err)
		}
	}
	release()
	release()
	again, err := g.Acquire(t.Context(), "c")
	if err != nil || g.free != 0 {
		t.Errorf("free %d after the last one left, %v", g.free+1, err)
	}
	again()
}

// TestGateUnderContention hands slots over and gives up at the same time, from many goroutines.
func TestGateUnderContention(t *testing.T) {
	g := NewGate(2, 1000, 1000)
	var inside, most atomic.Int64
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for range 50 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%5)*50*time.Microsecond)
				if release, err := g.Acquire(ctx, string(rune('a'+i%7))); err == nil {
					n := inside.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					inside.Add(-1)
					release()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if most.Load() > 2 || g.free != 2 || g.waiting != 0 || len(g.clients) != 0 || g.turn.Len() != 0 {
		t.Errorf("%d at once; left over %+v", most.Load(), g)
	}
}

// TestFloodDoesNotStarveSignIns floods the gate with the most expensive message there is, from 40 connections of one client, and signs
// in beside it.
func TestFloodDoesNotStarveSignIns(t *testing.T) {
	f := newFixture(t)
	c := f.connection()
	bad := f.response()
	hostiles()[3].edit(&bad)
	flood, good := f.form(bad), f.form(f.response())
	g := NewGate(2, 1000, 8)
	accept := func(client, form string) (*Refusal, error) {
		release, err := g.Acquire(t.Context(), client)
		if err != nil {
			return nil, err
		}
		defer release()
		_, r := c.Accept(t.Context(), form, f.pending, f.now)
		return r, nil
	}
	start := time.Now()
	if _, err := accept("mallory", flood); err != nil {
		t.Fatal(err)
	}
	one := time.Since(start)
	var stop atomic.Bool
	var refused atomic.Int64
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			for !stop.Load() {
				if _, err := accept("mallory", flood); err != nil {
					time.Sleep(time.Millisecond)
				} else {
					refused.Add(1)
				}
			}
		})
	}
	var worst, total time.Duration
	const signIns = 20
	for range signIns {
		start := time.Now()
		r, err := accept("alice", good)
		if err != nil || r != nil {
			t.Fatalf("%v %v", r, err)
		}
		total += time.Since(start)
		worst = max(worst, time.Since(start))
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("one bad response %v; sign-ins beside the flood: mean %v, worst %v; %d bad ones were refused meanwhile", one, total/signIns, worst, refused.Load())
	// Without turns, 40 waiting messages would come first. A sign-in waits for what is being verified, and for its own turn.
	if total/signIns > 8*one {
		t.Errorf("a sign-in takes %v on average; one bad response takes %v", total/signIns, one)
	}
}
