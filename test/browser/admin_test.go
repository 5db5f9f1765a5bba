package browser

import (
	"testing"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/test/internal/browser"
)

// TestAdminView walks through the view of an administrator and looks at each page.
func TestAdminView(t *testing.T) {
	r := newRig(t)
	r.snapshot.ServiceProvider.AdminGroups, r.snapshot.ServiceProvider.AdminIdentityProviders = []string{"dev"}, []string{"okta"}
	r.snapshot.Connections[1].Enabled = false
	r.apply()
	other := browser.New(t, r.hosts)
	r.edit = func(a *samltest.Response) { a.Audience = "https://other.example" }
	other.Open(signInURL("login_hint=alice%40acme.example&"))
	other.Press("#login")
	other.WaitText("We could not sign you in")
	r.edit = nil

	tab := browser.New(t, r.hosts)
	r.signIn(tab)
	tab.Open(ssoURL + "/admin")
	tab.WaitText("Sign-ins of the last 24 hours")
	r.look(tab, "admin-overview")
	tab.Open(ssoURL + "/admin/failures")
	tab.ByKeyboard(".rows a")
	tab.WaitText("Attributes in the response, not verified")
	r.look(tab, "admin-failure")
	tab.Open(ssoURL + "/admin/audit")
	r.look(tab, "admin-audit")
	tab.Open(ssoURL + "/admin/sessions")
	r.look(tab, "admin-sessions")
	tab.ByKeyboard(".rows a.danger")
	tab.WaitText("Cancel")
	tab.Open(ssoURL + "/admin/people")
	r.look(tab, "admin-people")
	tab.Press(".rows a")
	tab.WaitText("What Acme Okta sent")
	r.look(tab, "admin-person")
	tab.Press("a[href$='/revoke']")
	tab.WaitText("End every session of")
	r.look(tab, "admin-confirm")
	tab.Press("form button.danger")
	tab.WaitURL(ssoURL + "/signin")
}
