package audit

import (
	"fmt"
	"strings"
)

// FindingKind is what is wrong with an audit log. The list is closed.
type FindingKind string

// The kinds.
const (
	// FindingMalformed: a line that is no record.
	FindingMalformed FindingKind = "malformed"
	// FindingChanged: a record whose content does not give its hash.
	FindingChanged FindingKind = "changed"
	// FindingReplaced: a record that does not follow from the one before it, though each of them is consistent.
	FindingReplaced FindingKind = "replaced"
	// FindingMissing: sequence numbers that never came.
	FindingMissing FindingKind = "missing"
	// FindingInserted: a second record for a sequence number.
	FindingInserted FindingKind = "inserted"
	// FindingReordered: a record that came after a later one.
	FindingReordered FindingKind = "reordered"
	// FindingTruncated: a chain that ends before the end that a checkpoint or the caller knows.
	FindingTruncated FindingKind = "truncated"
	// FindingForged: a checkpoint that no trusted key signed, or that was signed over other records.
	FindingForged FindingKind = "forged_checkpoint"
	// FindingForgedRetention: a retention record that no trusted key signed.
	FindingForgedRetention FindingKind = "forged_retention"
	// FindingCut: a chain that begins later than its first record, and no retention record explains it.
	FindingCut FindingKind = "cut_beginning"
	// FindingUnsealed: more records without a checkpoint than any writer leaves.
	FindingUnsealed FindingKind = "unsealed"
)

// Finding is one fault and where it is.
type Finding struct {
	Kind FindingKind `json:"kind"`
	// Line is the line in the stream, from 1; 0 when nothing is there.
	Line     int64  `json:"line,omitempty"`
	Writer   string `json:"writer,omitempty"`
	Sequence uint64 `json:"sequence,omitempty"`
	Message  string `json:"message"`
}

func (f Finding) String() string {
	var where []string
	if f.Line > 0 {
		where = append(where, fmt.Sprintf("line %d", f.Line))
	}
	if f.Writer != "" {
		where = append(where, fmt.Sprintf("writer %s, record %d", f.Writer, f.Sequence))
	}
	return fmt.Sprintf("%s (%s): %s", f.Kind, strings.Join(where, ", "), f.Message)
}
