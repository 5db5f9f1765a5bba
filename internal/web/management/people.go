package management

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/session/secondfactor"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
)

func viewUser(u store.User) manageapi.User {
	return manageapi.User{ID: u.ID, Email: u.Email, FirstName: u.FirstName, LastName: u.LastName, IdP: u.IdP.Name, IdPUID: u.IdP.UID, CreatedAt: u.CreatedAt,
		LastSignInAt: u.LastSignInAt, LastSignInIP: u.LastSignInIP, SuspendedAt: u.SuspendedAt, SuspendReason: u.SuspendReason}
}

func viewProfile(p store.Profile) map[string]manageapi.ProfileValue {
	view := make(map[string]manageapi.ProfileValue, len(p))
	for name, v := range p {
		view[name] = manageapi.ProfileValue{Value: v.Value, Source: string(v.Source), IdPUID: v.IdPUID, UpdatedAt: v.UpdatedAt}
	}
	return view
}

func (m *Server) users(w http.ResponseWriter, r *http.Request) error {
	n, err := limit(r, pageSize, maxPageSize)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	users, next, err := m.Store.Users(r.Context(), store.UserQuery{
		Prefix: strings.ToLower(query.Get("prefix")), IdPUID: m.uid(query.Get("idp")), Suspended: query.Get("suspended") == "true", Limit: n, Cursor: query.Get("cursor")})
	if err != nil {
		return err
	}
	page := manageapi.Page[manageapi.User]{Items: make([]manageapi.User, 0, len(users)), Next: next}
	for _, u := range users {
		page.Items = append(page.Items, viewUser(u))
	}
	return writeJSON(w, page)
}

// uid finds the UID of an IdP by its name; what is not the name of one is taken for a UID.
func (m *Server) uid(idp string) string {
	if s := m.Sites.Current(); s != nil {
		if c := s.Connection(idp); c != nil {
			return c.UID
		}
	}
	return idp
}

// find takes a user's ID or e-mail address.
func (m *Server) find(r *http.Request) (store.User, error) {
	name := r.PathValue("user")
	if !strings.Contains(name, "@") {
		return m.Store.User(r.Context(), name)
	}
	address, err := identity.NormaliseAddress(name)
	if err != nil {
		return store.User{}, status(http.StatusBadRequest, "%q is not an e-mail address: %v", name, err)
	}
	return m.Store.UserByEmail(r.Context(), address.String())
}

func (m *Server) user(w http.ResponseWriter, r *http.Request) error {
	u, err := m.find(r)
	if err != nil {
		return err
	}
	ctx, view := r.Context(), viewUser(u)
	profile, err := m.Store.Profile(ctx, u.ID)
	if err != nil {
		return err
	}
	view.Profile = viewProfile(profile)
	groups, err := m.Store.Groups(ctx, u.ID)
	if err != nil {
		return err
	}
	for _, g := range groups {
		view.Groups = append(view.Groups, manageapi.Group{Name: g.Name, IdP: g.IdP.Name, Invalid: !g.InvalidatedAt.IsZero()})
	}
	links, err := m.Store.Links(ctx, u.ID)
	if err != nil {
		return err
	}
	for _, l := range links {
		view.Connections = append(view.Connections, manageapi.Link{IdP: l.IdP.Name, IdPUID: l.IdP.UID, Subject: l.Subject, RecordedAt: l.RecordedAt, Attributes: l.Raw})
	}
	sessions, _, err := m.Store.Sessions(ctx, store.SessionQuery{UserID: u.ID, Limit: maxPageSize})
	if err != nil {
		return err
	}
	for _, s := range sessions {
		view.Sessions = append(view.Sessions, viewSession(s))
	}
	factors, err := m.Store.SecondFactors(ctx, u.ID)
	if err != nil {
		return err
	}
	for _, f := range factors {
		view.SecondFactors = append(view.SecondFactors, manageapi.Factor{Kind: string(f.Kind), Label: f.Label, Confirmed: f.Confirmed, CreatedAt: f.CreatedAt, LastUsedAt: f.LastUsedAt})
	}
	return writeJSON(w, view)
}

// body reads a JSON body; an empty one leaves into as it is. Fields that are not known are refused.
func body(r *http.Request, into any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return status(http.StatusBadRequest, "the body: %v", err)
	}
	return nil
}

func done(w http.ResponseWriter, err error) error {
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

func (m *Server) suspend(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Reason string `json:"reason"`
	}
	if err := body(r, &in); err != nil {
		return err
	}
	u, err := m.find(r)
	if err != nil {
		return err
	}
	return done(w, m.people.Suspend(r.Context(), u.ID, in.Reason, caller(r)))
}

// setProfile changes values of a person's profile; an empty one clears.
func (m *Server) setProfile(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Values map[string]string `json:"values"`
	}
	if err := body(r, &in); err != nil {
		return err
	}
	if err := m.checkProfile(in.Values); err != nil {
		return err
	}
	u, err := m.find(r)
	if err != nil {
		return err
	}
	return done(w, m.people.SetProfile(r.Context(), u.ID, in.Values, caller(r)))
}

// checkProfile takes the attributes that a profile may have, as long as their values fit; any may be cleared.
func (m *Server) checkProfile(values map[string]string) error {
	if len(values) == 0 {
		return status(http.StatusBadRequest, "values: name at least one attribute")
	}
	s := m.Sites.Current()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if strings.TrimSpace(values[name]) == "" {
			continue
		}
		named := s != nil && slices.ContainsFunc(s.Snapshot.ServiceProvider.ProfileAttributes, func(a snapshot.ProfileAttribute) bool { return a.Name == name })
		if !named && !identity.IsStandardAttribute(name) {
			return status(http.StatusBadRequest, "%q is neither a standard attribute of a profile nor one that spec.profileAttributes of the ServiceProvider names", name)
		}
		if _, err := identity.NormaliseProfileValue(name, values[name]); err != nil {
			return status(http.StatusBadRequest, "%v", err)
		}
	}
	return nil
}

func (m *Server) resume(w http.ResponseWriter, r *http.Request) error {
	u, err := m.find(r)
	if err != nil {
		return err
	}
	return done(w, m.people.Resume(r.Context(), u.ID, caller(r)))
}

// resetSecondFactor takes away what somebody lost: their next sign-in sets up anew.
func (m *Server) resetSecondFactor(w http.ResponseWriter, r *http.Request) error {
	service := m.factors()
	if service == nil {
		return status(http.StatusConflict, "this service provider has no second factors: it runs without --second-factor-key-file")
	}
	u, err := m.find(r)
	if err != nil {
		return err
	}
	by := caller(r)
	return done(w, service.Reset(r.Context(), u.ID, secondfactor.By{Actor: by.Actor, Request: by.Request}))
}

func (m *Server) deleteUser(w http.ResponseWriter, r *http.Request) error {
	u, err := m.find(r)
	if err != nil {
		return err
	}
	return done(w, m.people.Delete(r.Context(), u.ID, caller(r)))
}

// userID takes an ID or an address; "" stays "".
func (m *Server) userID(r *http.Request, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	r.SetPathValue("user", name)
	u, err := m.find(r)
	return u.ID, err
}
