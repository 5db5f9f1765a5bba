// Package account is a person's own page: who the service takes them for, what each IdP sent about them, and where they are signed in.
package account

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/site"
)

// sessionsShown bounds the list of sessions.
const sessionsShown = 100

// Handler serves /account. It is safe for concurrent use.
type Handler struct {
	*serve.Env
	people *provision.Service
	// secondFactor is where the second step is managed; empty where there is none.
	secondFactor string
}

// New makes the handler.
func New(env *serve.Env, people *provision.Service, secondFactor string) *Handler {
	return &Handler{Env: env, people: people, secondFactor: secondFactor}
}

// Routes adds the paths to a mux.
func (h *Handler) Routes(handle func(pattern string, f func(http.ResponseWriter, *http.Request, *site.Site))) {
	handle("GET /{$}", func(w http.ResponseWriter, r *http.Request, _ *site.Site) {
		http.Redirect(w, r, "/account", http.StatusFound)
	})
	handle("GET /account", h.show)
	handle("POST /account/sessions/revoke", h.revoke)
}

// signedIn finds the session, or sends the browser to get one.
func (h *Handler) signedIn(w http.ResponseWriter, r *http.Request, s *site.Site) *session.Session {
	current, err := h.SignedIn(s, r.Header["Cookie"])
	switch {
	case errors.Is(err, session.ErrUnavailable):
		h.StoreFailed(w, s, metrics.Session, err)
	case err != nil || current.SecondFactorPending:
		http.Redirect(w, r, "/signin?"+url.Values{"rd": {"/account"}}.Encode(), http.StatusSeeOther)
	default:
		return current
	}
	return nil
}

func (h *Handler) show(w http.ResponseWriter, r *http.Request, s *site.Site) {
	current := h.signedIn(w, r, s)
	if current == nil {
		return
	}
	page, err := h.page(r.Context(), s, current)
	if err != nil {
		h.StoreFailed(w, s, metrics.Account, err)
		return
	}
	switch r.URL.Query().Get("done") {
	case "one":
		page.Notice = "The session has ended."
	case "others":
		page.Notice = "All your other sessions have ended."
	}
	h.Page(w, s, http.StatusOK, page)
}

func (h *Handler) page(ctx context.Context, s *site.Site, current *session.Session) (pages.Account, error) {
	id := current.UserID
	user, err := h.Store.User(ctx, id)
	if err != nil {
		return pages.Account{}, err
	}
	profile, err := h.Store.Profile(ctx, id)
	if err != nil {
		return pages.Account{}, err
	}
	links, err := h.Store.Links(ctx, id)
	if err != nil {
		return pages.Account{}, err
	}
	sessions, _, err := h.Store.Sessions(ctx, store.SessionQuery{UserID: id, Limit: sessionsShown})
	if err != nil {
		return pages.Account{}, err
	}
	page := pages.Account{
		DisplayName: cmp.Or(user.Name(), user.Email), Email: user.Email, FirstName: user.FirstName, LastName: user.LastName,
		Profile: profileValues(s, profile), Groups: current.Groups(), SecondFactorURL: h.secondFactor,
	}
	for _, one := range sessions {
		page.Sessions = append(page.Sessions, sessionOf(s, one, current.Key))
	}
	page.OtherSessions = len(page.Sessions) > 1
	for _, link := range links {
		page.Connections = append(page.Connections, connected(s, link))
	}
	if h.secondFactor != "" {
		page.Factors, page.RecoveryCodes, err = h.secondFactors(ctx, id)
	}
	return page, err
}

// secondFactors lists what is set up, and how many recovery codes are left.
func (h *Handler) secondFactors(ctx context.Context, userID string) (list []pages.Factor, codes int, err error) {
	factors, err := h.Store.SecondFactors(ctx, userID)
	for _, f := range factors {
		switch {
		case f.Kind == store.FactorRecovery:
			codes++
		case f.Confirmed:
			list = append(list, pages.NewFactor(f.ID, f.Kind == store.FactorPasskey, f.Label, f.CreatedAt, f.LastUsedAt))
		}
	}
	return list, codes, err
}

