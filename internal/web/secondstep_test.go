package web_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"sallyport.dev/sallyport/internal/snapshot"
)

func secondStep(s *snapshot.Snapshot) {
	for i := range s.Connections {
		s.Connections[i].Provisioning.RequireSecondFactor = true
	}
}

// field is the value of a hidden field.
func (a answer) field(t *testing.T, name string) string {
	t.Helper()
	found := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(a.body)
	if found == nil {
		t.Fatalf("no field %s in %s", name, a.body)
	}
	return html.UnescapeString(found[1])
}

var codePattern = regexp.MustCompile(`<li>([^<]+)</li>`)

func TestSecondStep(t *testing.T) {
	w := newWorld(t, secondStep)
	b := w.browser()
	// halfway signs in at the IdP: the session opens nothing but the second step, whatever is asked for.
	halfway := func(b *browser) {
		t.Helper()
		a := b.begin("alice@acme.example", appURL)
		if got := b.finish(a, w.respond(a, "alice@acme.example")); got.location != spURL+"/second-factor" {
			t.Fatalf("%d %q %s", got.status, got.location, got.body)
		}
		if b.check("").status != 401 || b.get("/account").location == "" || b.get("/signin?rd="+appURL).location != "/second-factor" {
			t.Fatal("half a sign-in opens something")
		}
	}
	halfway(b)
	if page := b.get("/second-factor"); !strings.Contains(page.body, "Set up a second factor") {
		t.Fatal(page.body)
	}
	app := b.post("/second-factor/app", "same-origin", nil)
	key, err := url.Parse(app.field(t, "url"))
	if err != nil || !strings.Contains(app.header.Get("Content-Security-Policy"), "img-src 'self' data:") {
		t.Fatal(err, app.header)
	}
	secret := key.Query().Get("secret")
	form := url.Values{"id": {app.field(t, "id")}, "url": {app.field(t, "url")}, "code": {"000000"}}
	// A mistake shows the same key again.
	if again := b.post("/second-factor/app/confirm", "same-origin", form); again.status != http.StatusUnprocessableEntity || again.field(t, "url") != app.field(t, "url") {
		t.Fatalf("%d", again.status)
	}
	code, _ := totp.GenerateCode(secret, time.Now())
	form.Set("code", code)
	application, _ := url.Parse(appURL)
	halfCookies := b.Jar.Cookies(application)
	codes := b.post("/second-factor/app/confirm", "same-origin", form)
	recovery := codePattern.FindAllStringSubmatch(codes.body, -1)
	if codes.status != 200 || len(recovery) != 10 || !strings.Contains(codes.body, html.EscapeString(appURL)) {
		t.Fatalf("%d %s", codes.status, codes.body)
	}
	// The return URL of the sign-in survived, and the session counts.
	if b.check("").status != 200 {
		t.Fatal("the session does not count")
	}
	// Whoever got hold of the cookie before the second step has nothing now.
	thief := w.browser()
	if thief.Jar.SetCookies(application, halfCookies); len(halfCookies) == 0 || thief.check("").status != 401 {
		t.Error("the cookie of before the second step opens something")
	}
	if page := b.get("/second-factor"); !strings.Contains(page.body, "10 left.") || !strings.Contains(page.body, "Authenticator app") {
		t.Error(page.body)
	}

	// The next browser proves it: a code that was used does not, a recovery code does, once.
	phone := w.browser()
	halfway(phone)
	if got := phone.post("/second-factor/app", "same-origin", nil); got.status != http.StatusForbidden {
		t.Errorf("half a sign-in enrolled another app: %d", got.status)
	}
	verify := func(b *browser, code string) answer {
		return b.post("/second-factor/verify", "same-origin", url.Values{"code": {code}})
	}
	if got := verify(phone, code); got.status != http.StatusUnprocessableEntity || phone.check("").status != 401 {
		t.Errorf("a used code: %d", got.status)
	}
	if got := phone.post("/second-factor/verify", "cross-site", url.Values{"code": {recovery[0][1]}}); got.status != http.StatusForbidden {
		t.Errorf("another site's form: %d", got.status)
	}
	if got := verify(phone, recovery[0][1]); got.status != http.StatusSeeOther || got.location != appURL || phone.check("").status != 200 {
		t.Fatalf("%d %q", got.status, got.location)
	}
	other := w.browser()
	halfway(other)
	if got := verify(other, recovery[0][1]); got.status != http.StatusUnprocessableEntity {
		t.Errorf("a used recovery code: %d", got.status)
	}
	for range 6 {
		verify(other, "000000")
	}
	if got := verify(other, recovery[1][1]); got.status != http.StatusTooManyRequests {
		t.Errorf("guessing goes on: %d", got.status)
	}

	// An administrator resets it: sessions end, and the next sign-in sets up anew.
	if status := w.api("POST", "/v1/users/alice@acme.example/reset-second-factor", "", nil); status != http.StatusNoContent {
		t.Fatal(status)
	}
	waitFor(t, "the sessions to end", func() bool { return b.check("").status == 401 && phone.check("").status == 401 })
	halfway(b)
	if page := b.get("/second-factor"); !strings.Contains(page.body, "Set up a second factor") {
		t.Error(page.body)
	}
}

// TestSecondStepWithoutKeys: what cannot be asked for is not passed over.
func TestSecondStepWithoutKeys(t *testing.T) {
	w := newWorld(t, secondStep)
	w.keys = nil
	w.restart()
	b := w.browser()
	a := b.begin("alice@acme.example", appURL)
	if got := b.finish(a, w.respond(a, "alice@acme.example")); got.status != http.StatusForbidden || b.check("").status != 401 {
		t.Errorf("%d", got.status)
	}
	if got := b.get("/second-factor"); got.status != http.StatusNotFound {
		t.Errorf("%d", got.status)
	}
}
