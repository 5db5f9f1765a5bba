package browser

import (
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/test/internal/browser"
)

// TestEveryPage walks through the product and looks at each page on the way.
func TestEveryPage(t *testing.T) {
	r := newRig(t)
	tab := browser.New(t, r.hosts)

	tab.Open(signInURL(""))
	r.look(tab, "signin")
	tab.Type("#email", "alice@nowhere.example")
	tab.Press("button.primary")
	tab.WaitFor("#email-error")
	r.look(tab, "signin-error")

	r.signIn(tab)
	tab.Open(ssoURL + "/account")
	tab.WaitText("What Acme Okta sent about you")
	r.look(tab, "account")

	// A second browser of the same person can be ended from here.
	phone := browser.New(t, r.hosts)
	r.signIn(phone)
	tab.Open(ssoURL + "/account")
	tab.Press("button.danger")
	tab.WaitText("The session has ended.")
	phone.Open(appURL + "/d/2")
	phone.WaitURL(ssoURL + "/signin")
	phone.WaitText("Continue with Acme Okta")
	r.look(phone, "remembered")

	tab.Open(ssoURL + "/signout")
	tab.WaitText("Sign out?")
	r.look(tab, "signout")
	tab.Press("button.primary")
	tab.WaitText("You are signed out")
	r.look(tab, "signed-out")
	tab.Open(ssoURL + "/signout")
	tab.WaitText("There is no open session in this browser.")
	r.look(tab, "signout-nobody")

	r.edit = func(a *samltest.Response) { a.Audience = "https://other.example" }
	tab.Open(signInURL("login_hint=alice%40acme.example&"))
	tab.Press("#login")
	tab.WaitText("We could not sign you in")
	r.look(tab, "error")
	r.edit = nil

	tab.Open(ssoURL + "/nothing")
	r.look(tab, "not-found")
	tab.Open(ssoURL + "/signin?rd=https://evil.example/")
	r.look(tab, "bad-return")
	for _, idp := range []string{"okta", "entra", "keycloak", "google", "adfs", "generic"} {
		tab.Open(ssoURL + "/saml/" + idp)
		r.look(tab, "trust-"+idp)
	}

	r.snapshot.Domains = nil
	r.apply()
	tab.Open(ssoURL + "/signin?other=1")
	tab.WaitText("Choose your identity provider.")
	r.look(tab, "chooser")
}

// TestKeyboardAlone goes the way of an employee without a mouse: in, through a failure, out and in again.
func TestKeyboardAlone(t *testing.T) {
	r := newRig(t)
	tab := browser.New(t, r.hosts)
	tab.Open(ssoURL + "/signout")
	tab.WaitText("You are not signed in")
	tab.ByKeyboard("a[href='/signin']")
	tab.WaitURL(ssoURL + "/signin")

	r.edit = func(a *samltest.Response) { a.Audience = "https://other.example" }
	tab.Open(appURL + "/d/1")
	tab.WaitURL(ssoURL + "/signin")
	if at := tab.Evaluate(`document.activeElement.id`); at != "email" {
		t.Errorf("typing goes to %q and not to the one field", at)
	}
	tab.Type("#email", r.person)
	tab.ByKeyboard("button.primary")
	tab.WaitFor("#login")
	tab.Press("#login")
	tab.WaitText("Ask your administrator and give them this reference.")
	r.edit = nil
	tab.ByKeyboard("a.button")
	tab.WaitFor("#email")
	tab.Type("#email", r.person)
	tab.ByKeyboard("button.primary")
	tab.WaitFor("#login")
	tab.Press("#login")
	tab.WaitText("Dashboard of " + r.person + " at /d/1")

	tab.Open(ssoURL + "/signout")
	tab.WaitText("You are signed in as")
	tab.ByKeyboard("button.primary")
	tab.WaitText("You are signed out")
	tab.ByKeyboard("a.button")
	tab.WaitText("Sign in")

	r.snapshot.Domains = nil
	r.apply()
	tab.Open(ssoURL + "/signin?other=1")
	tab.WaitText("Choose your identity provider.")
	tab.ByKeyboard("button.choice")
	tab.WaitFor("#login")
}

// TestDeniedPageOnTheApplicationsHost is styled by ours.
func TestDeniedPageOnTheApplicationsHost(t *testing.T) {
	r := newRig(t)
	r.edit = func(a *samltest.Response) { a.Attributes = a.Attributes[:3] }
	tab := browser.New(t, r.hosts)
	tab.Open(appURL + "/d/1")
	tab.Type("#email", r.person)
	tab.Press("button.primary")
	tab.WaitFor("#login")
	tab.Press("#login")
	tab.WaitText("Access denied")
	if !strings.HasPrefix(tab.URL(), appURL) {
		t.Errorf("at %s", tab.URL())
	}
	r.look(tab, "no-access")
}

// TestPostBinding: the form goes by itself, under the content security policy, and by its button without scripts.
func TestPostBinding(t *testing.T) {
	r := newRig(t)
	for i := range r.snapshot.Connections {
		c := &r.snapshot.Connections[i]
		c.Request.Binding = snapshot.BindingPOST
		c.Trust.SSO = append(c.Trust.SSO, snapshot.Endpoint{Binding: snapshot.BindingPOST, URL: idpURL + "/sso"})
	}
	r.apply()
	r.signIn(browser.New(t, r.hosts))
}

// TestTwoTabs: both were waiting when the first signed in.
func TestTwoTabs(t *testing.T) {
	r := newRig(t)
	first := browser.New(t, r.hosts)
	second := first.NewTab()
	for _, tab := range []*browser.Tab{first, second} {
		tab.Open(appURL + "/d/1?var=a&b=c")
		tab.Type("#email", r.person)
		tab.Press("button.primary")
		tab.WaitFor("#login")
	}
	for _, tab := range []*browser.Tab{second, first} {
		tab.Press("#login")
		tab.WaitText("Dashboard of " + r.person)
	}
}
