package management

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/access"
	"sallyport.dev/sallyport/internal/web/site"
)

// failuresLooked is how many refused responses of a connection are searched for the person's.
const failuresLooked = 200

// explanation is one in the making.
type explanation manageapi.Explanation

// explain answers why an address can sign in, or cannot. It shows what is known of a person, so that somebody asked is recorded.
func (m *Server) explain(w http.ResponseWriter, r *http.Request) error {
	s := m.Sites.Current()
	if s == nil {
		return status(http.StatusServiceUnavailable, "no snapshot is served yet")
	}
	address, err := identity.NormaliseAddress(r.PathValue("address"))
	if err != nil {
		return status(http.StatusBadRequest, "%q is not an e-mail address: %v", r.PathValue("address"), err)
	}
	e := &explanation{Address: address.String(), Problems: []string{}}
	c := e.route(s, address)
	if err := m.explainUser(r, s, c, e); err != nil {
		return err
	}
	if c != nil {
		if err := m.explainFailure(r, c, e); err != nil {
			return err
		}
	}
	if given := r.URL.Query().Get("url"); given != "" {
		person := &access.Person{Email: e.Address, IdentityProvider: e.IdP}
		if e.Asserted != nil {
			person.Groups = e.Asserted.Groups
		}
		decision, err := access.Explain(s.Snapshot.ServiceProvider.Access, "", given, person)
		if err != nil {
			return status(http.StatusBadRequest, "url: %v", err)
		}
		e.Access = &manageapi.AccessDecision{Outcome: string(decision.Outcome), Rule: decision.Rule, Why: decision.Why}
	}
	by := caller(r)
	err = m.Store.WriteAudit(r.Context(), audit.Record{Type: audit.TypeSignInExplained, Actor: by.Actor, Request: by.Request,
		Target: audit.Target{Kind: audit.KindUser, Name: e.Address}, Details: audit.Explained{IdP: e.IdP}})
	if err != nil {
		return err
	}
	return writeJSON(w, e)
}

// route finds the connection of the address and says why it is that one.
func (e *explanation) route(s *site.Site, address identity.Address) *site.Connection {
	name, binding, ok := s.Domains.Route(address)
	if !ok && s.Domains.Empty() && len(s.Usable()) == 1 {
		name = s.Usable()[0].Name
		ok = true
	}
	if !ok {
		e.State = "missing"
		e.Problems = append(e.Problems, fmt.Sprintf("No DomainBinding binds %s, and no connection is the catch-all: the sign-in page knows nowhere to send it.", address.Domain))
		return nil
	}
	e.IdP, e.Binding, e.CatchAll = name, binding, binding == ""
	if d, bound := s.Domains.Binding(address.Domain); bound {
		e.Domain = d.Domain
	}
	c := s.Connection(name)
	switch {
	case c == nil:
		e.State = "missing"
		e.Problems = append(e.Problems, fmt.Sprintf("idp/%s is not among what this pod serves: see its conditions.", name))
	case c.Trust == nil:
		e.State = "waiting"
		e.Problems = append(e.Problems, fmt.Sprintf("Trust in idp/%s is not established: see its condition TrustEstablished.", name))
	case !c.Enabled:
		e.State = "disabled"
		e.Problems = append(e.Problems, fmt.Sprintf("idp/%s is Disabled: spec.state.", name))
	default:
		e.State = "usable"
	}
	return c
}

func (m *Server) explainUser(r *http.Request, s *site.Site, c *site.Connection, e *explanation) error {
	u, err := m.Store.UserByEmail(r.Context(), e.Address)
	if errors.Is(err, store.ErrNotFound) {
		if c != nil && !c.Provisioning.JIT {
			e.Problems = append(e.Problems, fmt.Sprintf("There is no such user, and idp/%s creates none at sign-in: spec.provisioning.jit.", c.Name))
		}
		return nil
	}
	if err != nil {
		return err
	}
	view := viewUser(u)
	e.User = &view
	if u.Suspended() {
		e.Problems = append(e.Problems, fmt.Sprintf("The user is suspended: kubectl sso users resume %s -n %s.", e.Address, s.Snapshot.ServiceProvider.Namespace))
	}
	if c == nil {
		return nil
	}
	address, err := identity.NormaliseAddress(e.Address)
	if err == nil && u.IdP.UID != "" && u.IdP.UID != c.UID && !s.Domains.Owns(c.Name, address) {
		e.Problems = append(e.Problems, fmt.Sprintf("The user belongs to idp/%s; only an IdP that the domain is bound to may take them over.", u.IdP.Name))
	}
	links, err := m.Store.Links(r.Context(), u.ID)
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.IdP.UID == c.UID {
			e.mapped(c, l)
		}
	}
	return nil
}

// mapped runs today's mapping over what was sent last. The NameID is not kept whole: where the address came from it, the address known stands in.
func (e *explanation) mapped(c *site.Connection, l store.Link) {
	in := identity.Input{NameID: identity.NameID{Value: l.Subject, Format: identity.FormatPersistent}, Attributes: l.Raw}
	person, rejection := c.Mapping.Map(in)
	if rejection != nil {
		in.NameID = identity.NameID{Value: e.Address, Format: identity.FormatEmailAddress}
		person, rejection = c.Mapping.Map(in)
	}
	if rejection != nil {
		e.Problems = append(e.Problems, "With what the IdP sent last, today's mapping refuses: "+rejection.Sentence)
		return
	}
	e.Asserted = &manageapi.Asserted{At: l.RecordedAt, Email: person.Email.String(), FirstName: person.FirstName, LastName: person.LastName, Groups: person.AllGroups(), Profile: person.Profile,
		Missing: person.Missing, Dropped: person.Dropped}
	for _, i := range person.Rules {
		rule := c.Connection.Mapping.Rules[i]
		e.Asserted.Rules = append(e.Asserted.Rules, manageapi.RuleMatch{Rule: i + 1, When: rule.When, Groups: rule.AddGroups})
	}
	for _, f := range person.FailedRules {
		e.Asserted.FailedRules = append(e.Asserted.FailedRules, manageapi.RuleFailure{
			Rule: f.Rule + 1, When: c.Connection.Mapping.Rules[f.Rule].When, Reason: string(f.Reason), Message: fmt.Sprintf("%s (%s)", f.Reason.Sentence(), f.Detail)})
	}
	if !strings.EqualFold(e.Asserted.Email, e.Address) {
		e.Problems = append(e.Problems, fmt.Sprintf("The IdP asserts %s: the user's address changes at the next sign-in.", e.Asserted.Email))
	}
}

// explainFailure finds the last refused response for the address, when it is later than the last sign-in.
func (m *Server) explainFailure(r *http.Request, c *site.Connection, e *explanation) error {
	entries, err := m.Store.DebugEntries(r.Context(), store.DebugQuery{IdPUID: c.UID, Limit: failuresLooked})
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Success || entry.Email != e.Address || e.User != nil && entry.At.Before(e.User.LastSignInAt) {
			continue
		}
		view := viewDebug(entry)
		view.Attributes, view.NameID = nil, nil
		e.LastFailure = &view
		return nil
	}
	return nil
}
