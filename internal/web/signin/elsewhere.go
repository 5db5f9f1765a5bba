package signin

import (
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/proxy"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/site"
)

// Applications outside of the session cookie's domain sign in by a handover, which their proxy passes on to us:
//
//	application's host  /.sallyport/start      gives the browser a secret and sends it, with the secret's hash, to
//	our host            /signin                where somebody who is signed in gets a code, and goes to
//	application's host  /.sallyport/callback   which takes code and secret, once, and gives the browser a session of that host alone.
//
// The secret keeps a code from working in another browser, its row keeps it from working for another host, or twice.
const (
	elsewhereStart    = "/.sallyport/start"
	elsewhereCallback = "/.sallyport/callback"

	// codeLifetime is how long a code counts: it goes from one redirect to the next.
	codeLifetime = time.Minute
	// secretLifetime is how long somebody may take to sign in.
	secretLifetime = pendingLifetime
)

func secretName(s *site.Site) string { return s.Cookie.Elsewhere + "-start" }

// elsewhere is the host that a request came to, when it is an allowed one that our cookie does not reach; "" otherwise.
func elsewhere(s *site.Site, r *http.Request) string {
	host := r.Host
	if forwarded := r.Header["X-Forwarded-Host"]; len(forwarded) == 1 && s.Proxies.Trusted(r) {
		host = forwarded[0]
	}
	host = proxy.Host(host)
	if s.CookieReaches(host) || !s.Returns.AllowsHost(host) {
		return ""
	}
	return host
}

// placeOn is the address of a path on a host, the front page where the path is none.
func placeOn(s *site.Site, host, path string) string {
	if strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") {
		if place, err := s.Returns.Check("https://" + host + path); err == nil {
			return place
		}
	}
	return "https://" + host + "/"
}

// startElsewhere begins on the application's host.
func (h *Handler) startElsewhere(w http.ResponseWriter, r *http.Request, s *site.Site) {
	host := elsewhere(s, r)
	if host == "" {
		h.nothingElsewhere(w, s)
		return
	}
	// Tabs share the secret, so that none spoils another's.
	secret := serve.Cookie(r, secretName(s))
	if !isSecret(secret) {
		secret = newSecret()
	}
	http.SetCookie(w, elsewhereCookie(secretName(s), secret, int(secretLifetime.Seconds())))
	back := "https://" + host + elsewhereCallback + "?" + url.Values{"state": {hex.EncodeToString(hash(secret))}, "to": {placeOn(s, host, r.URL.Query().Get("to"))}}.Encode()
	h.redirect(w, r, s.Snapshot.ServiceProvider.URL+"/signin?rd="+url.QueryEscape(back))
}

// handOver sends somebody who is signed in here to a host that our cookie does not reach: with a code where that host asked for one, to ask for it otherwise.
func (h *Handler) handOver(w http.ResponseWriter, r *http.Request, s *site.Site, current *session.Session, to *url.URL) {
	state, err := hex.DecodeString(to.Query().Get("state"))
	if to.Path != elsewhereCallback || err != nil || len(state) != 32 {
		if strings.HasPrefix(to.Path, "/.sallyport/") {
			// Its proxy asked about the path instead of passing it on: this would go in circles.
			h.Log.Error("a proxy does not pass /.sallyport/ on to the service provider, so nobody can sign in on its host", "host", to.Host)
			h.Page(w, s, http.StatusOK, pages.Message{
				Good: true, Heading: "You are signed in",
				Sentence: "But " + to.Host + " cannot take over this sign-in: it is outside the domain of the session's cookie, and its proxy does not pass /.sallyport/ on to this service.",
				Advice:   "An administrator can change the proxy; its page in the documentation says how.",
				Action:   &pages.Link{URL: accountPath, Label: "Your account"},
			})
			return
		}
		h.redirect(w, r, "https://"+to.Host+elsewhereStart+"?to="+url.QueryEscape(to.RequestURI()))
		return
	}
	code, now := newSecret(), h.Clock.Now()
	err = h.Store.SavePending(r.Context(), store.Pending{
		HandleHash: hash(code), BrowserHash: state, IdPUID: current.IdP().UID, Session: current.Key.Hex(), ReturnURL: placeAgain(s, to), IssuedAt: now, ExpiresAt: now.Add(codeLifetime),
	})
	if err != nil {
		h.StoreFailed(w, s, metrics.Handover, err)
		return
	}
	h.redirect(w, r, "https://"+to.Host+elsewhereCallback+"?code="+code)
}

