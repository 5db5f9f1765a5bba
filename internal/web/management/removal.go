package management

import (
	"net/http"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/store"
)

// removeIdP undoes what a deleted IdentityProvider left; the operator calls it, again after a crash, until it answers 200.
func (m *Server) removeIdP(w http.ResponseWriter, r *http.Request) error {
	var in manageapi.Removal
	if err := body(r, &in); err != nil {
		return err
	}
	if in.Name == "" {
		return status(http.StatusBadRequest, "name is missing")
	}
	uid := r.PathValue("uid")
	result, err := m.people.RemoveIdP(r.Context(), provision.Removal{
		IdP: store.IdPRef{UID: uid, Name: in.Name}, Scrub: in.Scrub,
		Target: audit.Target{Kind: provision.KindIdentityProvider, Namespace: in.Namespace, Name: in.Name, UID: uid, Generation: in.Generation},
	}, caller(r))
	if err != nil {
		return err
	}
	return writeJSON(w, result)
}
