package authz

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/web/jwt"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/site"
)

// signedHeader has a token that the application can verify. Its name is of the family that every proxy's page takes out of what a client sends.
const signedHeader = "X-Auth-Request-Jwt"

const (
	// tokenUse is for how long a token is handed out: the application still has half of its life left to verify it.
	tokenUse = jwt.Lifetime / 2
	// tokenBytes bounds the tokens that are kept, with tokenOverhead for each beside its text; maxAudience the host that one is made for.
	tokenBytes    = 16 << 20
	tokenOverhead = 700
	maxAudience   = 260
)

type tokenKey struct {
	session session.Key
	host    string
}

// token is a header's value and what it was made from: another session, key or issuer makes another one.
type token struct {
	value  [1]string
	of     *session.Session
	signer string
	made   time.Time
}

// fresh goes by the time of day, which is what the application reads: a clock that is set makes a new one.
func (t *token) fresh(now time.Time) bool {
	age := now.Sub(t.made)
	return age >= 0 && age < tokenUse
}

// tokens are made once for a session and a host, and reused for a while.
type tokens struct {
	env  *serve.Env
	kept *otter.Cache[tokenKey, *token]
	// told is the site that the log was told about: a proxy that does not say which host it asks about.
	told atomic.Pointer[site.Site]
}

func newTokens(env *serve.Env) *tokens {
	return &tokens{env: env, kept: otter.Must(&otter.Options[tokenKey, *token]{
		MaximumWeight:    tokenBytes,
		Weigher:          func(k tokenKey, t *token) uint32 { return uint32(tokenOverhead + len(k.host) + len(t.value[0])) },
		ExpiryCalculator: otter.ExpiryWriting[tokenKey, *token](tokenUse),
	})}
}

// sign writes the signed header where the site has one, empty for somebody who is not known.
func (t *tokens) sign(h http.Header, s *site.Site, q *question, current *session.Session) {
	if s.Signer == nil {
		return
	}
	if h[signedHeader] = noValue; current == nil {
		return
	}
	host := q.original.Host
	if !q.known || len(host) > maxAudience {
		if t.told.Swap(s) != s {
			t.env.Log.Error("the signed header is left empty", "error", errUnknownHost)
		}
		return
	}
	now := t.env.Clock.Now()
	key := tokenKey{current.Key, host}
	if known, ok := t.kept.GetIfPresent(key); ok && known.of == current && known.signer == s.Signer.ID && known.fresh(now) {
		h[signedHeader] = known.value[:]
		return
	}
	text, err := s.Signer.Sign(jwt.Identity{ID: current.UserID, Email: current.Email(), Name: current.Name(), Groups: current.Groups()}, host, now)
	if err != nil {
		t.env.Log.Error("the signed header is left empty", "error", err)
		return
	}
	fresh := &token{value: [1]string{text}, of: current, signer: s.Signer.ID, made: now.Round(0)}
	t.kept.Set(key, fresh)
	h[signedHeader] = fresh.value[:]
}
