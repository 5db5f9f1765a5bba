package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// component is one long-running program of the cluster.
type component struct {
	name  string
	exe   string // absolute path
	args  []string
	ready func(context.Context) error
}

// start runs the component unless it runs already, and waits until it is ready. It goes on after
// this program ends; its log is in state/logs.
func (c component) start(ctx context.Context, d dirs) error {
	var exited chan error
	if c.pid(d) == 0 {
		var err error
		if exited, err = c.spawn(d); err != nil {
			return fmt.Errorf("start %s: %w", c.name, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		err := c.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case died := <-exited:
			return fmt.Errorf("%s ended at once (%v), its log %s ends with:\n%s", c.name, died, c.log(d), tail(c.log(d), 15))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w, its log %s ends with:\n%s", c.name, err, c.log(d), tail(c.log(d), 15))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c component) spawn(d dirs) (exited chan error, err error) {
	for _, dir := range []string{d.in("logs"), filepath.Join(d.run, "pids"), d.in("work")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	log, err := os.OpenFile(c.log(d), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(c.exe, c.args...)
	cmd.Dir = d.in("work")
	cmd.Env = withoutProxy(os.Environ())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(c.pidFile(d), fmt.Appendf(nil, "%d %s", cmd.Process.Pid, c.exe), 0o644); err != nil {
		return nil, errors.Join(err, cmd.Process.Kill())
	}
	exited = make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	return exited, nil
}

// withoutProxy keeps the cluster's own traffic away from a proxy that the machine may use.
func withoutProxy(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(strings.ToLower(entry), "=")
		return name == "http_proxy" || name == "https_proxy" || name == "all_proxy"
	})
}

func (c component) log(d dirs) string     { return d.in("logs", c.name+".log") }
func (c component) pidFile(d dirs) string { return filepath.Join(d.run, "pids", c.name) }

// pid is the running process, or 0.
func (c component) pid(d dirs) int { return runningPID(c.pidFile(d)) }

// runningPID reads a pid file and believes it only if that process runs that program: after a
// reboot the number belongs to somebody else.
func runningPID(pidFile string) int {
	data, err := os.ReadFile(pidFile)
	if err != nil {
		return 0
	}
	number, exe, _ := strings.Cut(string(data), " ")
	pid, err := strconv.Atoi(number)
	if err != nil || pid <= 1 {
		return 0
	}
	have, err := os.Readlink(filepath.Join("/proc", number, "exe"))
	if err != nil || strings.TrimSuffix(have, " (deleted)") != exe {
		return 0 // also a zombie: it has no exe
	}
	return pid
}

// stop ends the process of a pid file: politely when patience > 0, then by force.
func stop(pidFile string, patience time.Duration) error {
	pid := runningPID(pidFile)
	if pid != 0 {
		if patience > 0 {
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("end process %d of %s: %w", pid, pidFile, err)
			}
			waitGone(pidFile, patience)
		}
		if runningPID(pidFile) == pid {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill process %d of %s: %w", pid, pidFile, err)
			}
			if !waitGone(pidFile, 20*time.Second) {
				return fmt.Errorf("process %d of %s survives SIGKILL", pid, pidFile)
			}
		}
	}
	if err := os.Remove(pidFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func waitGone(pidFile string, patience time.Duration) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if runningPID(pidFile) == 0 {
			return true
		}
	}
	return runningPID(pidFile) == 0
}

// tail returns the last lines of a file, or why there are none.
func tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}
