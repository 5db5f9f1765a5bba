// Package controllers is the operator's shell around the pure packages: it alone talks to the API server.
//
// One reconcile is one pass over one ServiceProvider and everything that refers to it: collect, resolve trust, compile, publish the
// snapshot, apply the workload, ask the pods, write status. An object that is broken is marked in that pass and stops no other.
// Nothing in a pass waits for a network other than the API server's: metadata, keys, DNS and pods are asked in the background, and
// ask for another pass when they have something new to say.
package controllers

import "time"

// Field owners of what the operator applies. One each, so that leaving a field out of the next apply removes it.
const (
	ownerWorkload  = "sallyport-workload"
	ownerSnapshot  = "sallyport-snapshot"
	ownerKeys      = "sallyport-keys"
	ownerStatus    = "sallyport-status"
	ownerFinalizer = "sallyport-finalizer"
	ownerLedger    = "sallyport-ledger"
	ownerEvents    = "sallyport-events"
)

const (
	// settle is how long a burst of changes is collected before a pass: a pass serves them all at once.
	settle = 50 * time.Millisecond
	// passTimeout bounds one pass; what it does not reach, the next one does.
	passTimeout = time.Minute
	// firstRetry and lastRetry bound how long a failed pass waits: long enough for a cluster in trouble, short enough for a person who watches.
	firstRetry = 200 * time.Millisecond
	lastRetry  = 2 * time.Minute
	// parallelWrites is how many objects a pass writes at a time.
	parallelWrites = 8
)

// LeaseDuration and the rest make another replica take over within seconds when the leader dies, and at once when it stops in order.
const (
	LeaseDuration = 10 * time.Second
	RenewDeadline = 7 * time.Second
	RetryPeriod   = 2 * time.Second
)
