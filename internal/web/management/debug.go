package management

import (
	"net/http"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/store"
)

// debugPoll is how often a request that waits looks for a new entry.
const debugPoll = time.Second

func viewDebug(e store.DebugEntry) manageapi.DebugEntry {
	v := manageapi.DebugEntry{ID: e.ID, Reference: e.Reference, At: e.At, IdP: e.IdP.Name, Success: e.Success, ErrorType: e.ErrorType, Check: e.Check,
		Expected: e.Expected, Actual: e.Actual, Verified: e.Verified, Issuer: e.Issuer, Email: e.Email, Attributes: e.Attributes, RequestID: e.RequestID, IP: e.IP, UserAgent: e.UserAgent}
	v.Sentence, v.Advice, _ = strings.Cut(e.Sentence, "\n")
	if e.NameID.Value != "" {
		id := manageapi.NameID(e.NameID)
		v.NameID = &id
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
	wait, err := duration(r, "wait", 0)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	q := store.DebugQuery{IdP: query.Get("idp"), ErrorType: query.Get("type"), After: after, Limit: n}
	entries, err := m.waitForDebug(r, q, wait)
	if err != nil {
		return err
	}
	page := manageapi.Page[manageapi.DebugEntry]{Items: make([]manageapi.DebugEntry, 0, len(entries))}
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
