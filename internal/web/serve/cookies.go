package serve

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/web/site"
)

// maxCandidates bounds how many cookies of the session's name are tried: a sibling host can plant some for the whole domain beside the real one.
const maxCandidates = 4

// SignedIn finds the session of a request's cookies: session.ErrNone when nobody is signed in with them, or when the IdP of the session may not
// speak for it any more; session.ErrUnavailable when the store could not say. A session that waits for its second step is returned as such.
func (e *Env) SignedIn(s *site.Site, cookies []string) (*session.Session, error) {
	failure := session.ErrNone
	left := maxCandidates
	for _, line := range cookies {
		for line != "" && left > 0 {
			var value string
			if value, line = nextCookie(line, s.Cookie.Name); value == "" {
				continue
			}
			left--
			candidate, err := e.Sessions.Check(value)
			switch {
			case err == nil && s.Admits(candidate.IdP().UID, candidate.EmailDomain()):
				return candidate, nil
			case errors.Is(err, session.ErrUnavailable):
				failure = err
			}
		}
	}
	return nil, failure
}

// SignedInAt is SignedIn for a request to a host, "" where it is not known: outside of the cookie's domain a cookie of that host's own counts.
func (e *Env) SignedInAt(s *site.Site, cookies []string, host string) (*session.Session, error) {
	if !s.HandsOver || host == "" || s.CookieReaches(host) {
		return e.SignedIn(s, cookies)
	}
	for _, line := range cookies {
		for line != "" {
			var value string
			if value, line = nextCookie(line, s.Cookie.Elsewhere); value == "" {
				continue
			}
			// The name has the prefix __Host-: browsers take it from this host alone, so there is one.
			current, err := e.Sessions.CheckFor(value, host)
			if err == nil && !s.Admits(current.IdP().UID, current.EmailDomain()) {
				return nil, session.ErrNone
			}
			return current, err
		}
	}
	return nil, session.ErrNone
}

// nextCookie takes one pair off a Cookie header and returns its value if it has the name.
func nextCookie(line, name string) (value, rest string) {
	pair, rest, _ := strings.Cut(line, ";")
	pair = strings.TrimLeft(pair, " ")
	if len(pair) > len(name) && pair[len(name)] == '=' && pair[:len(name)] == name {
		return pair[len(name)+1:], rest
	}
	return "", rest
}

// SetSession gives the browser its session.
func SetSession(w http.ResponseWriter, s *site.Site, token string, expires, now time.Time) {
	cookie := sessionCookie(s)
	cookie.Value = token
	cookie.MaxAge = max(1, int(expires.Sub(now).Seconds()))
	http.SetCookie(w, cookie)
}

// ClearSession takes it away.
func ClearSession(w http.ResponseWriter, s *site.Site) {
	cookie := sessionCookie(s)
	cookie.MaxAge = -1
	http.SetCookie(w, cookie)
}

func sessionCookie(s *site.Site) *http.Cookie {
	return &http.Cookie{Name: s.Cookie.Name, Domain: s.Cookie.Domain, Path: "/", Secure: true, HttpOnly: true, SameSite: sameSite(s.Cookie.SameSite)}
}

func sameSite(mode string) http.SameSite {
	switch mode {
	case "Strict":
		return http.SameSiteStrictMode
	case "None":
		return http.SameSiteNoneMode
	}
	return http.SameSiteLaxMode
}

// Cookie reads the first cookie of a name, "" when there is none.
func Cookie(r *http.Request, name string) string {
	cookie, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return cookie.Value
}
