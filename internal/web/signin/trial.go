package signin

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/saml"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/site"
	"sallyport.dev/sallyport/internal/web/trial"
)

// tryConnection starts a test run: the whole way to the IdP and back, also while the connection is disabled, without a user and without a session.
func (h *Handler) tryConnection(w http.ResponseWriter, r *http.Request, s *site.Site) {
	secret := r.PathValue("secret")
	link, err := trial.Follow(r.Context(), h.Store, secret)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		h.StoreFailed(w, s, metrics.SignInTest, err)
		return
	}
	c := s.ConnectionByUID(link.IdPUID)
	if err != nil || c == nil {
		h.Page(w, s, http.StatusNotFound, pages.Message{Heading: "This test has ended", Sentence: "The link has expired or was opened too often, or the connection is gone.", Advice: "Create a new link with kubectl sso test."})
		return
	}
	h.beginWith(w, r, s, c, ask{}, func(p *store.Pending) {
		p.Test, p.Run, p.RequestedBy = true, secret, link.RequestedBy
	})
}

// enabled is the connection as it would be if it were enabled.
func enabled(s *site.Site, c *site.Connection) (*saml.Connection, error) {
	if c.Enabled {
		return c.SAML, nil
	}
	as := c.Connection
	as.Enabled = true
	connection, err := saml.NewConnection(as, s.Limits)
	if err != nil {
		return nil, err
	}
	return connection.WithNamespace(s.Snapshot.ServiceProvider.Namespace), nil
}

// finishTrial tells what came of a test run. Nothing is kept of the person but the debug entry and the result, for minutes.
func (h *Handler) finishTrial(w http.ResponseWriter, r *http.Request, a *arrival) {
	ctx := r.Context()
	checks, assertion, refusal, err := h.examine(ctx, a)
	if err != nil {
		h.overloaded(w, a)
		return
	}
	result := manageapi.Trial{ID: a.pending.Run, Reference: a.reference, IdP: a.c.Name, At: h.Clock.Now(), Enabled: a.c.Enabled}
	for _, c := range checks {
		result.Checks = append(result.Checks, checkOf(c))
	}
	var rejection *identity.Rejection
	if refusal == nil {
		rejection, err = h.preview(r, a, assertion, &result)
	}
	if err == nil {
		if rejection != nil {
			refusal = a.c.SAML.Refuse(saml.Reason(rejection.Reason), rejection.Expected, rejection.Actual)
			refusal.Sentence = rejection.Sentence
		}
		describeTrial(a, &result, refusal, assertion)
		err = h.concludeTrial(ctx, a, assertion, refusal)
	}
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrReplayed) {
		h.Page(w, a.s, http.StatusForbidden, pages.Message{Heading: "This test has ended", Sentence: "Its response arrived a second time.", Advice: "Open the link once more to run the test again."})
		return
	}
	if err != nil {
		h.StoreFailed(w, a.s, metrics.SignInTest, err)
		return
	}
	h.debug(ctx, entryOf(a, refusal, assertion))
	if err := trial.Save(ctx, h.Store, a.pending.Run, result); err != nil {
		h.Log.Error("the result of a test run could not be kept", "idp", a.c.Name, "reference", a.reference, "error", err)
	}
	clearPending(w, pendingName(a.handle))
	h.Page(w, a.s, http.StatusOK, pages.Trial{DisplayName: a.c.Label(), Trial: result})
}

// examine makes every check, when it is this response's turn.
func (h *Handler) examine(ctx context.Context, a *arrival) ([]saml.Checked, *saml.Assertion, *saml.Refusal, error) {
	connection, err := enabled(a.s, a.c)
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, verifyPatience)
	defer cancel()
	release, err := h.turn(ctx, neighbourhood(a.who.IP), len(a.response))
	if err != nil {
		return nil, nil, nil, err
	}
	defer release()
	checks, assertion, refusal := connection.Examine(ctx, a.response, a.samlPending(), h.Clock.Now())
	return checks, assertion, refusal, nil
}

