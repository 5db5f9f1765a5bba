package management

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"os"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/web/proxy"
	"sallyport.dev/sallyport/internal/web/serve"
)

// tokenEvery is how often the token's file is read again, so that a rotated Secret counts without a restart.
const tokenEvery = 5 * time.Second

// authorized compares hashes of equal length in constant time.
func (m *Server) authorized(r *http.Request) bool {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	want, known := m.wanted()
	sum := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(sum[:], want[:]) == 1 && ok && known
}

func (m *Server) wanted() ([sha256.Size]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.Clock.Now(); m.file != "" && (!m.tokenKnown || now.Sub(m.tokenRead) >= tokenEvery) {
		m.tokenRead = now
		content, err := os.ReadFile(m.file)
		token := strings.TrimSpace(string(content))
		switch {
		case err != nil:
			m.Log.Error("the management token cannot be read; the last one counts", "error", err)
		case len(token) < 16:
			m.Log.Error("the management token has fewer than 16 characters and does not count")
			m.tokenKnown = false
		default:
			m.token, m.tokenKnown = sha256.Sum256([]byte(token)), true
		}
	}
	return m.token, m.tokenKnown
}

// denied records a refused request.
func (m *Server) denied(r *http.Request) {
	m.Metrics.ManagementDenied.Inc()
	err := m.Strangers.Record(r.Context(), audit.Record{
		Type: audit.TypeManagementDenied, Outcome: audit.OutcomeDenied, Reason: "no_valid_token", Actor: audit.Actor{Kind: audit.ActorSystem, IP: proxy.Peer(r).String()},
		Target: audit.Target{Kind: "Path", Name: strings.ToValidUTF8(r.URL.Path[:min(len(r.URL.Path), 128)], "")},
	})
	if err != nil {
		m.Log.Error("a refused management request could not be recorded", "error", err)
	}
}

// caller is who asks, as `kubectl sso` found out from the API server; the operator says nothing and is the system.
func caller(r *http.Request) provision.Caller {
	if by, ok := inside(r); ok {
		return by
	}
	name := r.Header.Get(manageapi.ActorHeader)
	if name == "" {
		return provision.Caller{Actor: audit.Actor{Kind: audit.ActorSystem, ID: "operator"}, Request: serve.NewReference()}
	}
	return provision.Caller{Actor: audit.Actor{Kind: audit.ActorKubernetes, ID: strings.ToValidUTF8(name[:min(len(name), 256)], "")}, Request: serve.NewReference()}
}
