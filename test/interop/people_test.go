package interop

import (
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"sallyport.dev/sallyport/test/internal/browser"
)

// TestAccountShowsWhatSimpleSAMLphpSent, without any script: where each value comes from, what became of what was sent, and the sessions to end.
func TestAccountShowsWhatSimpleSAMLphpSent(t *testing.T) {
	r := newRig(t, options{})
	phone := r.signIn(appURL+"/", "alice@acme.example", "alice")
	phone.WaitText("Hello Alice Adams")
	tab := r.signIn(appURL+"/", "alice@acme.example", "alice")
	tab.WaitText("Hello Alice Adams")
	tab.WithoutScripts()
	tab.Open(ssoURL + "/account")
	tab.WaitText("What Acme sent about you")
	shown := strings.Join(strings.Fields(tab.Text()), " ")
	for _, want := range []string{
		"Alice Adams alice@acme.example", "Department ML from Acme", "Groups dev oncall", "This browser", "At your last sign-in through it,",
		"department ML fills department", "email alice@acme.example your e-mail", "firstName Alice your first name", "groups dev, oncall your groups", "uid alice only recorded",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("the page does not show %q:\n%s", want, shown)
		}
	}
	tab.Press("form[action='/account/sessions/revoke'] button")
	tab.WaitText("The session has ended.")
	phone.Open(appURL + "/")
	phone.WaitURL(ssoURL + "/signin")
	tab.Open(appURL + "/")
	tab.WaitText("Hello Alice Adams")
}

// secondStep asks for one after SimpleSAMLphp.
var secondStep = options{spec: "provisioning: {secondFactor: Required}", saml: "logout: {state: Enabled}"}

// toSecondStep signs alice in at SimpleSAMLphp on the way to a page of the application.
func (r *rig) toSecondStep(tab *browser.Tab) {
	tab.Open(appURL + "/d/board?from=now-6h&to=now")
	r.passSignIn(tab, "alice@acme.example", "alice")
	tab.WaitURL(ssoURL + "/second-factor")
}

const board = appURL + "/d/board?from=now-6h&to=now"

// TestSecondStepAfterSimpleSAMLphp enrols an authenticator app without scripts. The page that was asked for is reached after it, and what single logout needs
// has survived too: signing out ends the session at SimpleSAMLphp.
func TestSecondStepAfterSimpleSAMLphp(t *testing.T) {
	r := newRig(t, secondStep)
	tab := r.browser()
	r.toSecondStep(tab)
	secret := r.enrolApp(tab)
	tab.WaitURL(board)
	tab.WaitText("Hello Alice Adams")

	tab.Open(ssoURL + "/account")
	tab.WaitText("Authenticator app")
	tab.WaitText("10 recovery codes left.")

	tab.Open(ssoURL + "/signout")
	tab.Press("form[action='/signout'] button")
	tab.WaitText("signed out")
	tab.Open(board)
	tab.WaitURL(ssoURL + "/signin")
	if tab.Has("#email") {
		tab.Type("#email", "alice@acme.example")
	}
	tab.Press("form button")
	tab.WaitFor("#username") // SimpleSAMLphp asks for the password again: its session has ended
	tab.SignInAtSimpleSAMLphp("alice", "alice-password")
	tab.WaitURL(ssoURL + "/second-factor")
	code, err := totp.GenerateCode(secret, time.Now().Add(30*time.Second)) // the code of now was used: the next one counts already
	if err != nil {
		t.Fatal(err)
	}
	tab.Type("#code", code)
	tab.Press("button.primary")
	tab.WaitURL(board)
	tab.WaitText("Hello Alice Adams")
}

// enrolApp sets up an authenticator app at the page of the second step, and goes on.
func (r *rig) enrolApp(tab *browser.Tab) (secret string) {
	r.t.Helper()
	tab.Press("form[action='/second-factor/app'] button")
	tab.WaitText("Scan this with your app")
	secret = tab.Evaluate(`new URL(document.querySelector("input[name=url]").value).searchParams.get("secret")`)
	code, err := totp.GenerateCode(secret, time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	tab.Type("#code", code)
	tab.Press("button.primary")
	tab.WaitText("Save your recovery codes")
	tab.Press("a.primary")
	return secret
}

// TestPasskeyAfterSimpleSAMLphp enrols a passkey and proves it at the next sign-in; the page that was asked for is reached both times.
func TestPasskeyAfterSimpleSAMLphp(t *testing.T) {
	r := newRig(t, secondStep)
	tab := r.browser()
	tab.Authenticator()
	r.toSecondStep(tab)
	tab.Press("form[data-passkey=enrol] button")
	tab.WaitText("Save your recovery codes")
	tab.Press("a.primary")
	tab.WaitURL(board)
	tab.WaitText("Hello Alice Adams")

	tab.Open(ssoURL + "/signout")
	tab.Press("form[action='/signout'] button")
	tab.WaitText("signed out")
	tab.Open(board)
	tab.WaitURL(ssoURL + "/signin")
	if tab.Has("#email") {
		tab.Type("#email", "alice@acme.example")
	}
	tab.Press("form button")
	tab.WaitFor("#username")
	tab.SignInAtSimpleSAMLphp("alice", "alice-password")
	tab.WaitURL(ssoURL + "/second-factor")
	tab.Press("form[data-passkey=verify] button")
	tab.WaitURL(board)
	tab.WaitText("Hello Alice Adams")
}
