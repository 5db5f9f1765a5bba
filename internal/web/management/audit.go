package management

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/store"
)

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
		if err := m.queried(r, "page", q); err != nil {
			return err
		}
	}
	w.Header().Set(manageapi.NextCursorHeader, next)
	return writeLines(w, lines)
}

// queried records who asks for audit records, before they are shown.
func (m *Server) queried(r *http.Request, kind string, q store.AuditQuery) error {
	by := caller(r)
	d := audit.Query{Kind: kind, Actor: q.Actor, IdP: q.IdP, Request: q.Request, Since: stamp(q.Since), Until: stamp(q.Until)}
	for _, t := range q.Types {
		d.Types = append(d.Types, t.String())
	}
	for _, o := range q.Outcomes {
		d.Outcomes = append(d.Outcomes, string(o))
	}
	return m.Store.WriteAudit(r.Context(), audit.Record{Type: audit.TypeAuditQueried, Actor: by.Actor, Request: by.Request, Target: audit.Target{Kind: audit.KindAudit}, Details: d})
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
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
	since, err := moment(r, "since")
	if err != nil {
		return err
	}
	until, err := moment(r, "until")
	if err != nil {
		return err
	}
	heads, err := m.Store.AuditPart(r.Context(), since, until)
	if err != nil {
		return err
	}
	return writeJSON(w, map[string][]store.AuditChainEnds{"heads": heads})
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
	if after == 0 {
		if err := m.queried(r, "chain", store.AuditQuery{}); err != nil {
			return err
		}
	}
	lines, err := m.Store.AuditChain(r.Context(), query.Get("writer"), after, n)
	if err != nil {
		return err
	}
	return writeLines(w, lines)
}

// auditKeys are the public keys that verify checkpoints: Ed25519, 32 bytes in base64. Whoever verifies should hold them against a copy from elsewhere.
func (m *Server) auditKeys(w http.ResponseWriter, _ *http.Request) error {
	answer := manageapi.AuditKeys{Keys: []manageapi.AuditKey{}}
	for _, k := range m.auditKeysKnown {
		answer.Keys = append(answer.Keys, manageapi.AuditKey{ID: audit.KeyID(k), PublicKey: k})
	}
	return writeJSON(w, answer)
}
