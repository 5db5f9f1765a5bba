package audit

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Stdout writes chained JSON lines to a stream, with checkpoints when it has a signer. It starts a new chain, so each process gives a writer name of its own.
type Stdout struct {
	mu       sync.Mutex
	w        io.Writer
	clock    clock.PassiveClock
	signer   *Signer
	head     Head
	unsealed int
	sealedAt time.Time
	broken   error
}

// NewStdout starts a chain for a writer that has no name twice: the given name with the start time and random bits appended.
func NewStdout(w io.Writer, name string, c clock.PassiveClock) *Stdout {
	return &Stdout{w: w, clock: c, head: Head{Writer: name + "/" + NewID(c.Now())}, sealedAt: c.Now()}
}

// WithSigner adds checkpoints, every CheckpointEvery records and, as Tick is called, every CheckpointInterval.
func (s *Stdout) WithSigner(signer *Signer) *Stdout {
	s.signer = signer
	return s
}

// Write appends one record. A stream that failed once takes no more records, because its chain has a hole; the error says so.
func (s *Stdout) Write(_ context.Context, r Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.append(r); err != nil {
		return err
	}
	if s.unsealed++; s.unsealed >= CheckpointEvery {
		return s.seal(false)
	}
	return nil
}

// Tick seals records that have waited for CheckpointInterval; call it about every ten seconds.
func (s *Stdout) Tick() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unsealed == 0 || s.clock.Since(s.sealedAt).Abs() < CheckpointInterval {
		return nil
	}
	return s.seal(false)
}

// Close seals the chain; the stream stays open.
func (s *Stdout) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seal(true)
}

// Head is the end of the chain so far.
func (s *Stdout) Head() Head {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head
}

func (s *Stdout) seal(closing bool) error {
	s.unsealed, s.sealedAt = 0, s.clock.Now()
	if s.signer == nil {
		return nil
	}
	record, err := s.signer.Checkpoint(s.head, nil, closing, s.clock.Now())
	if err != nil {
		return err
	}
	return s.append(record)
}

func (s *Stdout) append(r Record) error {
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
