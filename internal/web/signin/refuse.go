package signin

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/audit/ration"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/saml"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/pages"
)

// refuse records a refusal and answers with a page that is the same for every reason that an attacker could probe for.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, a *arrival, refusal *saml.Refusal) {
	h.recordRefusal(r.Context(), a, refusal)
	h.refusalPage(w, a, refusal.Reason)
}

// recordRefusal writes the debug entry, the audit record and the metric. Anybody can cause it, so that the records are rationed. The person gets the page whether or not the store takes them.
func (h *Handler) recordRefusal(ctx context.Context, a *arrival, refusal *saml.Refusal) {
	h.count(a, refusal.Reason)
	h.debug(ctx, entryOf(a, refusal, nil))
	h.auditRefusal(ctx, a, refusal)
}

func (h *Handler) auditRefusal(ctx context.Context, a *arrival, refusal *saml.Refusal) {
	record := audit.Record{
		Type: audit.TypeSAMLAssertionFailed, Outcome: audit.OutcomeFailure, Reason: string(refusal.Reason), Request: a.reference,
		Actor:   audit.Actor{Kind: audit.ActorIdP, ID: a.c.Name, IP: a.who.IP, UserAgent: a.who.UserAgent},
		Target:  audit.Target{Kind: provision.KindIdentityProvider, Namespace: a.s.Snapshot.ServiceProvider.Namespace, Name: a.c.Name, UID: a.c.UID, Generation: a.c.Generation},
		Details: audit.AssertionFailure{IdP: a.c.Name, IdPUID: a.c.UID, DebugEntry: a.entry, Check: string(refusal.Check)},
	}
	if err := h.Strangers.Record(ctx, record); err != nil {
		h.Metrics.StoreFailed(metrics.WriteAudit)
		h.Log.Error("a refused response could not be recorded", "idp", a.c.Name, "reference", a.reference, "reason", refusal.Reason, "error", err)
	}
}

func (h *Handler) count(a *arrival, reason saml.Reason) {
	h.Metrics.SignIns.WithLabelValues(a.c.Name, "failure", string(reason)).Inc()
	a.span.Outcome(string(reason), a.reference)
	h.Refusals.Add(a.c.UID, string(reason), h.Clock.Now())
	h.Log.Info("a response was refused", "idp", a.c.Name, "reference", a.reference, "reason", reason)
}

func (h *Handler) debug(ctx context.Context, entry store.DebugEntry) {
	ctx, cancel := ration.Lasting(ctx)
	defer cancel()
	entry.At = h.Clock.Now()
	if err := h.Store.AddDebugEntry(ctx, entry); err != nil {
		h.Metrics.StoreFailed(metrics.AddDebugEntry)
		h.Log.Error("a debug entry could not be kept", "idp", entry.IdP.Name, "reference", entry.Reference, "error", err)
	}
}

// entryOf describes a response for diagnosis. With an assertion, its values were verified.
func entryOf(a *arrival, refusal *saml.Refusal, assertion *saml.Assertion) store.DebugEntry {
	e := store.DebugEntry{
		ID: a.entry, Reference: a.reference, IdP: store.IdPRef{UID: a.c.UID, Name: a.c.Name}, Success: refusal == nil, IP: a.who.IP, UserAgent: a.who.UserAgent,
	}
	if a.pending != nil {
		e.RequestID = a.pending.RequestID
	}
	if refusal != nil {
		e.ErrorType, e.Check, e.Expected, e.Actual, e.XML = string(refusal.Reason), string(refusal.Check), refusal.Expected, refusal.Actual, refusal.XML
		e.ClockDifference = refusal.ClockDifference
		if e.Sentence = refusal.Sentence; refusal.Advice != "" {
			e.Sentence += "\n" + refusal.Advice
		}
		if claims := refusal.Unverified; claims != nil {
			e.Issuer, e.NameID, e.Attributes = claims.Issuer, store.NameID(claims.NameID), (&saml.Assertion{Attributes: claims.Attributes}).Values()
			// Who it claims to be, so that an administrator finds the entry of the person who asks.
			e.Email = emailOf(a, claims.NameID, e.Attributes)
		}
	}
	if assertion != nil {
		e.Verified, e.Issuer, e.NameID, e.Attributes = true, assertion.Issuer, store.NameID(assertion.NameID), assertion.Values()
		e.XML, e.ClockDifference = assertion.XML, assertion.ClockDifference
		e.Email = emailOf(a, assertion.NameID, e.Attributes)
	}
	return e
}

func emailOf(a *arrival, nameID saml.NameID, attributes map[string][]string) string {
	email, ok := a.c.Mapping.Email(identity.Input{NameID: identity.NameID(nameID), Attributes: attributes})
	if !ok {
		return ""
	}
	return email.String()
}

// acceptedEntry describes a response that was accepted, with the rules that added no group because they could not be evaluated.
func acceptedEntry(a *arrival, assertion *saml.Assertion, failures []identity.RuleFailure) store.DebugEntry {
	e := entryOf(a, nil, assertion)
	failed := identity.RulesByReason(failures)
	var sentences []string
	for _, reason := range slices.Sorted(maps.Keys(failed)) {
		sentences = append(sentences, fmt.Sprintf("AttributeMapping %s, %s: no group was added (%s). %s", a.c.Mapping.Name(), strings.Join(failed[reason], ", "), reason, reason.Sentence()))
	}
	e.Sentence = strings.Join(sentences, "\n")
	return e
}

// refusalPage is constant, but for what the IdP has vouched for: there the person is told what to ask for.
func (h *Handler) refusalPage(w http.ResponseWriter, a *arrival, reason saml.Reason) {
	m := pages.Message{
		Heading:   "We could not sign you in",
		Sentence:  a.c.Label() + " sent a response that we could not accept.",
		Advice:    "Ask your administrator and give them this reference.",
		Reference: a.reference,
		Action:    &pages.Link{URL: "/signin?" + url.Values{"other": {"1"}, "rd": {a.back}}.Encode(), Label: "Try again"},
	}
	switch reason {
	case saml.ReasonUserSuspended:
		m.Heading, m.Sentence, m.Action = "Your account is suspended", "You signed in at "+a.c.Label()+", but your account here has been suspended.", nil
	case saml.ReasonUserNotFound:
		m.Heading, m.Sentence, m.Action = "You have no account here yet", "You signed in at "+a.c.Label()+", but nobody has created an account for you here.", nil
	case saml.ReasonIdPDisabled:
		m.Sentence = "Signing in with " + a.c.Label() + " is switched off."
	case saml.ReasonStatusNotSuccess:
		m.Sentence = a.c.Label() + " did not sign you in."
	}
	if a.back == "" {
		m.Action = &pages.Link{URL: "/signin", Label: "Try again"}
	}
	h.Page(w, a.s, http.StatusForbidden, m)
}
