package saml

import (
	"testing"
)

func TestEveryStepHasATitle(t *testing.T) {
	seen := map[string]bool{}
	for i, s := range steps {
		title := titleOf(s)
		if title == "" || seen[title] {
			t.Errorf("step %d has no title of its own: %q", i, title)
		}
		seen[title] = true
	}
	if !seen[firstIndependent] {
		t.Errorf("no step is %q", firstIndependent)
	}
}
