package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
)

// logoutOf is a LogoutRequest of the IdP for a person.
func (w *world) logoutOf(email string) samltest.Logout {
	return samltest.Logout{Now: time.Now(), Destination: w.connection("okta").SLOURL, ID: samltest.NewID(), NameID: "id-of-" + email, NameIDFormat: identity.FormatPersistent}
}

func TestSignOutGoesToTheIdPAndBack(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice@acme.example")
	sent := b.atIdP(b.post("/signout", "same-origin", url.Values{"rd": {"https://grafana.example.com/bye"}}))
	if sent.request.Kind != "LogoutRequest" || sent.request.NameID != "id-of-alice@acme.example" || len(sent.request.SessionIndexes) != 1 {
		t.Fatalf("%+v", sent.request)
	}
	// The local session has ended before the IdP says anything.
	if b.check("").status != 401 {
		t.Fatal("still signed in")
	}
	idp := w.idps["okta"]
	answer := samltest.Logout{Now: time.Now(), Destination: w.connection("okta").SLOURL, ID: samltest.NewID(), InResponseTo: sent.request.ID, Status: "urn:oasis:names:tc:SAML:2.0:status:Success"}
	query, err := idp.Query(idp.LogoutResponse(answer), answer)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.get("/saml/okta/slo?" + query); got.status != http.StatusSeeOther || got.location != "https://grafana.example.com/bye" {
		t.Errorf("%d %q %s", got.status, got.location, got.body)
	}
	// A second copy answers nothing that was asked: the person is told that the IdP may not have signed them out.
	got := b.get("/saml/okta/slo?" + query)
	if got.location != "/signed-out?partial=okta" || !strings.Contains(b.get(got.location).body, "Okta may still have a session of its own") {
		t.Errorf("%d %q", got.status, got.location)
	}
}

func TestLogoutRequestEndsSessionsEverywhere(t *testing.T) {
	for _, binding := range []string{"redirect", "POST"} {
		w := newWorld(t)
		one, two, bob := w.browser(), w.browser(), w.browser()
		one.signIn("alice@acme.example")
		two.signIn("alice@acme.example")
		bob.signIn("bob@acme.example")
		idp, l := w.idps["okta"], w.logoutOf("alice@acme.example")
		l.RelayState = "from the IdP"
		send := func(l samltest.Logout) answer {
			if binding == "redirect" {
				query, err := idp.Query(idp.LogoutRequest(l), l)
				if err != nil {
					t.Fatal(err)
				}
				return one.get("/saml/okta/slo?" + query)
			}
			form, err := idp.Post(idp.LogoutRequest(l), l)
			if err != nil {
				t.Fatal(err)
			}
			return one.post("/saml/okta/slo", "cross-site", url.Values{"SAMLRequest": {form}, "RelayState": {l.RelayState}})
		}
		forged := l
		forged.Unsigned, forged.ID = true, samltest.NewID()
		elsewhere := l
		elsewhere.Destination, elsewhere.ID = "https://other.example/slo", samltest.NewID()
		for name, bad := range map[string]samltest.Logout{"unsigned": forged, "another destination": elsewhere} {
			if got := send(bad); got.status != http.StatusForbidden || one.check("").status != 200 || two.check("").status != 200 {
				t.Fatalf("%s, %s: %d", binding, name, got.status)
			}
		}
		got := send(l)
		if one.check("").status != 401 || two.check("").status != 401 || bob.check("").status != 200 {
			t.Fatalf("%s: one %d two %d bob %d", binding, one.check("").status, two.check("").status, bob.check("").status)
		}
		if binding == "redirect" {
			if a := one.atIdP(got); a.request.Kind != "LogoutResponse" || a.request.InResponseTo != l.ID || a.request.RelayState != l.RelayState {
				t.Errorf("%+v", a.request)
			}
		} else if got.status != 200 || !strings.Contains(got.body, `name="SAMLResponse"`) || !strings.Contains(got.body, `action="https://okta.idp.example/slo"`) {
			t.Errorf("%d %s", got.status, got.body)
		}
		// A copy of it ends nothing: the person signed in again since.
		one.signIn("alice@acme.example")
		if got := send(l); got.status != http.StatusForbidden || one.check("").status != 200 {
			t.Errorf("%s: a replayed request ended a session: %d", binding, got.status)
		}
	}
}

func TestSignOutWithoutSingleLogout(t *testing.T) {
	w := newWorld(t, func(s *snapshot.Snapshot) {
		for i := range s.Connections {
			s.Connections[i].Logout.Enabled = false
		}
	})
	b := w.browser()
	b.signIn("alice@acme.example")
	got := b.post("/signout", "same-origin", nil)
	if got.location != "/signed-out" || b.check("").status != 401 {
		t.Errorf("%d %q", got.status, got.location)
	}
	if page := b.get("/signed-out"); page.status != 200 || !strings.Contains(page.body, "You are signed out") {
		t.Errorf("%d", page.status)
	}
	// Signing out twice, and without ever having signed in, is no error.
	if got := b.post("/signout", "same-origin", nil); got.location != "/signed-out" {
		t.Errorf("%d %q", got.status, got.location)
	}
}
