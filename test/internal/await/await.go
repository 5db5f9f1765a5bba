// Package await waits for what has to come true. It is no measure: a machine may have other things to do.
package await

import (
	"testing"
	"time"
)

// patience is how long is waited for what should take a second.
const patience = 90 * time.Second

// Until returns when it holds, and fails the test where it never does. what says in the message what was waited for.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}
