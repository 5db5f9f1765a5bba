package interop

import (
	"net/http"
	"testing"
)

func TestASessionSurvivesARestart(t *testing.T) {
	r := newRig(t, options{})
	tab := r.signIn(appURL+"/", "alice@acme.example", "alice")
	tab.WaitText("Hello Alice Adams")
	r.sp.Stop()
	r.startSP()
	if got := r.get(appURL+"/api", r.cookies(tab)); got.status != http.StatusOK {
		t.Errorf("after a restart the session gets %d", got.status)
	}
}

func TestARestartDuringSignInLosesNothing(t *testing.T) {
	r := newRig(t, options{})
	tab := r.browser()
	tab.Open(appURL + "/deep?x=1&y=2")
	tab.WaitURL(ssoURL + "/signin")
	tab.Type("#email", "alice@acme.example")
	tab.Press("form button")
	tab.WaitURL("https://" + idpHost + "/")
	r.sp.Stop()
	r.startSP()
	tab.SignInAtSimpleSAMLphp("alice", "alice-password")
	tab.WaitURL(appURL + "/deep?x=1&y=2")
	tab.WaitText("Hello Alice Adams")
}

func TestTwoTabsSignInAtOnce(t *testing.T) {
	r := newRig(t, options{})
	first := r.browser()
	first.Open(appURL + "/first")
	first.WaitURL(ssoURL + "/signin")
	second := first.NewTab()
	second.Open(appURL + "/second")
	second.WaitURL(ssoURL + "/signin")
	second.Type("#email", "alice@acme.example")
	second.Press("form button")
	second.WaitURL("https://" + idpHost + "/")
	r.passSignIn(first, "alice@acme.example", "alice")
	first.WaitURL(appURL + "/first")
	second.SignInAtSimpleSAMLphp("alice", "alice-password")
	second.WaitURL(appURL + "/second")
}

func TestTheIdentityProviderRotatesItsKey(t *testing.T) {
	r := newRig(t, options{})
	r.idp.PublishNextKey()
	r.render()
	r.signIn(appURL+"/before", "alice@acme.example", "alice").WaitText("Hello Alice Adams")
	r.idp.SwitchKey()
	// The service provider still has the metadata with both keys: it needs no second look to accept the new one.
	r.signIn(appURL+"/after", "alice@acme.example", "alice").WaitText("Hello Alice Adams")
}
