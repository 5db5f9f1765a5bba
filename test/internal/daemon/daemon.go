// Package daemon runs another program for as long as a test runs.
package daemon

import (
	"bytes"
	"net"
	"os/exec"
	"testing"
	"time"
)

// Start runs the command until the test ends, and returns when it listens on the loopback address. hint says what to install when it
// cannot be started. What it printed is logged when the test fails.
func Start(t testing.TB, command *exec.Cmd, address, hint string) {
	t.Helper()
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatalf("%v (%s)", err, hint)
	}
	exited := make(chan error, 1)
	go func() { exited <- command.Wait() }()
	stop := func() {
		_ = command.Process.Kill()
		<-exited
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		connection, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			connection.Close()
			break
		}
		select {
		case died := <-exited:
			t.Fatalf("%s ended: %v (%s)\n%s", command.Path, died, hint, output.String())
		default:
		}
		if time.Now().After(deadline) {
			stop()
			t.Fatalf("%s does not listen on %s after 30 s: %v\n%s", command.Path, address, err, output.String())
		}
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("%s said:\n%s", command.Path, output.String())
		}
	})
}
