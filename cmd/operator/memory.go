package main

import (
	"runtime/debug"
	"strconv"
)

// memoryVariable is the container's memory limit in bytes, by the downward API. Without a limit it is what the node has.
const memoryVariable = "MEMORY_LIMIT"

// limitMemory tells Go to collect its garbage before nine tenths of the container's memory are in use, so that a large import slows down instead of being killed. What
// GOMEMLIMIT says goes before.
func limitMemory(environment func(string) string) {
	limit, err := strconv.ParseInt(environment(memoryVariable), 10, 64)
	if err != nil || limit <= 0 || environment("GOMEMLIMIT") != "" {
		return
	}
	debug.SetMemoryLimit(limit - limit/10)
}
