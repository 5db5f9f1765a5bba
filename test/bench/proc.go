package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc on Linux, for every architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// cpu is the processor time that the process, its children and theirs have used. It is 0 where /proc does not say.
func (p *peerProcess) cpu() time.Duration { return cpuOf(strconv.Itoa(p.command.Process.Pid)) }

// cpuOf counts the children that have ended too, so it never goes back.
func cpuOf(pid string) time.Duration {
	content, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(content[strings.LastIndexByte(string(content), ')')+1:]))
	var used time.Duration
	for _, field := range fields[11:15] { // utime, stime, cutime and cstime of proc(5)
		ticks, _ := strconv.Atoi(field)
		used += time.Duration(ticks) * clockTick
	}
	threads, _ := filepath.Glob(filepath.Join("/proc", pid, "task", "*", "children"))
	for _, thread := range threads {
		children, _ := os.ReadFile(thread)
		for _, child := range strings.Fields(string(children)) {
			used += cpuOf(child)
		}
	}
	return used
}

// memory is what the process itself holds now, in bytes. It is 0 where /proc does not say.
func (p *peerProcess) memory() float64 {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.command.Process.Pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(content))[1])
	return float64(pages * os.Getpagesize())
}
