package management

import (
	"net/http"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store"
)

// debugPoll is how often a request that waits looks for a new entry.
const debugPoll = time.Second

// DebugEntry is a debug entry as the API shows it.
type DebugEntry struct {
	ID        string    `json:"id"`
	Reference string    `json:"reference"`
	At        time.Time `json:"at"`
	IdP       string    `json:"idp"`
	Success   bool      `json:"success"`
	ErrorType string    `json:"errorType,omitempty"`
	// Sentence is what was wrong, Advice which setting to change, on which side.
	Sentence        string              `json:"sentence,omitempty"`
	Advice          string              `json:"advice,omitempty"`
	Check           string              `json:"check,omitempty"`
	Expected        string              `json:"expected,omitempty"`
	Actual          string              `json:"actual,omitempty"`
	Verified        bool                `json:"verified"`
	Issuer          string              `json:"issuer,omitempty"`
	NameID          *store.NameID       `json:"nameID,omitempty"`
	Email           string              `json:"email,omitempty"`
	Attributes      map[string][]string `json:"attributes,omitempty"`
	RequestID       string              `json:"requestID,omitempty"`
	IP              string              `json:"ip,omitempty"`
	UserAgent       string              `json:"userAgent,omitempty"`
	ClockDifference string              `json:"clockDifference,omitempty"`
	// XML is there only when it is asked for.
	XML string `json:"xml,omitempty"`
}

func viewDebug(e store.DebugEntry) DebugEntry {
	v := DebugEntry{ID: e.ID, Reference: e.Reference, At: e.At, IdP: e.IdP.Name, Success: e.Success, ErrorType: e.ErrorType, Check: e.Check,
		Expected: e.Expected, Actual: e.Actual, Verified: e.Verified, Issuer: e.Issuer, Email: e.Email, Attributes: e.Attributes, RequestID: e.RequestID, IP: e.IP, UserAgent: e.UserAgent}
	v.Sentence, v.Advice, _ = strings.Cut(e.Sentence, "\n")
	if e.NameID.Value != "" {
		v.NameID = &e.NameID
	}
	if e.ClockDifference != 0 {
		v.ClockDifference = e.ClockDifference.Round(time.Millisecond).String()
	}
	return v
}

// debugEntries lists entries newest first: the diagnosis and the address, not the rest of what they carry of people. With wait it answers as soon as there
// is one. Looking at them is recorded; an empty list shows nothing.
func (m *Server) debugEntries(w http.ResponseWriter, r *http.Request) error {
	n, err := limit(r, pageSize, maxPageSize)
	if err != nil {
		return err
	}
	after, err := moment(r, "after")
	if err != nil {
		return err
	}
	wait, err := duration(r, "wait", 0, maxWait)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	q := store.DebugQuery{IdP: query.Get("idp"), ErrorType: query.Get("type"), After: after, Limit: n}
	entries, err := m.waitForDebug(r, q, wait)
	if err != nil {
		return err
	}
	page := Page[DebugEntry]{Items: make([]DebugEntry, 0, len(entries))}
	for _, e := range entries {
		view := viewDebug(e)
		view.Attributes, view.NameID = nil, nil
		page.Items = append(page.Items, view)
	}
	if len(entries) == 0 {
		return writeJSON(w, page)
	}
	by := caller(r)
	err = m.Store.WriteAudit(r.Context(), audit.Record{
		Type: audit.TypeDebugEntryViewed, Actor: by.Actor, Request: by.Request, Target: audit.Target{Kind: audit.KindDebugEntry, Name: query.Get("idp")},
		Details: audit.DebugView{Entries: len(entries), ErrorType: query.Get("type")}})
	if err != nil {
		return err
	}
	return writeJSON(w, page)
}

func (m *Server) waitForDebug(r *http.Request, q store.DebugQuery, wait time.Duration) ([]store.DebugEntry, error) {
	deadline := m.Clock.Now().Add(wait)
	for {
		entries, err := m.Store.DebugEntries(r.Context(), q)
		if err != nil || len(entries) > 0 || !m.Clock.Now().Before(deadline) || m.draining.Load() {
			return entries, err
		}
		select {
		case <-r.Context().Done():
			return nil, r.Context().Err()
		case <-time.After(debugPoll):
		}
	}
}

// debugEntry answers one entry by ID or reference, and records who looked at it before it is shown.
func (m *Server) debugEntry(w http.ResponseWriter, r *http.Request) error {
	e, err := m.Store.DebugEntry(r.Context(), r.PathValue("entry"))
	if err != nil {
		return err
	}
	by, xml := caller(r), r.URL.Query().Get("xml") == "true"
	err = m.Store.WriteAudit(r.Context(), audit.Record{
		Type: audit.TypeDebugEntryViewed, Actor: by.Actor, Request: e.Reference, Target: audit.Target{Kind: audit.KindDebugEntry, Name: e.Reference, UID: e.ID},
		Details: audit.DebugView{Entries: 1, ErrorType: e.ErrorType, XML: xml}})
	if err != nil {
		return err
	}
	view := viewDebug(e)
	if xml {
		view.XML = string(e.XML)
	}
	return writeJSON(w, view)
}
