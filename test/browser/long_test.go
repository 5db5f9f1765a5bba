package browser

import (
	"fmt"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/test/internal/browser"
)

// TestLongNames: a long address, long names without a place to break, and as many groups as directories have, on every page that shows them.
func TestLongNames(t *testing.T) {
	r := newRig(t)
	r.person = "anna-katharina.von-der-schulenburg-wolfenbuettel@donaudampfschifffahrtsgesellschaft-hauptverwaltung.acme.example"
	r.snapshot.Domains[0].Subdomains = true
	r.snapshot.Connections[0].DisplayName = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
	r.snapshot.ServiceProvider.AdminGroups, r.snapshot.ServiceProvider.AdminIdentityProviders = []string{"group-7"}, []string{"okta"}
	r.apply()
	r.edit = func(a *samltest.Response) {
		groups := []string{"dev", "CN=" + strings.Repeat("Rechtsschutzversicherungsgesellschaften-", 3) + "Lesezugriff,OU=Gruppen,DC=acme,DC=example"}
		for i := range 198 {
			groups = append(groups, fmt.Sprintf("group-%d", i))
		}
		for i := range a.Attributes {
			switch at := &a.Attributes[i]; at.Name {
			case "groups":
				at.Values = groups
			case "firstName":
				at.Values = []string{"Anna-Katharina Friederike Wilhelmine"}
			case "lastName":
				at.Values = []string{"von der Schulenburg-Wolfenbüttel-Hohenlohe-Langenburg"}
			case "department":
				at.Values = []string{strings.Repeat("Rindfleischetikettierungsüberwachungsaufgaben", 3)}
			}
		}
	}
	tab := browser.New(t, r.hosts)
	r.signIn(tab)
	tab.Open(ssoURL + "/account")
	tab.WaitText("group-197")
	r.look(tab, "long-account")
	tab.Open(ssoURL + "/signout")
	r.look(tab, "long-signout")
	tab.Open(ssoURL + "/admin")
	r.look(tab, "long-admin")
	tab.Open(ssoURL + "/admin/people")
	r.look(tab, "long-people")
	tab.Press(".rows a")
	tab.WaitText("group-197")
	r.look(tab, "long-person")
	tab.Open(ssoURL + "/admin/sessions")
	r.look(tab, "long-sessions")
	tab.Open(ssoURL + "/saml/okta")
	r.look(tab, "long-trust")
	tab.Open(ssoURL + "/admin/people")
	tab.Press(".rows a")
	tab.Press("a[href$='/suspend']")
	tab.WaitText("Cancel")
	r.look(tab, "long-confirm")
	other := browser.New(t, r.hosts)
	other.Open(signInURL("login_hint=alice%40" + strings.Repeat("y", 60) + ".example&"))
	other.WaitFor("#email-error")
	r.look(other, "long-signin-error")
	r.snapshot.Domains = nil
	for i := range 40 {
		r.connect(fmt.Sprintf("subsidiary-%d", i), fmt.Sprintf("Tochtergesellschaft Nummer %d der Donaudampfschifffahrtsgesellschaft", i), "Generic")
	}
	r.apply()
	other.Open(ssoURL + "/signin?other=1")
	other.WaitText("Choose your identity provider.")
	r.look(other, "long-chooser")
}
