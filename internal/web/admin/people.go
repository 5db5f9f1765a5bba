package admin

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/pages"
)

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (v *visit) people() error {
	asked := only(v.r.URL.Query(), "prefix", "suspended", "idp", "cursor")
	asked.Set("limit", "100")
	var got manageapi.Page[manageapi.User]
	if err := v.get("/users", asked, &got); err != nil {
		return err
	}
	page := pages.AdminPeople{Prefix: asked.Get("prefix"), Suspended: asked.Get("suspended") == "true"}
	for _, u := range got.Items {
		page.Items = append(page.Items, v.personOf(u))
	}
	page.NextURL = nextURL("/admin/people", asked, got.Next)
	return v.page("people", page)
}

// nextURL is the page after this one; empty where there is none.
func nextURL(path string, asked url.Values, cursor string) string {
	if cursor == "" {
		return ""
	}
	asked.Set("cursor", cursor)
	asked.Del("limit")
	return path + "?" + asked.Encode()
}

func (v *visit) personOf(u manageapi.User) pages.AdminPerson {
	return pages.AdminPerson{ID: u.ID, Email: u.Email, Name: strings.TrimSpace(u.FirstName + " " + u.LastName), IdP: v.label(u.IdP), URL: "/admin/people/" + url.PathEscape(u.ID),
		LastSignIn: pages.At(u.LastSignInAt), Suspended: !u.SuspendedAt.IsZero(), Reason: u.SuspendReason}
}

func (v *visit) user() (manageapi.User, error) {
	var u manageapi.User
	err := v.get("/users/"+url.PathEscape(v.r.PathValue("user")), nil, &u)
	return u, err
}

func (v *visit) person() error {
	u, err := v.user()
	if err != nil {
		return err
	}
	page := pages.AdminPersonDetails{AdminPerson: v.personOf(u), Notice: done[v.r.URL.Query().Get("done")], Created: pages.At(u.CreatedAt)}
	for _, g := range u.Groups {
		if !g.Invalid {
			page.Groups = append(page.Groups, g.Name)
		}
	}
	for _, name := range sortedNames(u.Profile) {
		page.Profile = append(page.Profile, pages.ProfileValue{Label: pages.Words(name), Value: u.Profile[name].Value, Source: v.source(u, u.Profile[name])})
	}
	for _, s := range u.Sessions {
		page.Sessions = append(page.Sessions, v.sessionOf(s))
	}
	for _, f := range u.SecondFactors {
		if f.Confirmed {
			page.Factors = append(page.Factors, strings.TrimSpace(pages.Words(f.Kind)+" "+f.Label))
		}
	}
	for _, c := range u.Connections {
		one := pages.Connected{DisplayName: v.label(c.IdP), Recorded: pages.At(c.RecordedAt)}
		for _, name := range sortedNames(c.Attributes) {
			one.Attributes = append(one.Attributes, pages.SentAttribute{Label: name, Values: c.Attributes[name]})
		}
		page.Connections = append(page.Connections, one)
	}
	return v.page("people", page)
}

// source says where a value of a person's profile comes from.
func (v *visit) source(u manageapi.User, value manageapi.ProfileValue) string {
	if store.Source(value.Source) == store.SourceAdmin {
		return "set by an administrator"
	}
	for _, c := range u.Connections {
		if c.IdPUID == value.IdPUID {
			return "from " + v.label(c.IdP)
		}
	}
	return "from an identity provider"
}

func (v *visit) sessionOf(s manageapi.Session) pages.AdminSession {
	return pages.AdminSession{ID: s.ID, Email: s.Email, IdP: v.label(s.IdP), IP: s.IP, Device: s.UserAgent, Created: pages.At(s.CreatedAt), LastSeen: pages.At(s.LastSeenAt),
		RevokeURL: "/admin/sessions/" + s.ID + "/revoke", PersonURL: "/admin/people/" + url.PathEscape(s.UserID)}
}

// done are the words for what a change came to.
var done = map[string]string{
	"suspend": "The user is suspended, and every session has ended.", "resume": "The user can sign in again.",
	"reset-second-factor": "The second factors are removed. The user sets up a new one at the next sign-in that requires it.", "revoke": "Every session of the user has ended.",
}

