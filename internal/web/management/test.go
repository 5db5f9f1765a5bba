package management

import (
	"errors"
	"net/http"
	"time"

	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/trial"
)

// trialPoll is how often a request that waits looks for the result.
const trialPoll = 500 * time.Millisecond

// newTest makes a link for a full round trip to the IdP, also while the connection is disabled.
func (m *Server) newTest(w http.ResponseWriter, r *http.Request) error {
	s := m.Sites.Current()
	if s == nil {
		return status(http.StatusServiceUnavailable, "no snapshot is served yet")
	}
	name := r.PathValue("idp")
	c := s.Connection(name)
	if c == nil {
		return status(http.StatusNotFound, "this pod serves no connection %q: its conditions say why", name)
	}
	if c.Trust == nil {
		return status(http.StatusConflict, "trust in %s is not established: there is no address to send a request to; see TrustEstablished", name)
	}
	now := m.Clock.Now()
	secret, err := trial.Open(r.Context(), m.Store, c.Name, c.UID, caller(r).Actor.ID, now)
	if err != nil {
		return err
	}
	return writeJSON(w, manageapi.TrialLink{ID: secret, URL: s.Snapshot.ServiceProvider.URL + trial.Path + secret, Expires: now.Add(trial.Lifetime)})
}

// testResult answers what a test run came to, as soon as there is something; 404 until then.
func (m *Server) testResult(w http.ResponseWriter, r *http.Request) error {
	wait, err := duration(r, "wait", 0)
	if err != nil {
		return err
	}
	deadline := m.Clock.Now().Add(wait)
	for {
		result, err := trial.Outcome(r.Context(), m.Store, r.PathValue("test"))
		if err == nil {
			return writeJSON(w, result)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if !m.Clock.Now().Before(deadline) || m.draining.Load() {
			return status(http.StatusNotFound, "there is no result: the link was not followed yet, or it has expired")
		}
		select {
		case <-r.Context().Done():
			return r.Context().Err()
		case <-time.After(trialPoll):
		}
	}
}
