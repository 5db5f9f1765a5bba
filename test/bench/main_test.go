package main

import (
	"strings"
	"testing"
)

// TestOnlyTakesSuitesThatThereAre: a name that was misspelt ran nothing, and looked like a success.
func TestOnlyTakesSuitesThatThereAre(t *testing.T) {
	chosen, err := named("scale,authz")
	if err != nil || len(chosen) != 2 {
		t.Errorf("%d suites, %v", len(chosen), err)
	}
	for _, list := range []string{"auths", "authz,", "authz, scale", ""} {
		if _, err := named(list); err == nil || !strings.Contains(err.Error(), "take some of") || !strings.Contains(err.Error(), "authz") {
			t.Errorf("-only %q: %v", list, err)
		}
	}
}
