package cli

import (
	"fmt"

	"sallyport.dev/sallyport/internal/audit"
)

// scope says what a verification is about, where that is not the whole log: what it proves when nothing is found, and what it does not prove whatever is found.
type scope struct {
	proved   string
	unproven []string
	// ends says that nobody vouches for the records after the last checkpoints.
	ends bool
}

// judged is a report with what it does not prove.
type judged struct {
	*audit.Report
	NotProved []string `json:"notProved,omitempty"`
}

// scope of files that are held against the proof.
func (p *proof) scope() scope {
	if !p.part() {
		return scope{}
	}
	said := scope{proved: "these are all records"}
	if p.Since != "" {
		said.proved += " from " + p.Since + " on"
		said.unproven = append(said.unproven, "anything about records from before "+p.Since)
	}
	if p.Until != "" {
		said.proved += " before " + p.Until
		said.unproven = append(said.unproven, "anything about records from "+p.Until+" on")
	}
	said.proved += " that the service provider had at " + at(p.Time) + ", as its proof says"
	return said
}

func (s scope) notProved(r *audit.Report) []string {
	all := s.unproven
	unsealed := uint64(0)
	for _, w := range r.Writers {
		unsealed += w.Unsealed
	}
	if s.ends && unsealed > 0 {
		all = append(all, fmt.Sprintf("%s after the last checkpoint of the writer, which nobody has signed", plural(int(unsealed), "record", "records")))
	}
	return all
}
