package browser

import (
	"testing"

	"sallyport.dev/sallyport/test/internal/browser"
)

// TestAStrictCookieIsSentAfterALinkOfAnotherSite: the browser keeps it from the link itself, and sends it when our page goes on. Nobody is sent to the IdP.
func TestAStrictCookieIsSentAfterALinkOfAnotherSite(t *testing.T) {
	r := newRig(t)
	r.snapshot.ServiceProvider.Session.SameSite = "Strict"
	r.apply()
	tab := browser.New(t, r.hosts)
	r.signIn(tab)
	for _, scripts := range []bool{true, false} {
		tab.Open(idpURL + "/intranet")
		tab.Evaluate(`document.body.innerHTML = '<a id="there" href="` + appURL + `/d/3">the dashboard</a>'; ""`)
		if !scripts {
			tab.WithoutScripts()
		}
		tab.Press("#there")
		tab.WaitText("Dashboard of alice@acme.example at /d/3")
	}
}
