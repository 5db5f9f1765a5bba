package management

import (
	"net/http"
	"time"
)

func (m *Server) stats(w http.ResponseWriter, r *http.Request) error {
	stats, err := m.Store.Stats(r.Context())
	if err != nil {
		return err
	}
	type perIdP struct {
		Users        int       `json:"users"`
		Sessions     int       `json:"sessions"`
		LastSignIn   time.Time `json:"lastSignIn,omitzero"`
		GroupOverage int       `json:"groupOverage,omitempty"`
	}
	answer := struct {
		Users          int               `json:"users"`
		ActiveSessions int               `json:"activeSessions"`
		IdPs           map[string]perIdP `json:"identityProviders"`
	}{stats.Users, stats.ActiveSessions, map[string]perIdP{}}
	for uid, s := range stats.IdPs {
		answer.IdPs[uid] = perIdP{s.Users, s.Sessions, s.LastSignIn, s.GroupOverage}
	}
	return writeJSON(w, answer)
}
