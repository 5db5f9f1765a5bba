package controllers

import (
	"strings"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/saml/samltest"
)

// TestARebindMovesPeopleAndEndsTheirSessions runs the operator, the API server, the service provider and two IdPs.
func TestARebindMovesPeopleAndEndsTheirSessions(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	acme, other := domainBinding(ns, "acme", "acme.example", "okta"), domainBinding(ns, "other", "other.example", "okta")
	create(t, withPeople(ns), connected(t, ns, "okta"), connected(t, ns, "entra"), acme, other)
	p := newServing(t, ns)
	await(t, acme, "Ready", isTrue, "Serving")
	await(t, other, "Ready", isTrue, "Serving")
	alice, bob := p.visitor(t), p.visitor(t)
	alice.signIn("alice@acme.example")
	bob.signIn("bob@other.example")
	before := p.user(t, "alice@acme.example")

	acme.Spec.IdentityProviderRef.Name = "entra"
	update(t, acme)
	await(t, acme, "Ready", isTrue, "Serving")
	if alice.signedIn() {
		t.Error("a session of the old IdP for that domain goes on")
	}
	if !bob.signedIn() {
		t.Error("a session of the old IdP for another domain has ended")
	}
	eventually(t, "the end of the session is recorded", func() bool { return p.log.count(audit.TypeSessionRevoked) == 1 })
	if text := p.log.String(); !strings.Contains(text, `"cause":"rebind"`) {
		t.Errorf("the record does not say why: %s", text)
	}
	if n := o.audit.count(audit.TypeSAMLDomainRebound, "acme"); n != 1 {
		t.Errorf("the rebind was recorded %d times", n)
	}

	// The old IdP does not get anybody back.
	visitor := p.visitor(t)
	idp, request := visitor.sent("bob@other.example")
	if idp != "okta" {
		t.Fatalf("sent to %q", idp)
	}
	if visitor.comeBack(idp, request, asserting("alice@acme.example")) {
		t.Error("the old IdP signed in somebody of a domain that was rebound")
	}
	// People move at their next sign-in, and stay who they are.
	again := p.visitor(t)
	if idp, _ := again.sent("alice@acme.example"); idp != "entra" {
		t.Errorf("sent to %q", idp)
	}
	again.signIn("alice@acme.example")
	after := p.user(t, "alice@acme.example")
	if after.ID != before.ID || before.IdP.Name != "okta" || after.IdP.Name != "entra" {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// TestADeletedBindingEndsSessionsAndSaysWhy: nobody may assert addresses of the domain any more, and that is no rebind.
func TestADeletedBindingEndsSessionsAndSaysWhy(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	newOperator(t, ns)
	acme, other := domainBinding(ns, "acme", "acme.example", "okta"), domainBinding(ns, "other", "other.example", "okta")
	create(t, withPeople(ns), connected(t, ns, "okta"), acme, other)
	p := newServing(t, ns)
	await(t, acme, "Ready", isTrue, "Serving")
	await(t, other, "Ready", isTrue, "Serving")
	alice, bob := p.visitor(t), p.visitor(t)
	alice.signIn("alice@acme.example")
	bob.signIn("bob@other.example")
	remove(t, acme)
	eventually(t, "the end of the session is recorded", func() bool { return p.log.count(audit.TypeSessionRevoked) == 1 })
	if text := p.log.String(); !strings.Contains(text, `"cause":"unbind"`) || strings.Contains(text, `"cause":"rebind"`) {
		t.Errorf("the record does not say why: %s", text)
	}
	if alice.signedIn() || !bob.signedIn() {
		t.Error("the session of the domain goes on, or that of another has ended")
	}
}

// signInEvents are those about refused sign-ins on the IdentityProvider.
func signInEvents(t testing.TB, idp *v1alpha1.IdentityProvider) []eventsv1.Event {
	t.Helper()
	var list eventsv1.EventList
	if err := k8s.List(t.Context(), &list, client.InNamespace(idp.Namespace)); err != nil {
		t.Fatal(err)
	}
	var found []eventsv1.Event
	for _, e := range list.Items {
		if e.Reason == "SignInRejected" && e.Regarding.UID == idp.UID {
			found = append(found, e)
		}
	}
	return found
}

// TestRefusedSignInsAreOneSeriesOfEventsForEachReason: mallory's IdP speaks for a domain that is bound to another.
func TestRefusedSignInsAreOneSeriesOfEventsForEachReason(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	clock := testingclock.NewFakeClock(time.Now())
	o := newOperator(t, ns, withClock(clock))
	entra := connected(t, ns, "entra")
	create(t, withPeople(ns), connected(t, ns, "okta"), entra, domainBinding(ns, "victim", "victim.example", "okta"), domainBinding(ns, "evil", "evil.example", "entra"))
	p := newServing(t, ns)
	await(t, entra, "Ready", isTrue, "Serving")
	mallory := p.visitor(t)
	idp, request := mallory.sent("mallory@evil.example")
	refuse := func(edit func(*samltest.Response)) {
		t.Helper()
		if mallory.comeBack(idp, request, edit) || mallory.signedIn() {
			t.Fatal("mallory is signed in")
		}
	}
	refuse(asserting("ceo@victim.example"))
	eventually(t, "there is an Event", func() bool { return len(signInEvents(t, entra)) == 1 })
	for range 4 {
		refuse(asserting("ceo@victim.example"))
	}
	refuse(func(r *samltest.Response) {
		asserting("mallory@evil.example")(r)
		r.Audience = "https://elsewhere.example"
	})
	eventually(t, "both series have been counted", func() bool {
		clock.Step(11 * time.Second)
		events := signInEvents(t, entra)
		if len(events) != 2 {
			return false
		}
		for _, e := range events {
			if strings.Contains(e.Note, "domain_not_bound") && (e.Series == nil || e.Series.Count != 5) {
				return false
			}
		}
		return true
	})
	// A restart of the operator tells nothing a second time.
	o.restart()
	refuse(asserting("ceo@victim.example"))
	eventually(t, "another series has begun", func() bool { clock.Step(11 * time.Second); return len(signInEvents(t, entra)) == 3 })
	for _, e := range signInEvents(t, entra) {
		if strings.Contains(e.Note, "victim") || e.Type != "Warning" {
			t.Errorf("an Event says %q", e.Note)
		}
	}
	mustContain(t, kubectl(t, "-n", ns, "describe", "idp/entra"), "SignInRejected", "(x5 over", "Sign-ins were rejected: domain_not_bound (addresses of a domain that is not bound to this IdP). To see why: kubectl sso debug idp/entra -n "+ns,
		"Sign-ins were rejected: audience_mismatch. To see why")
	if p.user(t, "ceo@victim.example") != nil {
		t.Error("there is a user row")
	}
	eventually(t, "every refusal is recorded", func() bool { return p.log.count(audit.TypeEmailDomainNotBound) == 6 })
}
