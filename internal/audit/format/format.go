// Package format writes audit records in the words of the systems that read them: as they are, as OCSF events, or as CEF lines. It is pure.
package format

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"sallyport.dev/sallyport/internal/audit"
)

// Format is how a record is written.
type Format string

// The formats.
const (
	// Native is the record's own line, byte for byte, so that its hash can be checked wherever it ends up.
	Native Format = "Native"
	// OCSF is an event of the Open Cybersecurity Schema Framework 1.3: one JSON object on a line.
	OCSF Format = "OCSF"
	// CEF is ArcSight's Common Event Format, version 0.
	CEF Format = "CEF"
)

// Parse reads a format's name; the empty name is Native.
func Parse(name string) (Format, error) {
	if f := Format(name); name != "" && slices.Contains([]Format{Native, OCSF, CEF}, f) {
		return f, nil
	}
	if name == "" {
		return Native, nil
	}
	return "", fmt.Errorf("format %q is not Native, OCSF or CEF", name)
}

// Write returns a sealed line in the format, without a line break. The line is not changed.
func Write(f Format, line []byte) ([]byte, error) {
	if f == Native || f == "" {
		return line, nil
	}
	r, err := audit.ParseLine(line)
	if err != nil {
		return nil, fmt.Errorf("not an audit record: %w", err)
	}
	switch f {
	case OCSF:
		return json.Marshal(ocsf(r))
	case CEF:
		return cef(r), nil
	}
	return nil, fmt.Errorf("format %q is not known", f)
}

// counted is what a record of many refusals says of them; for any other it is empty.
func counted(r audit.Record) audit.RefusalCount {
	details, _ := r.Details.(json.RawMessage)
	return audit.Counted(r.Type, details)
}

// millis is a time of a record's details in milliseconds since 1970, 0 for none.
func millis(text string) int64 {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0
	}
	return t.UnixMilli()
}

// severity is 1 (informational) to 4 (high), as OCSF counts.
func severity(r audit.Record) int {
	switch {
	case r.Type == audit.TypeSSOBreakGlass && r.Outcome == audit.OutcomeSuccess || r.Type == audit.TypeSAMLAssertionReplayed || r.Type == audit.TypeSAMLIdPEntityIDChangeRefused ||
		counted(r).Type == audit.TypeSAMLAssertionReplayed.String():
		return 4
	case r.Outcome != audit.OutcomeSuccess && r.Tier == audit.TierSecurity:
		return 3
	case r.Outcome != audit.OutcomeSuccess:
		return 2
	}
	return 1
}
