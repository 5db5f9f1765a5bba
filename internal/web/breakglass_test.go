package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"sallyport.dev/sallyport/internal/snapshot"
)

// TestABreakGlassLinkIsNotTheOnlyFactorOfSomebodyWhoHasASecond: their IdP, which asked for it, is gone. That is what links are for, so a link that got into
// somebody else's hands must not be enough.
func TestABreakGlassLinkIsNotTheOnlyFactorOfSomebodyWhoHasASecond(t *testing.T) {
	w := newWorld(t, secondStep)
	b := w.browser()
	a := b.begin("alice@acme.example", appURL)
	b.finish(a, w.respond(a, "alice@acme.example"))
	b.enrol()
	withOkta := w.snapshot
	w.snapshot.Connections = []snapshot.Connection{*w.connection("entra")}
	w.snapshot.Domains = w.snapshot.Domains[1:]
	w.apply(w.process)

	use := func() answer {
		t.Helper()
		var link struct{ URL string }
		if status := w.api("POST", "/v1/users/alice@acme.example/break-glass", `{"reason":"the IdP is gone"}`, &link); status != http.StatusOK {
			t.Fatalf("no link: %d", status)
		}
		return w.browser().post(strings.TrimPrefix(link.URL, spURL), "same-origin", nil)
	}
	if got := use(); got.location != spURL+"/second-factor" {
		t.Errorf("the link leads to %q, want the second factor", got.location)
	}
	// With an IdP that asks for none, it is as before.
	w.snapshot = withOkta
	w.connection("okta").Provisioning.RequireSecondFactor = false
	w.apply(w.process)
	if got := use(); got.location != spURL+"/account" {
		t.Errorf("the link leads to %q, want the account", got.location)
	}
}

// enrol sets an authenticator app up, in the middle of a sign-in.
func (b *browser) enrol() {
	b.t.Helper()
	app := b.post("/second-factor/app", "same-origin", nil)
	key, err := url.Parse(app.field(b.t, "url"))
	if err != nil {
		b.t.Fatal(err)
	}
	code, err := totp.GenerateCode(key.Query().Get("secret"), time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	if got := b.post("/second-factor/app/confirm", "same-origin", url.Values{"id": {app.field(b.t, "id")}, "url": {app.field(b.t, "url")}, "code": {code}}); got.status != http.StatusOK {
		b.t.Fatalf("no second factor: %d", got.status)
	}
}
