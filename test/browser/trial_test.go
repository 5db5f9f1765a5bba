package browser

import (
	"testing"
	"time"

	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/audit/ration"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/web/trial"
	"sallyport.dev/sallyport/test/internal/browser"
)

// TestPagesOfATestRun are for the administrator who made the link.
func TestPagesOfATestRun(t *testing.T) {
	r := newRig(t)
	tab := browser.New(t, r.hosts)
	secret, err := trial.Open(t.Context(), r.store, "okta", "uid-okta", "admin@acme.example", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	run := func(says, name string) {
		t.Helper()
		tab.Open(ssoURL + trial.Path + secret)
		tab.WaitFor("#login")
		tab.Press("#login")
		tab.WaitText(says)
		r.look(tab, name)
	}
	run("A sign-in like this would succeed.", "test-passed")
	r.edit = func(a *samltest.Response) { a.Audience = "https://other.example" }
	run("A sign-in like this would be refused.", "test-refused")
	r.edit = nil
	r.snapshot.Connections[0].Enabled = false
	r.apply()
	run("once the connection is enabled", "test-disabled")
	tab.Open(ssoURL + "/account")
	tab.WaitURL(ssoURL + "/signin")
}

// TestBreakGlassLink asks before it is used up, and works once.
func TestBreakGlassLink(t *testing.T) {
	r := newRig(t)
	r.signIn(browser.New(t, r.hosts))
	u, err := r.store.UserByEmail(t.Context(), r.person)
	if err != nil {
		t.Fatal(err)
	}
	by := provision.Caller{Actor: audit.Actor{Kind: audit.ActorKubernetes, ID: "admin@acme.example"}}
	secret, _, err := provision.NewService(r.store, ration.New(clock.RealClock{}, r.store.WriteAudit, nil)).BreakGlass(t.Context(), u, "the IdP is down", by, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	tab := browser.New(t, r.hosts)
	tab.Open(ssoURL + "/signin/break-glass/" + secret)
	tab.WaitText("admin@acme.example")
	r.look(tab, "break-glass")
	tab.Press("button.primary")
	tab.WaitURL(ssoURL + "/account")
	tab.WaitText(r.person)
	other := browser.New(t, r.hosts)
	other.Open(ssoURL + "/signin/break-glass/" + secret)
	other.WaitText("This link is no longer valid")
}