func profileValues(s *site.Site, profile store.Profile) []pages.ProfileValue {
	var list []pages.ProfileValue
	for _, name := range slices.Sorted(maps.Keys(profile)) {
		v := profile[name]
		source := "set by your administrator"
		if v.Source == store.SourceIdP {
			source = "from " + label(s, store.IdPRef{UID: v.IdPUID, Name: "an identity provider"})
		}
		list = append(list, pages.ProfileValue{Label: pages.Words(name), Value: v.Value, Source: source})
	}
	return list
}

// label is what people know an IdP by.
func label(s *site.Site, idp store.IdPRef) string {
	if c := s.ConnectionByUID(idp.UID); c != nil {
		return c.Label()
	}
	return idp.Name
}

func sessionOf(s *site.Site, one store.Session, current session.Key) pages.Session {
	return pages.Session{
		ID: hex.EncodeToString(one.TokenHash), Device: device(one.UserAgent), IP: one.IP, IdP: label(s, one.IdP),
		Created: pages.At(one.CreatedAt), LastSeen: pages.At(one.LastSeenAt), Current: session.Key(one.TokenHash) == current,
	}
}

// connected shows what an IdP sent, by the wire names, and what became of each: the values that filled the profile are said to be so.
func connected(s *site.Site, link store.Link) pages.Connected {
	out := pages.Connected{DisplayName: label(s, link.IdP), Recorded: pages.At(link.RecordedAt)}
	for _, name := range slices.Sorted(maps.Keys(link.Raw)) {
		out.Attributes = append(out.Attributes, pages.SentAttribute{Label: name, Values: link.Raw[name], Use: use(s, link.IdP, name)})
	}
	return out
}

// use says what the mapping of today does with an attribute.
func use(s *site.Site, idp store.IdPRef, name string) string {
	c := s.ConnectionByUID(idp.UID)
	if c == nil {
		return onlyRecorded
	}
	m := c.Connection.Mapping
	reads := func(from []snapshot.AttributeSource) bool {
		return slices.ContainsFunc(from, func(source snapshot.AttributeSource) bool { return source.Name == name })
	}
	switch {
	case reads(m.Email):
		return "your e-mail"
	case reads(m.FirstName):
		return "your first name"
	case reads(m.LastName):
		return "your last name"
	case reads(m.Groups.From):
		return "your groups"
	}
	for _, p := range m.Profile {
		if !reads(p.From) {
			continue
		}
		mirrored := slices.ContainsFunc(s.Snapshot.ServiceProvider.ProfileAttributes, func(a snapshot.ProfileAttribute) bool { return a.Name == p.Attribute && a.Mirror })
		if mirrored {
			return "fills " + strings.ToLower(pages.Words(p.Attribute))
		}
	}
	return onlyRecorded
}

// onlyRecorded is what is said of an attribute that nothing is made of.
const onlyRecorded = "only recorded"

// revoke ends one of the person's own sessions, or all but this one.
func (h *Handler) revoke(w http.ResponseWriter, r *http.Request, s *site.Site) {
	current := h.signedIn(w, r, s)
	if current == nil {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	if err := r.ParseForm(); err != nil {
		http.Redirect(w, r, "/account", http.StatusSeeOther)
		return
	}
	match, done := store.SessionMatch{UserID: current.UserID, Except: current.Key[:]}, "others"
	if which := r.PostForm.Get("session"); which != "others" {
		hash, err := hex.DecodeString(which)
		if err != nil || len(hash) != len(current.Key) {
			http.Redirect(w, r, "/account", http.StatusSeeOther)
			return
		}
		match.TokenHash, done = hash, "one"
	}
	if err := h.end(r, s, current, match); err != nil {
		h.StoreFailed(w, s, metrics.Revoke, err)
		return
	}
	http.Redirect(w, r, "/account?done="+done, http.StatusSeeOther)
}

// end ends sessions for the person who has them.
func (h *Handler) end(r *http.Request, s *site.Site, current *session.Session, match store.SessionMatch) error {
	who := serve.ClientOf(s, r)
	by := provision.Caller{
		Actor:   audit.Actor{Kind: audit.ActorUser, ID: current.UserID, Email: current.Email(), IP: who.IP, UserAgent: who.UserAgent},
		Request: serve.NewReference(),
	}
	for {
		ended, err := h.people.Revoke(r.Context(), match, "user", by)
		for _, e := range ended {
			h.Sessions.Forget(session.Key(e.TokenHash))
		}
		if err != nil || len(ended) < provision.RevokeBatch {
			return err
		}
	}
}
