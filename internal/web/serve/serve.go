// Package serve is what every handler of the service provider works with: the site that is served, the store, the sessions, the clock, and how to
// answer with a page.
package serve

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/internal/audit/ration"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/tracing"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/refusals"
	"sallyport.dev/sallyport/internal/web/site"
)

// Env is shared by all handlers. It is safe for concurrent use.
type Env struct {
	Sites    *site.Holder
	Store    store.Store
	Sessions *session.Manager
	Clock    clock.PassiveClock
	Log      *slog.Logger
	Metrics  *metrics.Metrics
	// Tracer traces sign-ins; nil traces nothing.
	Tracer *tracing.Tracer
	// Strangers records what anybody can cause without any proof.
	Strangers *ration.Log
	// Refusals are counted for the operator, which shows them on the IdentityProvider.
	Refusals *refusals.Tally
}

// referenceAlphabet has no letter that is read for a digit.
const referenceAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// NewReference makes the correlation ID that people are shown: XXXX-XXXX, 40 random bits.
func NewReference() string {
	var random [8]byte
	rand.Read(random[:]) //nolint:errcheck // crypto/rand does not fail
	out := make([]byte, 0, 9)
	for i, b := range random {
		if i == 4 {
			out = append(out, '-')
		}
		out = append(out, referenceAlphabet[b&31])
	}
	return string(out)
}

// IsReference says whether s is a reference in its form: what people hand around may come back as input.
func IsReference(s string) bool {
	if len(s) != 9 || s[4] != '-' {
		return false
	}
	for i := range len(s) {
		if i != 4 && !strings.ContainsRune(referenceAlphabet, rune(s[i])) {
			return false
		}
	}
	return true
}

// Page answers with a page of the site.
func (e *Env) Page(w http.ResponseWriter, s *site.Site, status int, p pages.Page) {
	if err := pages.Write(w, status, pages.Origin{Host: s.Host}, p); err != nil {
		e.Log.Warn("writing a page", "error", err)
	}
}

// PageElsewhere answers with a page that a proxy shows on an application's host.
func (e *Env) PageElsewhere(w http.ResponseWriter, s *site.Site, status int, p pages.Page) {
	if err := pages.Write(w, status, pages.Origin{Host: s.Host, Base: s.Snapshot.ServiceProvider.URL}, p); err != nil {
		e.Log.Warn("writing a page", "error", err)
	}
}

// StoreFailed answers a request that needs the store while it does not answer: 503 and a page that says so.
func (e *Env) StoreFailed(w http.ResponseWriter, s *site.Site, operation metrics.Operation, err error) {
	reference := NewReference()
	e.Metrics.StoreFailed(operation)
	e.Log.Error("the store did not answer", "operation", operation.String(), "reference", reference, "error", err)
	w.Header().Set("Retry-After", "5")
	e.Page(w, s, http.StatusServiceUnavailable, pages.Message{
		Heading:   "Please try again in a moment",
		Sentence:  "Signing in is not possible right now, because a part of the service does not answer.",
		Advice:    "People who are signed in stay signed in. If it lasts, give your administrator this reference.",
		Reference: reference,
	})
}

// Moment is a time in a sentence.
func Moment(t time.Time) string { return pages.At(t).Text }

// Client is who sends a request, for audit records.
type Client struct{ IP, UserAgent string }

// maxUserAgent bounds what is kept of a User-Agent header, in bytes.
const maxUserAgent = 256

// ClientOf reads the client's address, past trusted proxies, and its user agent.
func ClientOf(s *site.Site, r *http.Request) Client {
	agent := r.UserAgent()
	if len(agent) > maxUserAgent {
		agent = agent[:maxUserAgent]
	}
	return Client{IP: s.Proxies.Client(r), UserAgent: strings.ToValidUTF8(agent, "")}
}
