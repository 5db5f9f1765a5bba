package browser

import (
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"sallyport.dev/sallyport/test/internal/browser"
)

// toSecondStep signs in at the IdP and arrives at the second step.
func (r *rig) toSecondStep(tab *browser.Tab) {
	tab.Open(signInURL("login_hint=alice%40acme.example&"))
	tab.Press("#login")
	tab.WaitURL(ssoURL + "/second-factor")
}

func TestSecondStepWithAnApp(t *testing.T) {
	r := newRig(t)
	r.requireSecondStep()
	tab := browser.New(t, r.hosts)
	r.toSecondStep(tab)
	r.look(tab, "second-enrol")
	tab.Press("form[action='/second-factor/app'] button")
	tab.WaitText("Scan this with your app")
	r.look(tab, "second-app")
	secret := tab.Evaluate(`new URL(document.querySelector("input[name=url]").value).searchParams.get("secret")`)
	code, err := totp.GenerateCode(secret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	tab.Type("#code", code)
	tab.Press("button.primary")
	tab.WaitText("Save your recovery codes")
	if lines := tab.Evaluate(`String(Math.max(...[...document.querySelectorAll(".codes li")].map(e => { const r = document.createRange(); r.selectNodeContents(e); return r.getClientRects().length })))`); lines != "1" {
		t.Errorf("a recovery code is broken into %s lines", lines)
	}
	r.look(tab, "second-codes")
	tab.Press("a.primary")
	tab.WaitText("Dashboard of alice@acme.example at /d/1")
	tab.Open(ssoURL + "/second-factor")
	tab.WaitText("10 left.")
	r.look(tab, "second-manage")

	next := browser.New(t, r.hosts)
	r.toSecondStep(next)
	if next.Has("#code[inputmode=numeric]") {
		t.Error("a telephone shows digits alone, and a recovery code has letters")
	}
	next.Type("#code", "123456")
	next.Press("button.primary")
	next.WaitText("That code is not right.")
	r.look(next, "second-verify")
}

func TestSecondStepWithAPasskey(t *testing.T) {
	r := newRig(t)
	r.requireSecondStep()
	tab := browser.New(t, r.hosts)
	tab.Authenticator()
	r.toSecondStep(tab)
	tab.Press("form[data-passkey=enrol] button")
	tab.WaitText("Save your recovery codes")
	tab.Press("a.primary")
	tab.WaitText("Dashboard of alice@acme.example at /d/1")

	// The same device proves it at the next sign-in.
	tab.Open(ssoURL + "/signout")
	tab.Press("button.primary")
	tab.WaitText("You are signed out")
	r.toSecondStep(tab)
	tab.Press("form[data-passkey=verify] button")
	tab.WaitText("Dashboard of alice@acme.example at /d/1")
}
