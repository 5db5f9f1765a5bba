// Package session answers, for every request that a proxy guards, who is signed in. A hit in its bounded cache costs one hash and no I/O;
// a miss is one indexed read, shared by everybody who waits for the same session and bounded in time and number.
package session

import (
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"sallyport.dev/sallyport/internal/store"
)

// Errors of Check. Callers tell them apart with errors.Is.
var (
	// ErrNone means that nobody is signed in with this cookie: sign in again.
	ErrNone = errors.New("no session")
	// ErrUnavailable means that the store could not say in time: answer 503, keep the cookie.
	ErrUnavailable = errors.New("the session store does not answer")
)

// Header is one identity header, with the value slice that net/http wants, so that the hot path assigns and allocates nothing:
//
//	for _, h := range s.Headers { w.Header()[h.Name] = h.Values }
type Header struct {
	Name   string
	Values []string
}

// Session is a signed-in browser. It is shared between requests and never changes: treat everything in it as read-only.
type Session struct {
	store.Session
	Key Key
	// Headers are Remote-* and X-Auth-Request-*, canonical names, values free of control characters. Empty values are present and empty, so that a proxy overwrites.
	Headers []Header

	// lastSeen and verified are Unix microseconds: of the last request, and of the last read from the store.
	lastSeen atomic.Int64
	verified int64
}

// InAnyGroup says whether the user is in one of the groups. Names are compared exactly.
func (s *Session) InAnyGroup(groups []string) bool {
	for _, want := range groups {
		for _, have := range s.Groups {
			if have == want {
				return true
			}
		}
	}
	return false
}

// pendingLifetime is how long a session may wait for its second step.
const pendingLifetime = 15 * time.Minute

// touchSlack is how far LastSeenAt in the store may lag behind the truth: the interval between touches plus the flush of another replica.
const touchSlack = 90 * time.Second

func prepare(in store.Session, now time.Time) *Session {
	s := &Session{Session: in, Key: Key(in.TokenHash), verified: now.UnixMicro()}
	s.lastSeen.Store(in.LastSeenAt.UnixMicro())
	email, name := headerValue(in.User.Email), headerValue(in.User.Name())
	groups := GroupsHeader(in.Groups)
	emails, names, lists := []string{email}, []string{name}, []string{groups}
	s.Headers = []Header{
		{"Remote-User", emails},
		{"Remote-Email", emails},
		{"Remote-Name", names},
		{"Remote-Groups", lists},
		{"X-Auth-Request-User", emails},
		{"X-Auth-Request-Email", emails},
		{"X-Auth-Request-Groups", lists},
		{"X-Auth-Request-Preferred-Username", emails},
	}
	return s
}

// GroupsHeader joins groups with commas. A comma, a percent sign or a control character in a name is percent-encoded, so that no name can pose as two.
func GroupsHeader(groups []string) string {
	var b strings.Builder
	for i, g := range groups {
		if i > 0 {
			b.WriteByte(',')
		}
		for j := range len(g) {
			switch c := g[j]; {
			case c == ',' || c == '%' || c < 0x20 || c == 0x7f:
				const digits = "0123456789ABCDEF"
				b.Write([]byte{'%', digits[c>>4], digits[c&15]})
			default:
				b.WriteByte(c)
			}
		}
	}
	return b.String()
}

// headerValue replaces control characters, which would end or fold a header.
func headerValue(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, s))
}

// weight estimates the bytes that a cached session holds, with the cache's own bookkeeping.
func (s *Session) weight() uint32 {
	n := 900 + len(s.UserID) + len(s.IdP.UID) + len(s.IdP.Name) + len(s.NameID.Value) + len(s.NameID.Format) + len(s.SessionIndex) +
		len(s.AuthnContext) + len(s.IP) + len(s.UserAgent) + len(s.EmailDomain) + 3*len(s.User.Email) + 2*len(s.User.Name())
	for _, g := range s.Groups {
		n += 16 + 2*len(g)
	}
	return uint32(n)
}
