package trust

import "context"

// What many fetches at once may hold together. Waiting for servers costs little and is hardly bounded; what is bounded is memory.
const (
	// freeBytes of one element any fetch may hold; more needs one of largeElements.
	freeBytes     = 128 << 10
	largeElements = 8
	// parsers is how many elements are parsed at a time. No parser ever waits for a server.
	parsers = 4
)

// budget is shared by all fetches of a Fetcher.
type budget struct {
	large, parse chan struct{}
}

func newBudget() *budget {
	return &budget{large: make(chan struct{}, largeElements), parse: make(chan struct{}, parsers)}
}

// share is one document's part in a budget. A nil share is without bounds, for documents that are in memory anyway.
type share struct {
	budget *budget
	done   <-chan struct{}
	large  bool
}

func (b *budget) share(ctx context.Context) *share { return &share{budget: b, done: ctx.Done()} }

// grow is called before an element of so many bytes is held.
func (s *share) grow(size int) error {
	if s == nil || s.large || size <= freeBytes {
		return nil
	}
	select {
	case s.budget.large <- struct{}{}:
		s.large = true
		return nil
	case <-s.done:
		return errBusy()
	}
}

// parse is called when an element is complete, and the function it returns when it is not needed any more.
func (s *share) parse() (release func(), err error) {
	if s == nil {
		return func() {}, nil
	}
	select {
	case s.budget.parse <- struct{}{}:
		return func() { <-s.budget.parse }, nil
	case <-s.done:
		return nil, errBusy()
	}
}

// shrink is called when no large element is held any more.
func (s *share) shrink() {
	if s != nil && s.large {
		s.large = false
		<-s.budget.large
	}
}

func errBusy() error {
	return fail(KindTimeout, "The metadata could not be read in time, because too much other metadata of great size was being read.")
}
