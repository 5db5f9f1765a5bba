// Package authz answers the question of a reverse proxy: may this request pass, and who sends it? Handlers for nginx and HAProxy, Traefik and Caddy,
// and Envoy (HTTP and gRPC) share one gate; they differ in how they are asked and in what they answer to somebody who is not signed in.
//
// A check of a signed-in browser does no I/O: it hashes the cookie, looks it up, and assigns headers that were prepared with the session.
package authz

import (
	"errors"
	"net/http"

	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/web/access"
	"sallyport.dev/sallyport/internal/web/proxy"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/site"
)

// verdict is what the gate decides.
type verdict int

// The verdicts.
const (
	// allowed lets the request pass with the session's identity, anonymous without any.
	allowed verdict = iota
	anonymous
	// unauthenticated asks to sign in; forbidden means that signing in again would not help.
	unauthenticated
	forbidden
	// unavailable means that neither site nor store could say; misconfigured that the proxy asked in a way that is not understood.
	unavailable
	misconfigured
	verdictEnd
)

var verdictNames = [verdictEnd]string{"allowed", "anonymous", "unauthenticated", "forbidden", "unavailable", "misconfigured"}

// question is one check.
type question struct {
	// cookies are the values of the Cookie headers.
	cookies []string
	require requirement
	// original is the request that the proxy asks about; known says whether it could be read.
	original proxy.Original
	known    bool
	kind     proxy.Kind
}

// Gate decides. It is safe for concurrent use.
type Gate struct {
	env     *serve.Env
	denials *denials
	tokens  *tokens
}

// NewGate makes the gate. Close waits for the records of denied accesses that are being written.
func NewGate(env *serve.Env) *Gate {
	return &Gate{env: env, denials: newDenials(env), tokens: newTokens(env)}
}

// Close waits until every denial is recorded.
func (g *Gate) Close() { g.denials.wait() }

// decide answers a question. The session is set when the verdict is allowed or forbidden.
func (g *Gate) decide(s *site.Site, q *question) (verdict, *session.Session) {
	if q.require.preflight && q.kind == proxy.Preflight {
		return anonymous, nil
	}
	var rule *access.Rule
	if s.Access != nil {
		if !q.known {
			// Rules decide by host and path: without them nothing can match, and a host that no rule names is denied.
			return misconfigured, nil
		}
		rule = s.Access.Match(q.original)
	}
	current, err := g.env.SignedInAt(s, q.cookies, q.original.Host)
	if s.Access != nil && rule == nil {
		// Signing in would not help. Somebody who is signed in is named in the record of it.
		return forbidden, current
	}
	switch {
	case err == nil && !current.SecondFactorPending:
	case rule != nil && rule.Public:
		return anonymous, nil
	case errors.Is(err, session.ErrUnavailable):
		return unavailable, nil
	default:
		return unauthenticated, nil
	}
	if idp := s.NameOf(current.IdP()); !q.require.met(current, idp) || rule != nil && !rule.Admits(current.InGroup, idp, current.Email()) {
		return forbidden, current
	}
	return allowed, current
}

// identify writes who it is. Every header is written, empty where nothing is known, so that a proxy overwrites what the client sent.
func (g *Gate) identify(h http.Header, s *site.Site, q *question, current *session.Session) {
	g.tokens.sign(h, s, q, current)
	if current == nil {
		for _, name := range headerNames {
			h[name] = noValue
		}
		return
	}
	current.Identify(h)
}

var noValue = []string{""}

// headerNames are the identity headers, as package session prepares them.
var headerNames = []string{
	"Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups",
	"X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Groups", "X-Auth-Request-Preferred-Username",
}
