// Package controllers is the operator's shell around the pure packages: it alone talks to the API server.
//
// One reconcile is one pass over one ServiceProvider and everything that refers to it: collect, resolve trust, compile, publish the
// snapshot, apply the workload, ask the pods what they serve, write status. An object that is broken is marked in that pass and stops no other.
package controllers

import "time"

// Field owners of what the operator applies. One each, so that leaving a field out of the next apply removes it.
const (
	ownerWorkload  = "sallyport-workload"
	ownerSnapshot  = "sallyport-snapshot"
	ownerKeys      = "sallyport-keys"
	ownerStatus    = "sallyport-status"
	ownerFinalizer = "sallyport-finalizer"
)

const (
	// settle is how long a burst of changes is collected before a pass: a pass serves them all at once.
	settle = 50 * time.Millisecond
	// passTimeout bounds one pass; what it does not reach, the next one does.
	passTimeout = time.Minute
)
