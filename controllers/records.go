package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"sallyport.dev/sallyport/internal/audit"
)

// The operator's records go into the log of the service provider through any ready pod. Until one has taken them they are in the ledger, which is written before
// the snapshot and the status that make each of them told (see told.go); the store drops a repetition by its key. So each is in the log exactly once, whenever the
// operator crashes.

const (
	// recordsRequest bounds one request, in bytes of its records; recordsTimeout is how long a pod may take, recordsRetry how long to wait when none takes them.
	recordsRequest = 48 << 10
	recordsTimeout = 3 * time.Second
	recordsRetry   = 10 * time.Second
	// maxLedgerContent is how large the ledger may get in its Secret, in bytes. Beyond, the oldest records that wait are given up: standard output has them.
	maxLedgerContent = 900 << 10
	// recordsLeft is how many records a pass may leave to the next one, and recordsWait how long that may take to come.
	recordsLeft = 100
	recordsWait = time.Second
)

// leavesRecords tells whether what is in the ledger can wait for the next pass. One that has published is followed by another one as soon as the pods serve that, and
// people wait for it: it delivers the records too, and writes the ledger before any status. A crash until then finds the ledger as it was kept before the snapshot.
func (s *scope) leavesRecords() bool {
	l := s.memory.ledger
	if !s.publishedNow || len(s.ready) == 0 || l.unsaved || len(l.Records) > recordsLeft {
		return false
	}
	s.later(recordsWait)
	return true
}

// queue keeps a record in the ledger until a pod has taken it.
func (s *scope) queue(key string, r audit.Record) error {
	d, err := json.Marshal(r.Details)
	if err != nil {
		return err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	l := s.memory.ledger
	l.Records = append(l.Records, audit.Incoming{Key: key, Time: s.now, Type: r.Type, Outcome: r.Outcome, Reason: r.Reason, Actor: r.Actor, Target: r.Target, Details: d})
	l.dirty, l.unsaved = true, true
	return nil
}

// keepRecords writes the ledger when records are only in memory: what follows makes them told.
func (r *Reconciler) keepRecords(ctx context.Context, s *scope) error {
	l := s.memory.ledger
	if !l.unsaved {
		return nil
	}
	if err := r.writeLedger(ctx, s.key, l); err != nil {
		return err
	}
	l.dirty, l.unsaved = false, false
	return nil
}

// deliverRecords sends what waits to a ready pod. What no pod takes waits for another pass, and holds up nothing.
func (r *Reconciler) deliverRecords(ctx context.Context, s *scope) error {
	l := s.memory.ledger
	if len(l.Records) == 0 || s.leavesRecords() {
		return nil
	}
	if s.serviceProvider == nil && len(l.Entries) == 0 {
		// There is nobody to take them, and there will not be: standard output has them.
		l.Records, l.dirty = nil, true
		return nil
	}
	for len(l.Records) > 0 {
		n := recordsThatFit(l.Records)
		if !r.sendRecords(ctx, s, l.Records[:n]) {
			if len(s.ready) > 0 { // a pod that becomes ready brings a pass itself
				s.later(recordsRetry)
			}
			break
		}
		l.Records, l.dirty = l.Records[n:], true
	}
	return nil
}

func recordsThatFit(records []audit.Incoming) int {
	size := 0
	for i, record := range records {
		if size += len(record.Details) + len(record.Reason) + 1024; size > recordsRequest {
			return max(1, i)
		}
	}
	return len(records)
}

// sendRecords tells whether a pod has taken the records. One that does not answer in time ends it: mostly it is the store that all of them wait for. Another one is the first
// to be asked the next time.
func (r *Reconciler) sendRecords(ctx context.Context, s *scope, records []audit.Incoming) bool {
	for range s.ready {
		err := r.sendTo(ctx, s, s.ready[s.memory.taker%len(s.ready)], records)
		if err == nil {
			return true
		}
		s.memory.taker++
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	return false
}

func (r *Reconciler) sendTo(ctx context.Context, s *scope, pod *corev1.Pod, records []audit.Incoming) error {
	ctx, cancel := context.WithTimeout(ctx, recordsTimeout)
	defer cancel()
	var answer struct {
		Added int `json:"added"`
	}
	err := r.Pods.call(ctx, pod, s.memory.token, "POST", "/v1/audit/records", map[string][]audit.Incoming{"records": records}, &answer)
	if err != nil {
		ctrl.LoggerFrom(ctx).Info("a pod did not take the operator's audit records; they wait", "pod", pod.Name, "records", len(records), "error", err.Error())
	}
	return err
}
