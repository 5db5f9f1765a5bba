package authz

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/proxy"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/site"
)

// counters are resolved once, so that counting is one atomic addition.
type counters [verdictEnd]prometheus.Counter

func (g *Gate) counters(endpoint string) *counters {
	var c counters
	for v := range verdictEnd {
		c[v] = g.env.Metrics.Checks.WithLabelValues(endpoint, verdictNames[v])
	}
	return &c
}

// handler answers checks with the site of now; before there is one, nothing can be decided.
func (g *Gate) handler(endpoint string, check func(w http.ResponseWriter, r *http.Request, s *site.Site, count *counters)) http.Handler {
	count := g.counters(endpoint)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := g.env.Sites.Current()
		if s == nil {
			count[unavailable].Inc()
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		check(w, r, s, count)
	})
}

// Nginx answers nginx's auth_request, ingress-nginx and HAProxy: 200 with identity headers, 401, 403, and never a redirect. 500 and 503 make nginx
// answer 500, which closes the door.
func (g *Gate) Nginx() http.Handler {
	return g.handler("nginx", func(w http.ResponseWriter, r *http.Request, s *site.Site, count *counters) {
		q := question{cookies: r.Header["Cookie"]}
		v, current := misconfigured, (*session.Session)(nil)
		var err error
		if q.require, err = parseRequirement(r.URL.RawQuery); err == nil {
			if s.Access != nil || s.HandsOver || s.Signer != nil {
				q.original, q.known = s.Proxies.XOriginal(r)
			}
			// nginx hands on the client's own X-Original-Method unless it is told not to: too little to let a preflight pass.
			q.require.preflight = false
			v, current = g.decide(s, &q)
		}
		count[v].Inc()
		switch v {
		case allowed, anonymous:
			g.identify(w.Header(), s, &q, current)
			w.WriteHeader(http.StatusOK)
		case unauthenticated:
			w.WriteHeader(http.StatusUnauthorized)
		case forbidden:
			g.deny(s, r, current, q.original.Host)
			w.WriteHeader(http.StatusForbidden)
		case unavailable:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			g.misconfigured(w, err)
		}
	})
}

// Forward answers Traefik's ForwardAuth and Caddy's forward_auth, which hand every answer but 2xx to the client: 302 to sign in for a page,
// 401 for an API call, a WebSocket and a preflight, 403 with a page or without.
func (g *Gate) Forward() http.Handler {
	return g.handler("forward", func(w http.ResponseWriter, r *http.Request, s *site.Site, count *counters) {
		q := question{cookies: r.Header["Cookie"]}
		q.original, q.known = s.Proxies.Forwarded(r)
		g.answer(w, r, s, &q, r.URL.RawQuery, count)
	})
}

// Envoy answers ext_authz over HTTP. Envoy sends the original method and host, and the original path behind its path_prefix: everything after prefix.
// requirement says where the restriction stands: in the first path segment after prefix (the proxy writes that one), or nowhere.
func (g *Gate) Envoy(prefix string, withRequirement bool) http.Handler {
	return g.handler("envoy", func(w http.ResponseWriter, r *http.Request, s *site.Site, count *counters) {
		uri, require := strings.TrimPrefix(r.RequestURI, prefix), ""
		if withRequirement {
			require, uri, _ = strings.Cut(strings.TrimPrefix(uri, "/"), "/")
			uri = "/" + uri
		}
		q := question{cookies: r.Header["Cookie"]}
		q.original = proxy.Original{Method: r.Method, Scheme: "https", Host: strings.ToLower(r.Host), URI: uri}
		if scheme := r.Header["X-Forwarded-Proto"]; len(scheme) == 1 && scheme[0] == "http" {
			q.original.Scheme = "http"
		}
		q.known = s.Proxies.Trusted(r) && strings.HasPrefix(uri, "/")
		g.answer(w, r, s, &q, require, count)
	})
}

// answer is for proxies that hand the answer to the client.
func (g *Gate) answer(w http.ResponseWriter, r *http.Request, s *site.Site, q *question, require string, count *counters) {
	method := r.Method
	if q.known {
		method = q.original.Method
	}
	q.kind = proxy.KindOf(method, r.Header)
	v, current := misconfigured, (*session.Session)(nil)
	var err error
	if q.require, err = parseRequirement(require); err == nil {
		// Only a trusted proxy's word makes a request a preflight.
		q.require.preflight = q.require.preflight && q.known
		v, current = g.decide(s, q)
	}
	count[v].Inc()
	switch v {
	case allowed, anonymous:
		g.identify(w.Header(), s, q, current)
		w.WriteHeader(http.StatusOK)
	case unauthenticated:
		if location := signInURL(s, q); location != "" {
			w.Header()["Location"] = []string{location}
			w.Header()["Cache-Control"] = []string{"no-store"}
			w.WriteHeader(http.StatusFound)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	case forbidden:
		reference := g.deny(s, r, current, q.original.Host)
		if q.kind == proxy.Page || q.kind == proxy.PageWithBody {
			g.env.PageElsewhere(w, s, http.StatusForbidden, noAccess(s, current, reference))
			return
		}
		w.WriteHeader(http.StatusForbidden)
	case unavailable:
		w.Header()["Retry-After"] = []string{"5"}
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		g.misconfigured(w, err)
	}
}

// signInURL is where a page is sent; "" for what cannot be sent anywhere. A form cannot be repeated after signing in, so its sender lands on the front page.
func signInURL(s *site.Site, q *question) string {
	if q.kind != proxy.Page && q.kind != proxy.PageWithBody {
		return ""
	}
	base := s.Snapshot.ServiceProvider.URL + "/signin"
	if !q.known {
		return base
	}
	back := q.original
	if q.kind == proxy.PageWithBody {
		back.URI = "/"
	}
	return base + "?rd=" + url.QueryEscape(back.URL())
}

// noAccess is the page for somebody who is signed in and may not enter.
func noAccess(s *site.Site, current *session.Session, reference string) pages.Message {
	m := pages.Message{
		Heading:   "Access denied",
		Advice:    "Ask your administrator for access, and give them this reference.",
		Reference: reference,
		Other:     &pages.Link{URL: s.Snapshot.ServiceProvider.URL + "/account", Label: "Your account"},
	}
	if current != nil {
		m.Sentence = "You are signed in as " + current.Email() + ", but this account is not allowed to open this page."
	}
	return m
}

func (g *Gate) deny(s *site.Site, r *http.Request, current *session.Session, host string) string {
	if current == nil {
		return ""
	}
	return g.denials.record(current, host, serve.ClientOf(s, r))
}

func (g *Gate) misconfigured(w http.ResponseWriter, err error) {
	if err == nil {
		err = errUnknownOriginal
	}
	g.env.Log.Error("a forward-auth check was refused", "error", err)
	http.Error(w, err.Error(), http.StatusInternalServerError)
}
