package management

import (
	"encoding/hex"
	"net/http"
	"strings"

	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/store"
)

func viewSession(s store.Session) manageapi.Session {
	return manageapi.Session{ID: hex.EncodeToString(s.TokenHash[:16]), UserID: s.UserID, Email: s.User.Email, IdP: s.IdP.Name, IP: s.IP, UserAgent: s.UserAgent,
		CreatedAt: s.CreatedAt, LastSeenAt: s.LastSeenAt, ExpiresAt: s.ExpiresAt, Pending: s.SecondFactorPending}
}

func (m *Server) sessions(w http.ResponseWriter, r *http.Request) error {
	n, err := limit(r, pageSize, maxPageSize)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	q := store.SessionQuery{IdPUID: m.uid(query.Get("idp")), Limit: n, Cursor: query.Get("cursor")}
	if q.UserID, err = m.userID(r, query.Get("user")); err != nil {
		return err
	}
	sessions, next, err := m.Store.Sessions(r.Context(), q)
	if err != nil {
		return err
	}
	page := manageapi.Page[manageapi.Session]{Items: make([]manageapi.Session, 0, len(sessions)), Next: next}
	for _, s := range sessions {
		page.Items = append(page.Items, viewSession(s))
	}
	return writeJSON(w, page)
}

// revokeSessions ends sessions by ID, user or IdP; at least one must be given.
func (m *Server) revokeSessions(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Session string `json:"session"`
		User    string `json:"user"`
		IdP     string `json:"idp"`
	}
	if err := body(r, &in); err != nil {
		return err
	}
	if in.Session == "" && in.User == "" && in.IdP == "" {
		return status(http.StatusBadRequest, "say which sessions: session, user or idp")
	}
	if in.Session != "" && (len(in.Session) < 8 || strings.Trim(in.Session, "0123456789abcdef") != "") {
		return status(http.StatusBadRequest, "session %q is not at least 8 digits of an ID as the list shows it", in.Session)
	}
	match := store.SessionMatch{SessionPrefix: in.Session}
	if in.IdP != "" {
		match.IdPUID = m.uid(in.IdP)
	}
	var err error
	if match.UserID, err = m.userID(r, in.User); err != nil {
		return err
	}
	total := 0
	for {
		ended, err := m.people.Revoke(r.Context(), match, "admin", caller(r))
		if err != nil {
			return err
		}
		for _, e := range ended {
			m.Sessions.Forget(session.Key(e.TokenHash))
		}
		if total += len(ended); len(ended) < provision.RevokeBatch {
			return writeJSON(w, manageapi.Ended{Ended: total})
		}
	}
}
