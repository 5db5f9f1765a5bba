package audit_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/audit"
)

// TestTypesAreNeverRenamed holds the published names: people search and alert by them. A new name is added to types.lock; none is ever taken out.
func TestTypesAreNeverRenamed(t *testing.T) {
	text, err := os.ReadFile("types.lock")
	if err != nil {
		t.Fatal(err)
	}
	locked := strings.Fields(string(text))
	var have []string
	for _, typ := range audit.AllTypes() {
		if typ.String() == "" || typ.Tier() == "" {
			t.Errorf("type %d has no name or tier", typ)
		}
		have = append(have, typ.String())
		back, err := audit.ParseType(typ.String())
		if err != nil || back != typ {
			t.Errorf("%s reads back as %v, %v", typ, back, err)
		}
	}
	for _, name := range locked {
		if !slices.Contains(have, name) {
			t.Errorf("%s is gone: a published name stays", name)
		}
	}
	for _, name := range have {
		if !slices.Contains(locked, name) {
			t.Errorf("%s is not in types.lock: add it there, for good", name)
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(have)))) != len(have) {
		t.Error("two types have the same name")
	}
}

func TestUnknownTypesCannotBeWritten(t *testing.T) {
	for _, typ := range []audit.Type{0, 255} {
		head := audit.Head{Writer: "w"}
		if _, err := head.Append(audit.Record{Type: typ}, start); err == nil {
			t.Errorf("type %d was written", typ)
		}
		if head.Sequence != 0 {
			t.Error("a refused record moved the chain on")
		}
	}
}
