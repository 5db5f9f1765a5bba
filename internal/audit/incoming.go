package audit

import (
	"encoding/json"
	"time"
)

// Incoming is a record of the operator on its way into the log of the service provider. It may be sent again: Key tells a repetition.
type Incoming struct {
	Key     string          `json:"key"`
	Time    time.Time       `json:"time"`
	Type    Type            `json:"type"`
	Outcome Outcome         `json:"outcome,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Actor   Actor           `json:"actor"`
	Target  Target          `json:"target"`
	Details json.RawMessage `json:"details,omitempty"`
}

// Record is what is chained.
func (i Incoming) Record() Record {
	r := Record{Time: i.Time, Type: i.Type, Outcome: i.Outcome, Reason: i.Reason, Actor: i.Actor, Target: i.Target}
	if len(i.Details) > 0 {
		r.Details = i.Details
	}
	return r
}

// FromOperator tells whether the operator writes records of the type: what happens to custom resources, and to the snapshot.
func (t Type) FromOperator() bool {
	return t >= TypeSAMLIdPCreated && t <= TypeAttributeMappingExamplesFailed || t >= TypeServiceProviderCreated && t <= TypeSnapshotProgrammed || t == TypeAuditKeyRotated ||
		t >= TypeHeaderKeyAdded && t <= TypeHeaderKeyRetired
}
