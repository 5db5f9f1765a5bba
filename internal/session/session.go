// Package session answers, for every request that a proxy guards, who is signed in. A hit in its bounded cache costs one hash and no I/O;
// a miss is one indexed read, shared by everybody who waits for the same session and bounded in time and number.
package session

import (
	"encoding/hex"
	"errors"
	"iter"
	"net/url"
	"slices"
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

// Session is a signed-in browser: what a check needs of it, and no more, since every one in the cache costs memory. It is shared between requests and never
// changes: treat everything in it as read-only.
type Session struct {
	Key    Key
	UserID string
	// SecondFactorPending means that the session does not count yet.
	SecondFactorPending bool
	// email, name and groups are the values of the identity headers, as net/http wants them.
	email, name, groups [1]string
	common              unique.Handle[common]
	// parent is the session that this one was handed over from; nil for most.
	parent *Key

	// Unix microseconds. lastSeen is of the last request.
	createdAt, expiresAt int64
	lastSeen             atomic.Int64
}

// common is what many sessions have alike, and share.
type common struct {
	idp                   store.IdPRef
	emailDomain, audience string
	idleTimeout           time.Duration
}

// Email is the user's address, Name their full name, "" when it is not known.
func (s *Session) Email() string { return s.email[0] }
func (s *Session) Name() string  { return s.name[0] }

// IdP is the one that the user signed in through, EmailDomain the domain of the address that it vouched for.
func (s *Session) IdP() store.IdPRef   { return s.common.Value().idp }
func (s *Session) EmailDomain() string { return s.common.Value().emailDomain }

// Groups are the user's, sorted. The list is made for the caller: InGroup asks without one.
func (s *Session) Groups() []string {
	var all []string
	for item := range items(s.groups[0]) {
		all = append(all, groupName(item))
	}
	return all
}

// InGroup says whether the user is in a group. Names are compared exactly.
func (s *Session) InGroup(group string) bool {
	for item := range items(s.groups[0]) {
		if groupName(item) == group {
			return true
		}
	}
	return false
}

// InAnyGroup says whether the user is in one of the groups.
func (s *Session) InAnyGroup(groups []string) bool { return slices.ContainsFunc(groups, s.InGroup) }

// pendingLifetime is how long a session may wait for its second step.
const pendingLifetime = 15 * time.Minute

// touchSlack is how far LastSeenAt in the store may lag behind the truth: the interval between touches plus the flush of another replica.
const touchSlack = 90 * time.Second

func prepare(in store.Session) *Session {
	s := &Session{
		Key: Key(in.TokenHash), SecondFactorPending: in.SecondFactorPending, createdAt: in.CreatedAt.UnixMicro(), expiresAt: in.ExpiresAt.UnixMicro(),
		common: unique.Make(common{in.IdP, in.EmailDomain, in.Audience, in.IdleTimeout}),
	}
	s.lastSeen.Store(in.LastSeenAt.UnixMicro())
	if hash, err := hex.DecodeString(in.Parent); err == nil && len(hash) == len(Key{}) {
		s.parent = (*Key)(hash)
	}
	email, name, groups := headerValue(in.User.Email), headerValue(in.User.Name()), GroupsHeader(in.Groups)
	// One piece of memory for all of a session's own texts.
	text := in.UserID + email + name + groups
	for _, part := range []struct {
		to     *string
		length int
	}{{&s.UserID, len(in.UserID)}, {&s.email[0], len(email)}, {&s.name[0], len(name)}, {&s.groups[0], len(groups)}} {
		*part.to, text = text[:part.length], text[part.length:]
	}
	return s
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

// items are those of the groups' header.
func items(header string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for header != "" {
			item, rest, _ := strings.Cut(header, ",")
			if header = rest; !yield(item) {
				return
			}
		}
	}
}

// groupName undoes what GroupsHeader encodes. It allocates only where something is encoded.
func groupName(item string) string {
	if strings.IndexByte(item, '%') < 0 {
		return item
	}
	name, err := url.PathUnescape(item)
	if err != nil {
		return item
	}
	return name
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

// future says that a clock has opened the session which was set back since. It does not count: its end may be as far away as that clock was wrong.
func (s *Session) future(now int64) bool { return s.createdAt-now > store.ClockSlack.Microseconds() }

// overhead estimates the bytes that the cache takes for a session beside its texts: the session, the cache's node, and their share of the hash table.
const overhead = 260

// weight estimates the bytes that a cached session holds. What sessions share is not counted.
func (s *Session) weight() uint32 {
	return uint32(overhead + len(s.UserID) + len(s.email[0]) + len(s.name[0]) + len(s.groups[0]))
}
