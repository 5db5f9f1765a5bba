// Package session answers, for every request that a proxy guards, who is signed in. A hit in its bounded cache costs one hash and no I/O;
// a miss is one indexed read, shared by everybody who waits for the same session and bounded in time and number.
package session

import (
	"errors"
	"strings"
	"sync/atomic"
	"time"
	"unique"

	"sallyport.dev/sallyport/internal/store"
)

// Errors of Check. Callers tell them apart with errors.Is.
var (
	// ErrNone means that nobody is signed in with this cookie: sign in again.
	ErrNone = errors.New("no session")
	// ErrUnavailable means that the store could not say in time: answer 503, keep the cookie.
	ErrUnavailable = errors.New("the session store does not answer")
)

// Session is a signed-in browser. It is shared between requests and never changes: treat everything in it as read-only.
type Session struct {
	store.Session
	Key Key
	// email, name and groups are the values of the identity headers, as net/http wants them.
	email, name, groups [1]string

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
	s.share()
	s.email[0], s.name[0], s.groups[0] = headerValue(s.User.Email), headerValue(s.User.Name()), GroupsHeader(s.Groups)
	return s
}

// share gives up copies of what the session or others hold too: many people come from one IdP, and are in the same groups.
func (s *Session) share() {
	s.TokenHash = s.Key[:]
	s.User.ID = s.UserID
	if at := len(s.User.Email) - len(s.EmailDomain); at > 0 && s.User.Email[at:] == s.EmailDomain {
		s.EmailDomain = s.User.Email[at:]
	}
	for _, text := range []*string{&s.IdP.UID, &s.IdP.Name, &s.User.IdP.UID, &s.User.IdP.Name, &s.NameID.Format, &s.NameID.NameQualifier, &s.NameID.SPNameQualifier,
		&s.AuthnContext, &s.UserAgent} {
		*text = unique.Make(*text).Value()
	}
	for i, group := range s.Groups {
		s.Groups[i] = unique.Make(group).Value()
	}
}

// Identify writes the identity headers, Remote-* and X-Auth-Request-*: canonical names, values free of control characters. Empty values are present and
// empty, so that a proxy overwrites what the client sent. It allocates nothing: the values were prepared once and are shared, so nobody may change them.
func (s *Session) Identify(h map[string][]string) {
	h["Remote-User"] = s.email[:]
	h["Remote-Email"] = s.email[:]
	h["Remote-Name"] = s.name[:]
	h["Remote-Groups"] = s.groups[:]
	h["X-Auth-Request-User"] = s.email[:]
	h["X-Auth-Request-Email"] = s.email[:]
	h["X-Auth-Request-Groups"] = s.groups[:]
	h["X-Auth-Request-Preferred-Username"] = s.email[:]
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

// weight estimates the bytes that a cached session holds, with the cache's own bookkeeping. What sessions share is not counted.
func (s *Session) weight() uint32 {
	n := 900 + len(s.UserID) + len(s.NameID.Value) + len(s.SessionIndex) + len(s.ReturnURL) + len(s.IP) + len(s.User.Email) + len(s.User.Name()) +
		len(s.Audience) + len(s.Parent) + len(s.User.SuspendReason)
	for _, g := range s.Groups {
		n += 16 + len(g)
	}
	return uint32(n)
}
