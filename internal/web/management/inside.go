package management

import (
	"context"
	"net/http"

	"sallyport.dev/sallyport/internal/identity/provision"
)

// insideKey holds the caller of a request that is made in this process.
type insideKey struct{}

// As answers a request of the API that is made in this process on behalf of somebody who was authenticated and authorised already: no token is asked for,
// and everything else is as for a request from outside, what is recorded included.
func (m *Server) As(by provision.Caller, w http.ResponseWriter, r *http.Request) {
	if r.Body == nil {
		r.Body = http.NoBody // as a server has it
	}
	m.handler().ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), insideKey{}, by)))
}

// inside is the caller of a request that was made by As.
func inside(r *http.Request) (provision.Caller, bool) {
	by, ok := r.Context().Value(insideKey{}).(provision.Caller)
	return by, ok
}
