package signin

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/site"
)

const (
	// pendingLifetime is how long somebody may take at the IdP.
	pendingLifetime = 15 * time.Minute
	// pendingPrefix starts the name of the cookie of one sign-in in flight: each tab has its own, so that none overwrites another's.
	pendingPrefix = "__Host-sso-p-"
	// pendingKept bounds how many a browser carries; the oldest goes. Each takes about 60 bytes of a request to this host.
	pendingKept = 32
	// lastCookie remembers the connection that this browser used last, for lastLifetime.
	lastCookie   = "__Host-sso-last"
	lastLifetime = 180 * 24 * time.Hour
)

// newSecret is 128 random bits in 22 characters, for handles and for a browser's part of a request.
func newSecret() string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // crypto/rand does not fail
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func isSecret(s string) bool {
	b, err := base64.RawURLEncoding.DecodeString(s)
	return err == nil && len(b) == 16 && len(s) == 22
}

func hash(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

func pendingName(handle string) string { return pendingPrefix + handle[:10] }

// setPending gives the browser its part of a request. SameSite=None, because the response is a POST from another site.
func setPending(w http.ResponseWriter, r *http.Request, handle, secret string, now time.Time) {
	type aged struct {
		name string
		at   int64
	}
	var old []aged
	for _, c := range r.Cookies() {
		if strings.HasPrefix(c.Name, pendingPrefix) {
			at, _, _ := strings.Cut(c.Value, ".")
			seconds, err := strconv.ParseInt(at, 36, 64)
			if err != nil {
				seconds = 0
			}
			old = append(old, aged{c.Name, seconds})
		}
	}
	slices.SortFunc(old, func(a, b aged) int { return cmp.Compare(a.at, b.at) })
	for len(old) >= pendingKept {
		clearPending(w, old[0].name)
		old = old[1:]
	}
	http.SetCookie(w, pendingCookie(pendingName(handle), strconv.FormatInt(now.Unix(), 36)+"."+secret, int(pendingLifetime.Seconds())))
}

func clearPending(w http.ResponseWriter, name string) { http.SetCookie(w, pendingCookie(name, "", -1)) }

func pendingCookie(name, value string, maxAge int) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: maxAge, Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode}
}

// holds says whether the browser has its part of the request.
func holds(r *http.Request, handle string, p store.Pending) bool {
	_, secret, _ := strings.Cut(serve.Cookie(r, pendingName(handle)), ".")
	return secret != "" && subtle.ConstantTimeCompare(hash(secret), p.BrowserHash) == 1
}

// rememberConnection keeps the choice for the next sign-in. It is the name of a connection and nothing about the person.
func rememberConnection(w http.ResponseWriter, c *site.Connection) {
	http.SetCookie(w, &http.Cookie{Name: lastCookie, Value: c.Name, Path: "/", MaxAge: int(lastLifetime.Seconds()), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}