// action is something that can be done to a user.
type action struct {
	question, consequence, button string
	method, path                  string
	reason                        bool
}

func actionOf(name, email string) (action, bool) {
	switch name {
	case "suspend":
		return action{question: "Suspend " + email + "?", button: "Suspend", method: http.MethodPost, path: "/suspend", reason: true,
			consequence: "Every session ends within two seconds, and sign-ins are refused until the user is resumed."}, true
	case "resume":
		return action{question: "Let " + email + " sign in again?", button: "Resume", method: http.MethodPost, path: "/resume",
			consequence: "The suspension ends."}, true
	case "reset-second-factor":
		return action{question: "Reset the second factors of " + email + "?", button: "Reset", method: http.MethodPost, path: "/reset-second-factor",
			consequence: "All second factors and recovery codes are removed. The user sets up a new one at the next sign-in that requires it."}, true
	case "revoke":
		return action{question: "End every session of " + email + "?", button: "End every session", method: http.MethodPost,
			consequence: "The user is signed out everywhere within two seconds, and can sign in again."}, true
	case "delete":
		return action{question: "Delete " + email + "?", button: "Delete", method: http.MethodDelete,
			consequence: "The user is deleted with all sessions, profile values and second factors; audit records are kept. " +
				"Anyone who can still sign in at the identity provider is created again."}, true
	}
	return action{}, false
}

// action is what the path asks for, with its name, and whom it is about.
func (v *visit) action() (u manageapi.User, name string, a action, err error) {
	if u, err = v.user(); err != nil {
		return u, name, a, err
	}
	name = v.r.PathValue("action")
	a, ok := actionOf(name, u.Email)
	if !ok {
		return u, name, a, &refusal{http.StatusNotFound, "There is no such action."}
	}
	return u, name, a, nil
}

func (v *visit) askPerson() error {
	u, name, a, err := v.action()
	if err != nil {
		return err
	}
	person := "/admin/people/" + url.PathEscape(u.ID)
	return v.page("people", pages.AdminConfirm{Question: a.question, Consequence: a.consequence, Button: a.button, Action: person + "/" + name, Back: person, WithReason: a.reason})
}

func (v *visit) changePerson() error {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
	if err := v.r.ParseForm(); err != nil {
		return &refusal{http.StatusBadRequest, "The form was incomplete."}
	}
	u, name, a, err := v.action()
	if err != nil {
		return err
	}
	path, body := "/users/"+url.PathEscape(u.ID)+a.path, any(nil)
	switch {
	case a.reason:
		body = map[string]string{"reason": v.r.PostForm.Get("reason")}
	case name == "revoke":
		path, body = "/sessions/revoke", map[string]string{"user": u.ID}
	}
	if _, err := v.ask(a.method, path, nil, body, nil); err != nil {
		return err
	}
	to := "/admin/people/" + url.PathEscape(u.ID) + "?done=" + name
	if name == "delete" {
		to = "/admin/people"
	}
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}

func (v *visit) sessions() error {
	asked := only(v.r.URL.Query(), "idp", "cursor")
	asked.Set("limit", "100")
	var got manageapi.Page[manageapi.Session]
	if err := v.get("/sessions", asked, &got); err != nil {
		return err
	}
	page := pages.AdminSessions{Notice: map[string]string{"1": "The session has ended."}[v.r.URL.Query().Get("ended")]}
	for _, s := range got.Items {
		page.Items = append(page.Items, v.sessionOf(s))
	}
	page.NextURL = nextURL("/admin/sessions", asked, got.Next)
	return v.page("sessions", page)
}

func (v *visit) askSession() error {
	id := v.r.PathValue("session")
	return v.page("sessions", pages.AdminConfirm{Question: "End this session?", Consequence: fmt.Sprintf("The browser with session %s is signed out within two seconds.", id[:min(len(id), 12)]),
		Button: "End the session", Action: "/admin/sessions/" + url.PathEscape(id) + "/revoke", Back: "/admin/sessions"})
}

func (v *visit) revokeSession() error {
	if _, err := v.ask(http.MethodPost, "/sessions/revoke", nil, map[string]string{"session": v.r.PathValue("session")}, nil); err != nil {
		return err
	}
	http.Redirect(v.w, v.r, "/admin/sessions?ended=1", http.StatusSeeOther)
	return nil
}
