// Package daemon runs other programs, ours and those of others, for as long as a test runs.
package daemon

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// stopPatience is how long a program may take to stop, startPatience how long to begin: a machine may have other things to do.
	stopPatience  = 20 * time.Second
	startPatience = time.Minute
	// shown is how much of what a program said is logged when a test fails, in bytes from the end.
	shown = 64 << 10
)

// Process is a program that was started.
type Process struct {
	t       testing.TB
	command *exec.Cmd
	ended   chan struct{}
	output  output
}

// Run starts the command, and stops it when the test ends. What it says on standard error, and on standard output where the command does not send that elsewhere,
// is logged when the test fails. hint says what to install when it cannot be started.
func Run(t testing.TB, command *exec.Cmd, hint string) *Process {
	t.Helper()
	p := &Process{t: t, command: command, ended: make(chan struct{})}
	if command.Stderr = &p.output; command.Stdout == nil {
		command.Stdout = &p.output
	}
	if err := command.Start(); err != nil {
		t.Fatalf("%v (%s)", err, hint)
	}
	go func() {
		_ = command.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			said := p.Said()
			t.Logf("%s said:\n%s", command.Path, said[max(0, len(said)-shown):])
		}
	})
	return p
}

// Stop asks the program to end, and waits until it has. One that has ended already stays as it is.
func (p *Process) Stop() {
	p.t.Helper()
	_ = p.Signal(syscall.SIGTERM) // one that has ended does not hear it
	select {
	case <-p.ended:
	case <-time.After(stopPatience):
		p.Kill()
		p.t.Errorf("%s did not stop within %s of SIGTERM", p.command.Path, stopPatience)
	}
}

// Kill is kill -9.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL)
	<-p.ended
}

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) error { return p.command.Process.Signal(s) }

// Wait waits until the program has ended and tells how.
func (p *Process) Wait() *os.ProcessState {
	<-p.ended
	return p.command.ProcessState
}

// PID is the number of the process.
func (p *Process) PID() int { return p.command.Process.Pid }

// Said is what the program has said so far.
func (p *Process) Said() string { return p.output.String() }

// AwaitListening returns when the program listens on the address.
func (p *Process) AwaitListening(address string) {
	p.t.Helper()
	p.await("listening on "+address, func() error {
		connection, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			connection.Close()
		}
		return err
	})
}

// AwaitReady returns when the service provider with this management port is ready.
func (p *Process) AwaitReady(management string) {
	p.t.Helper()
	p.await("ready", func() error {
		response, err := http.Get("http://" + management + "/readyz") //nolint:noctx // a test
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	})
}

func (p *Process) await(what string, try func() error) {
	p.t.Helper()
	for deadline := time.Now().Add(startPatience); ; time.Sleep(20 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-p.ended:
			p.t.Fatalf("%s ended (%s) before it was %s", p.command.Path, p.command.ProcessState, what)
		default:
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s is not %s after %s: %v", p.command.Path, what, startPatience, err)
		}
	}
}

// output takes what a program says and may be read meanwhile.
type output struct {
	mutex  sync.Mutex
	buffer bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.buffer.Write(p)
}

func (o *output) String() string {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.buffer.String()
}
