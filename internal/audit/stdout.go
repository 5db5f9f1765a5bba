package audit

import (
	"context"
	"fmt"
	"io"
	"sync"

	"k8s.io/utils/clock"
)

// Stdout writes chained JSON lines to a stream. It starts a new chain, so each process gives a writer name of its own. Nobody signs it: the log in
// the store, which gets the same records, is the one that is.
type Stdout struct {
	mu     sync.Mutex
	w      io.Writer
	clock  clock.PassiveClock
	head   Head
	broken error
}

// NewStdout starts a chain for a writer that has no name twice: the given name with the start time and random bits appended.
func NewStdout(w io.Writer, name string, c clock.PassiveClock) *Stdout {
	return &Stdout{w: w, clock: c, head: Head{Writer: name + "/" + NewID(c.Now())}}
}

// Write appends one record. A stream that failed once takes no more records, because its chain has a hole; the error says so.
func (s *Stdout) Write(_ context.Context, r Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	head := s.head
	sealed, err := head.Append(r, s.clock.Now())
	if err != nil {
		return err
	}
	if _, err := s.w.Write(append(sealed.Line, '\n')); err != nil {
		s.broken = fmt.Errorf("the audit stream broke after record %d: %w", s.head.Sequence, err)
		return s.broken
	}
	s.head = head
	return nil
}
