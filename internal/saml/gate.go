package saml

import (
	"container/list"
	"context"
	"errors"
	"sync"
)

// ErrBusy is what Gate answers when too many messages wait already.
var ErrBusy = errors.New("saml: too many messages are waiting to be verified")

// Gate bounds how many messages are verified at once. Those that wait are served in turn by client, so that a flood from one client
// costs another client one message's time and not the whole queue's. When no more may wait, whoever has most waiting makes room, so that
// a few clients cannot keep everybody else out. A message counts for its weight, so that few large ones wait where many small ones may.
type Gate struct {
	mu           sync.Mutex
	free         int
	waiting      int
	maxWaiting   int
	maxPerClient int
	clients      map[string]*list.Element // of *clientQueue
	turn         *list.List               // of *clientQueue; the front is next
}

type clientQueue struct {
	client  string
	waiters *list.List // of *waiter
	weight  int        // of all of them
}

// waiter is one message that waits. done is closed when it may go on, or must give up with err.
type waiter struct {
	done   chan struct{}
	weight int
	err    error
}

// NewGate lets concurrent messages through at once. Those that wait weigh at most maxWaiting in all and maxPerClient for one client.
func NewGate(concurrent, maxWaiting, maxPerClient int) *Gate {
	return &Gate{free: max(1, concurrent), maxWaiting: maxWaiting, maxPerClient: maxPerClient, clients: map[string]*list.Element{}, turn: list.New()}
}

// Acquire waits for the client's turn, with a message of that weight, at least 1. release must be called once, when the message is verified. The error is ErrBusy, or the
// context's.
func (g *Gate) Acquire(ctx context.Context, client string, weight int) (release func(), err error) {
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return g.releaser(), nil
	}
	own := 0
	if e := g.clients[client]; e != nil {
		own = e.Value.(*clientQueue).weight
	}
	if own += weight; own > g.maxPerClient || !g.makeRoom(own, weight) {
		g.mu.Unlock()
		return nil, ErrBusy
	}
	e := g.clients[client]
	if e == nil {
		e = g.turn.PushBack(&clientQueue{client: client, waiters: list.New()})
		g.clients[client] = e
	}
	q := e.Value.(*clientQueue)
	mine := &waiter{done: make(chan struct{}), weight: weight}
	w := q.waiters.PushBack(mine)
	g.count(q, weight)
	g.mu.Unlock()

	select {
	case <-mine.done:
		if mine.err != nil {
			return nil, mine.err
		}
		return g.releaser(), nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-mine.done:
		// The slot came at the same moment: pass it on.
		if mine.err == nil {
			g.pass()
		}
	default:
		q.waiters.Remove(w)
		g.count(q, -weight)
		g.forget(q)
	}
	return nil, ctx.Err()
}

// count adds a weight to what waits. The caller holds the lock.
func (g *Gate) count(q *clientQueue, weight int) {
	q.weight += weight
	g.waiting += weight
}

// makeRoom tells whether so much more may wait. Where it is too much in all, it turns away the last messages of the clients that have most waiting, as long as that is
// more than the one would have that comes, which is own. The caller holds the lock.
func (g *Gate) makeRoom(own, weight int) bool {
	for g.waiting+weight > g.maxWaiting {
		longest := g.longest()
		if longest == nil || longest.weight <= own {
			return false
		}
		w := longest.waiters.Remove(longest.waiters.Back()).(*waiter)
		g.count(longest, -w.weight)
		g.forget(longest)
		w.err = ErrBusy
		close(w.done)
	}
	return true
}

// longest is the client that has most waiting. The caller holds the lock.
func (g *Gate) longest() *clientQueue {
	var longest *clientQueue
	for e := g.turn.Front(); e != nil; e = e.Next() {
		if q := e.Value.(*clientQueue); longest == nil || q.weight > longest.weight {
			longest = q
		}
	}
	return longest
}

func (g *Gate) releaser() func() {
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.pass()
	})
}

// pass gives a slot to the next client in turn, or puts it back. The caller holds the lock.
func (g *Gate) pass() {
	front := g.turn.Front()
	if front == nil {
		g.free++
		return
	}
	q := front.Value.(*clientQueue)
	w := q.waiters.Remove(q.waiters.Front()).(*waiter)
	g.count(q, -w.weight)
	g.turn.MoveToBack(front)
	g.forget(q)
	close(w.done)
}

// forget drops a client that no longer waits. The caller holds the lock.
func (g *Gate) forget(q *clientQueue) {
	if e := g.clients[q.client]; e != nil && q.waiters.Len() == 0 {
		g.turn.Remove(e)
		delete(g.clients, q.client)
	}
}