// placeAgain is where the callback goes on to: on its own host, whatever the query says.
func placeAgain(s *site.Site, callback *url.URL) string {
	to, err := url.Parse(callback.Query().Get("to"))
	if err != nil || to.Host != callback.Host {
		return placeOn(s, callback.Host, "/")
	}
	return placeOn(s, callback.Host, to.RequestURI())
}

// errHandover means that a code does not count here.
var errHandover = errors.New("the code is not for this browser or this host, or its session has ended")

// callbackElsewhere ends on the application's host. Whatever becomes of it, the code is spent.
func (h *Handler) callbackElsewhere(w http.ResponseWriter, r *http.Request, s *site.Site) {
	host := elsewhere(s, r)
	code, secret := r.URL.Query().Get("code"), serve.Cookie(r, secretName(s))
	if host == "" || !isSecret(code) {
		h.nothingElsewhere(w, s)
		return
	}
	token, to, expires, err := h.takeOver(r, s, host, code, secret)
	switch {
	case errors.Is(err, errHandover), errors.Is(err, store.ErrNotFound):
		h.PageElsewhere(w, s, http.StatusForbidden, pages.Message{
			Heading:  "This sign-in took too long",
			Sentence: "It was started in another browser, too long ago, or your browser does not keep cookies.",
			Advice:   "Open the application again. If that does not help, ask your administrator.",
			Action:   &pages.Link{URL: "https://" + host + "/", Label: "Try again"},
		})
	case err != nil:
		h.StoreFailed(w, s, metrics.Handover, err)
	default:
		http.SetCookie(w, elsewhereCookie(secretName(s), "", -1))
		http.SetCookie(w, elsewhereCookie(s.Cookie.Elsewhere, token, max(1, int(expires.Sub(h.Clock.Now()).Seconds()))))
		h.redirect(w, r, to)
	}
}

// takeOver spends a code and opens a session that is the child of the one that the code came from.
func (h *Handler) takeOver(r *http.Request, s *site.Site, host, code, secret string) (token, to string, expires time.Time, err error) {
	var refused error
	who := serve.ClientOf(s, r)
	err = h.Store.Do(r.Context(), func(tx store.Tx) error {
		refused = nil
		p, err := tx.ConsumePending(hash(code))
		if err != nil {
			return err
		}
		u, err := url.Parse(p.ReturnURL)
		parentKey, keyErr := hex.DecodeString(p.Session)
		// The state is the asker's choice and may be the hash of nothing: a browser without a secret has asked for no code.
		if p.Session == "" || keyErr != nil || err != nil || u.Host != host || !isSecret(secret) || subtle.ConstantTimeCompare(hash(secret), p.BrowserHash) != 1 {
			refused = errHandover
			return nil
		}
		parent, err := tx.Session(parentKey)
		if errors.Is(err, store.ErrNotFound) || err == nil && (parent.SecondFactorPending || parent.User.Suspended() || !s.Admits(parent.IdP.UID, parent.EmailDomain)) {
			refused = errHandover
			return nil
		}
		if err != nil {
			return err
		}
		child := parent
		var key session.Key
		token, key = session.NewTokenFor(host)
		child.TokenHash, child.Audience, child.Parent, child.CreatedAt, child.LastSeenAt = key[:], host, p.Session, tx.Now(), tx.Now()
		child.ReturnURL, child.IP, child.UserAgent = "", who.IP, who.UserAgent
		to, expires = p.ReturnURL, child.ExpiresAt
		if err := tx.CreateSession(child); err != nil {
			return err
		}
		return tx.AppendAudit(audit.Record{
			Type: audit.TypeSessionHandedOver, Outcome: audit.OutcomeSuccess, Session: key.Hex(), Request: serve.NewReference(),
			Actor:  audit.Actor{Kind: audit.ActorUser, ID: parent.UserID, Email: parent.User.Email, IP: who.IP, UserAgent: who.UserAgent},
			Target: audit.Target{Kind: "Host", Name: host},
		})
	})
	if err == nil {
		err = refused
	}
	return token, to, expires, err
}

func (h *Handler) nothingElsewhere(w http.ResponseWriter, s *site.Site) {
	h.PageElsewhere(w, s, http.StatusNotFound, pages.Message{Heading: "There is nothing here", Sentence: "The address may be misspelt, or out of date."})
}

func elsewhereCookie(name, value string, maxAge int) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: maxAge, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// redirect sends a browser on, and tells nobody where it came from.
func (h *Handler) redirect(w http.ResponseWriter, r *http.Request, to string) {
	pages.Harden(w.Header())
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, to, http.StatusSeeOther)
}
