package audit

import (
	"cmp"
	"encoding/json"
	"time"
)

// Entry is what people are shown of a line of the log.
type Entry struct {
	ID      string          `json:"id"`
	Time    time.Time       `json:"time"`
	Type    string          `json:"type"`
	Outcome string          `json:"outcome"`
	Reason  string          `json:"reason"`
	Actor   Actor           `json:"actor"`
	Target  Target          `json:"target"`
	Request string          `json:"request"`
	Details json.RawMessage `json:"details"`
}

// Who is the actor as people know them: the address, else the ID, else what kind it is.
func (e Entry) Who() string {
	return cmp.Or(e.Actor.Email, e.Actor.ID, string(e.Actor.Kind))
}