// preview finds out what sign-in would have done.
func (h *Handler) preview(r *http.Request, a *arrival, assertion *saml.Assertion, into *manageapi.Trial) (*identity.Rejection, error) {
	check := manageapi.TrialCheck{Name: "Address, domain and user", Verdict: string(saml.VerdictPassed)}
	result, err := h.people.Preview(r.Context(), h.signInOf(r, a, assertion))
	rejection, refused := identity.AsRejection(err)
	switch {
	case refused:
		check.Verdict, check.Sentence, check.Expected, check.Actual = string(saml.VerdictFailed), rejection.Sentence, rejection.Expected, rejection.Actual
		check.Advice = a.c.SAML.Refuse(saml.Reason(rejection.Reason), rejection.Expected, rejection.Actual).Advice
	case err != nil:
		return nil, err
	default:
		into.Passed, into.Outcome = true, outcome(a.c, result)
	}
	into.Checks = append(into.Checks, check)
	return rejection, nil
}

// concludeTrial uses the request and the assertion up and records the run, all or nothing.
func (h *Handler) concludeTrial(ctx context.Context, a *arrival, assertion *saml.Assertion, refusal *saml.Refusal) error {
	record := audit.Record{
		Type: audit.TypeSAMLIdPTested, Outcome: audit.OutcomeSuccess, Request: a.reference,
		Actor:   audit.Actor{Kind: audit.ActorKubernetes, ID: a.pending.RequestedBy, IP: a.who.IP, UserAgent: a.who.UserAgent},
		Target:  audit.Target{Kind: provision.KindIdentityProvider, Namespace: a.s.Snapshot.ServiceProvider.Namespace, Name: a.c.Name, UID: a.c.UID, Generation: a.c.Generation},
		Details: audit.SignIn{IdP: a.c.Name, IdPUID: a.c.UID, Test: true},
	}
	if refusal != nil {
		record.Outcome, record.Reason = audit.OutcomeFailure, string(refusal.Reason)
		record.Details = audit.AssertionFailure{IdP: a.c.Name, IdPUID: a.c.UID, DebugEntry: a.entry, Check: string(refusal.Check)}
	}
	return h.Store.Do(ctx, func(tx store.Tx) error {
		if _, err := tx.ConsumePending(a.pending.HandleHash); err != nil {
			return err
		}
		if assertion != nil {
			if err := tx.RememberAssertion(a.c.UID, assertion.ID, assertion.ReplayUntil); err != nil {
				return err
			}
		}
		return tx.AppendAudit(record)
	})
}

// outcome says in sentences what sign-in would have done.
func outcome(c *site.Connection, r *provision.Result) []string {
	var out []string
	switch {
	case r.Created:
		out = append(out, fmt.Sprintf("Create the user %s.", r.User.Email))
	case r.MatchedBy == provision.MatchedSubject:
		out = append(out, fmt.Sprintf("Sign in the user %s, found by the identifier of the IdP.", r.User.Email))
	default:
		out = append(out, fmt.Sprintf("Sign in the user %s, found by the e-mail address.", r.User.Email))
	}
	for _, record := range r.Records {
		switch d := record.Details.(type) {
		case audit.GroupChange:
			what := map[audit.Type]string{audit.TypeIdPGroupMemberAdded: "Add to the groups ", audit.TypeIdPGroupMemberRemoved: "Remove from the groups "}[record.Type]
			if what != "" {
				out = append(out, what+join(d.Groups)+".")
			}
		case audit.ProfileUpdate:
			out = append(out, "Update the profile: "+join(append(append([]string{}, d.Added...), d.Updated...))+".")
		case audit.Changes:
			out = append(out, "Update: "+join(d.Updated)+".")
		}
	}
	for _, f := range r.Person.FailedRules {
		out = append(out, fmt.Sprintf("Add no group by %s of AttributeMapping %s (%s). %s (%s)", f.Field(), c.Connection.Mapping.Name, f.Reason, f.Reason.Sentence(), f.Detail))
	}
	out = append(out, "Open a session until "+serve.Moment(r.Session.ExpiresAt)+".")
	if r.SecondFactorRequired {
		out = append(out, "Ask for the second factor first.")
	}
	if !c.Enabled {
		out = append(out, "But the connection is disabled: until spec.state is Enabled, everybody is refused.")
	}
	return out
}
