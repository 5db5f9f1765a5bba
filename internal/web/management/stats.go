package management

import (
	"net/http"

	"sallyport.dev/sallyport/internal/manageapi"
)

func (m *Server) stats(w http.ResponseWriter, r *http.Request) error {
	stats, err := m.Store.Stats(r.Context())
	if err != nil {
		return err
	}
	answer := manageapi.Stats{Users: stats.Users, ActiveSessions: stats.ActiveSessions, IdPs: map[string]manageapi.IdPStats{}}
	for uid, s := range stats.IdPs {
		answer.IdPs[uid] = manageapi.IdPStats{Users: s.Users, Sessions: s.Sessions, LastSignIn: s.LastSignIn, GroupOverage: s.GroupOverage}
	}
	return writeJSON(w, answer)
}
