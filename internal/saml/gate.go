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
// a few clients cannot keep everybody else out.
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
}

// waiter is one message that waits. done is closed when it may go on, or must give up with err.
type waiter struct {
	done chan struct{}
	err  error
}

// NewGate lets concurrent messages through at once. At most maxWaiting wait in all and maxPerClient for one client.
func NewGate(concurrent, maxWaiting, maxPerClient int) *Gate {
	return &Gate{free: max(1, concurrent), maxWaiting: maxWaiting, maxPerClient: maxPerClient, clients: map[string]*list.Element{}, turn: list.New()}
}

// Acquire waits for the client's turn. release must be called once, when the message is verified. The error is ErrBusy, or the
// context's.
func (g *Gate) Acquire(ctx context.Context, client string) (release func(), err error) {
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return g.releaser(), nil
	}
	own := 0
	if e := g.clients[client]; e != nil {
		own = e.Value.(*clientQueue).waiters.Len()
	}
	if own >= g.maxPerClient || g.waiting >= g.maxWaiting && !g.makeRoom(own) {
		g.mu.Unlock()
		return nil, ErrBusy
	}
	e := g.clients[client]
	if e == nil {
		e = g.turn.PushBack(&clientQueue{client: client, waiters: list.New()})
		g.clients[client] = e
	}
	q := e.Value.(*clientQueue)
	mine := &waiter{done: make(chan struct{})}
	w := q.waiters.PushBack(mine)
	g.waiting++
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
		g.waiting--
		g.forget(q)
	}
	return nil, ctx.Err()
}

// makeRoom turns away the last message of the client that has most waiting, if that is more than one with own waiting would have. The
// caller holds the lock.
func (g *Gate) makeRoom(own int) bool {
	var longest *clientQueue
	for e := g.turn.Front(); e != nil; e = e.Next() {
		if q := e.Value.(*clientQueue); longest == nil || q.waiters.Len() > longest.waiters.Len() {
			longest = q
		}
	}
	if longest == nil || longest.waiters.Len() <= own+1 {
		return false
	}
	w := longest.waiters.Remove(longest.waiters.Back()).(*waiter)
	g.waiting--
	w.err = ErrBusy
	close(w.done)
	return true
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
	w := q.waiters.Front()
	q.waiters.Remove(w)
	g.waiting--
	g.turn.MoveToBack(front)
	g.forget(q)
	close(w.Value.(*waiter).done)
}

// forget drops a client that no longer waits. The caller holds the lock.
func (g *Gate) forget(q *clientQueue) {
	if e := g.clients[q.client]; e != nil && q.waiters.Len() == 0 {
		g.turn.Remove(e)
		delete(g.clients, q.client)
	}
}
