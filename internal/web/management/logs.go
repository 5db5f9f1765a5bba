package management

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store"
)

// nextCursor names the header that carries the cursor of the next page of audit lines, whose bytes must stay exactly as their hashes cover them.
const nextCursor = "X-Next-Cursor"

// audit answers a page of records, one line of JSON each, oldest first.
func (m *Server) audit(w http.ResponseWriter, r *http.Request) error {
	q, err := auditQuery(r)
	if err != nil {
		return err
	}
	lines, next, err := m.Store.Audit(r.Context(), q)
	if err != nil {
		return err
	}
	if q.Cursor == "" {
		// The first page stands for the whole question.
		by := caller(r)
		record := audit.Record{Type: audit.TypeAuditQueried, Actor: by.Actor, Request: by.Request, Target: audit.Target{Kind: audit.KindAudit}}
		if err := m.Store.WriteAudit(r.Context(), record); err != nil {
			return err
		}
	}
	w.Header().Set(nextCursor, next)
	return writeLines(w, lines)
}

func auditQuery(r *http.Request) (store.AuditQuery, error) {
	query := r.URL.Query()
	q := store.AuditQuery{Actor: query.Get("actor"), IdP: query.Get("idp"), Request: query.Get("request"), NewestFirst: query.Get("newest") == "true", Cursor: query.Get("cursor")}
	var err error
	if q.Since, err = moment(r, "since"); err != nil {
		return q, err
	}
	if q.Until, err = moment(r, "until"); err != nil {
		return q, err
	}
	if q.Limit, err = limit(r, maxPageSize, maxPageSize); err != nil {
		return q, err
	}
	for _, name := range list(query.Get("type")) {
		t, err := audit.ParseType(name)
		if err != nil {
			return q, status(http.StatusBadRequest, "%v", err)
		}
		q.Types = append(q.Types, t)
	}
	for _, name := range list(query.Get("outcome")) {
		switch outcome := audit.Outcome(name); outcome {
		case audit.OutcomeSuccess, audit.OutcomeFailure, audit.OutcomeDenied:
			q.Outcomes = append(q.Outcomes, outcome)
		default:
			return q, status(http.StatusBadRequest, "outcome %q is not success, failure or denied", name)
		}
	}
	return q, nil
}

func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' })
}

func writeLines(w http.ResponseWriter, lines []store.AuditLine) error {
	w.Header().Set("Content-Type", "application/x-ndjson")
	for _, l := range lines {
		if _, err := w.Write(append(l.Line, '\n')); err != nil {
			return nil
		}
	}
	return nil
}

func (m *Server) auditHeads(w http.ResponseWriter, r *http.Request) error {
	heads, err := m.Store.AuditHeads(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, map[string][]audit.Head{"heads": heads})
}

// auditChain answers one writer's lines after a sequence number, for verification.
func (m *Server) auditChain(w http.ResponseWriter, r *http.Request) error {
	n, err := limit(r, maxPageSize, 10*maxPageSize)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	after := uint64(0)
	if given := query.Get("after"); given != "" {
		if after, err = strconv.ParseUint(given, 10, 63); err != nil {
			return status(http.StatusBadRequest, "after %q is not a sequence number", given)
		}
	}
	if query.Get("writer") == "" {
		return status(http.StatusBadRequest, "writer is missing: /v1/audit/heads lists them")
	}
	lines, err := m.Store.AuditChain(r.Context(), query.Get("writer"), after, n)
	if err != nil {
		return err
	}
	return writeLines(w, lines)
}

// DebugEntry is a debug entry as the API shows it.
type DebugEntry struct {
	ID              string              `json:"id"`
	Reference       string              `json:"reference"`
	At              time.Time           `json:"at"`
	IdP             string              `json:"idp"`
	Success         bool                `json:"success"`
	ErrorType       string              `json:"errorType,omitempty"`
	Sentence        string              `json:"sentence,omitempty"`
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
	v := DebugEntry{ID: e.ID, Reference: e.Reference, At: e.At, IdP: e.IdP.Name, Success: e.Success, ErrorType: e.ErrorType, Sentence: e.Sentence, Check: e.Check,
		Expected: e.Expected, Actual: e.Actual, Verified: e.Verified, Issuer: e.Issuer, Email: e.Email, Attributes: e.Attributes, RequestID: e.RequestID, IP: e.IP, UserAgent: e.UserAgent}
	if e.NameID.Value != "" {
		v.NameID = &e.NameID
	}
	if e.ClockDifference != 0 {
		v.ClockDifference = e.ClockDifference.String()
	}
	return v
}

// debugEntries lists entries newest first: the diagnosis and the address, not the rest of what they carry of people. Looking at them is recorded.
func (m *Server) debugEntries(w http.ResponseWriter, r *http.Request) error {
	n, err := limit(r, pageSize, maxPageSize)
	if err != nil {
		return err
	}
	after, err := moment(r, "after")
	if err != nil {
		return err
	}
	query := r.URL.Query()
	entries, err := m.Store.DebugEntries(r.Context(), store.DebugQuery{IdP: query.Get("idp"), ErrorType: query.Get("type"), After: after, Limit: n})
	if err != nil {
		return err
	}
	page := Page[DebugEntry]{Items: make([]DebugEntry, 0, len(entries))}
	for _, e := range entries {
		view := viewDebug(e)
		view.Attributes, view.NameID = nil, nil
		page.Items = append(page.Items, view)
	}
	by := caller(r)
	err = m.Store.WriteAudit(r.Context(), audit.Record{
		Type: audit.TypeDebugEntryViewed, Actor: by.Actor, Request: by.Request, Target: audit.Target{Kind: audit.KindDebugEntry, Name: query.Get("idp")}})
	if err != nil {
		return err
	}
	return writeJSON(w, page)
}

// debugEntry answers one entry by ID or reference, and records who looked at it before it is shown.
func (m *Server) debugEntry(w http.ResponseWriter, r *http.Request) error {
	e, err := m.Store.DebugEntry(r.Context(), r.PathValue("entry"))
	if err != nil {
		return err
	}
	by := caller(r)
	err = m.Store.WriteAudit(r.Context(), audit.Record{
		Type: audit.TypeDebugEntryViewed, Actor: by.Actor, Request: e.Reference, Target: audit.Target{Kind: audit.KindDebugEntry, Name: e.Reference, UID: e.ID}})
	if err != nil {
		return err
	}
	view := viewDebug(e)
	if r.URL.Query().Get("xml") == "true" {
		view.XML = string(e.XML)
	}
	return writeJSON(w, view)
}
