package main

import (
	"os"
	"runtime/debug"
	"strings"
	"testing"
)

func TestGoIsToldOfTheMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	for name, c := range map[string]struct {
		environment map[string]string
		want        int64
	}{
		"the default":           {map[string]string{"MEMORY_LIMIT": "536870912"}, 483183821},
		"outside of Kubernetes": {nil, before},
		"no number":             {map[string]string{"MEMORY_LIMIT": "512Mi"}, before},
		"somebody knows better": {map[string]string{"MEMORY_LIMIT": "536870912", "GOMEMLIMIT": "1GiB"}, before},
	} {
		debug.SetMemoryLimit(before)
		limitMemory(func(key string) string { return c.environment[key] })
		if got := debug.SetMemoryLimit(-1); got != c.want {
			t.Errorf("%s: %d", name, got)
		}
	}
}

// TestTheManifestsGiveTheMemoryLimit: the chart and the manifests for kubectl both hand it to the program.
func TestTheManifestsGiveTheMemoryLimit(t *testing.T) {
	for _, file := range []string{"../../charts/sallyport/templates/operator.yaml", "../../config/manager/operator.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), "name: "+memoryVariable+"\n          valueFrom: {resourceFieldRef: {containerName: operator, resource: limits.memory}}") {
			t.Errorf("%s: no %s %v", file, memoryVariable, err)
		}
	}
}
