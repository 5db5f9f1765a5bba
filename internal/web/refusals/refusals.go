// Package refusals counts refused sign-ins until the operator has shown them on the IdentityProvider. It is a tally in memory, of no person and
// no message: whose they were is in the audit log.
package refusals

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"time"

	"sallyport.dev/sallyport/internal/manageapi"
)

// maxCounts bounds how many pairs of IdP and reason are counted at a time; what is beyond is in the audit log alone.
const maxCounts = 4096

type key struct{ idpUID, reason string }

// Tally is safe for concurrent use.
type Tally struct {
	mu sync.Mutex
	// open are counted since the last answer; sent are those of that answer, kept until the reader has asked for what comes after it.
	open, sent map[key]manageapi.Refusal
	answer     uint64
	changed    chan struct{}
}

// New makes an empty tally. start tells the answers of this process from those of an earlier one.
func New(start time.Time) *Tally {
	return &Tally{open: map[key]manageapi.Refusal{}, answer: uint64(start.UnixMicro()), changed: make(chan struct{})}
}

// Add counts one refusal.
func (t *Tally) Add(idpUID, reason string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{idpUID, reason}
	c, known := t.open[k]
	if !known && len(t.open) >= maxCounts {
		return
	}
	if !known {
		c = manageapi.Refusal{IdPUID: idpUID, Reason: reason, First: at}
	}
	c.Count++
	c.Last = at
	t.open[k] = c
	close(t.changed)
	t.changed = make(chan struct{})
}

// Changed is closed when something is counted.
func (t *Tally) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// After returns what was counted after the answer of that cursor, sorted, and the cursor of this answer. A reader that did not get the last answer,
// or knows of none, gets what was in it again.
func (t *Tally) After(cursor string) (counts []manageapi.Refusal, next string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if cursor != strconv.FormatUint(t.answer, 36) {
		for k, c := range t.sent {
			if o, both := t.open[k]; both {
				c.Count, c.Last = c.Count+o.Count, o.Last
			}
			t.open[k] = c
		}
	}
	t.sent, t.open = t.open, map[key]manageapi.Refusal{}
	t.answer++
	for _, c := range t.sent {
		counts = append(counts, c)
	}
	slices.SortFunc(counts, func(a, b manageapi.Refusal) int {
		return cmp.Or(cmp.Compare(a.IdPUID, b.IdPUID), cmp.Compare(a.Reason, b.Reason))
	})
	return counts, strconv.FormatUint(t.answer, 36)
}
