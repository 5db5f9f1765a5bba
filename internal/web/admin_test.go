package web_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
)

// newAdminWorld has administrators: the group admins of okta.
func newAdminWorld(t *testing.T) *world {
	return newWorld(t, func(s *snapshot.Snapshot) {
		s.ServiceProvider.AdminGroups, s.ServiceProvider.AdminIdentityProviders = []string{"admins"}, []string{"okta"}
	})
}

// signInAs signs somebody in with these groups.
func (b *browser) signInAs(email string, groups ...string) {
	b.t.Helper()
	a := b.begin(email, "")
	got := b.finish(a, b.w.respond(a, email, func(r *samltest.Response) { r.Attributes[3].Values = groups }))
	if got.status != http.StatusSeeOther {
		b.t.Fatalf("%d %s", got.status, got.body)
	}
}

func TestTheAdminViewIsForAdministrators(t *testing.T) {
	w := newAdminWorld(t)
	stranger := w.browser()
	if got := stranger.get("/admin/people?prefix=a"); got.status != http.StatusSeeOther || got.location != "/signin?rd=%2Fadmin%2Fpeople%3Fprefix%3Da" {
		t.Errorf("%d %s", got.status, got.location)
	}
	alice := w.browser()
	alice.signInAs("alice@acme.example", "dev")
	// A group of the same name, from an IdP whose word on it does not count.
	mallory := w.browser()
	mallory.signInAs("mallory@victim.example", "admins")
	for name, b := range map[string]*browser{"no administrator": alice, "another IdP's group": mallory} {
		for _, path := range []string{"/admin", "/admin/people", "/admin/audit", "/admin/audit/export", "/admin/failures", "/admin/sessions"} {
			if got := b.get(path); got.status != http.StatusForbidden || strings.Contains(got.body, "acme.example<") {
				t.Errorf("%s: %s: %d", name, path, got.status)
			}
		}
		if got := b.post("/admin/people/alice@acme.example/suspend", "same-origin", url.Values{}); got.status != http.StatusForbidden {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	var records string
	w.api("GET", "/v1/audit?type=user_access_denied", "", &records)
	if !strings.Contains(records, "not_an_administrator") {
		t.Errorf("%s", records)
	}
	// Without administrators there is nobody, whatever the groups.
	w.snapshot.ServiceProvider.AdminGroups, w.snapshot.ServiceProvider.AdminIdentityProviders = nil, nil
	w.apply(w.process)
	root := w.browser()
	root.signInAs("root@acme.example", "admins")
	if got := root.get("/admin"); got.status != http.StatusForbidden {
		t.Errorf("%d", got.status)
	}
}

var personLink = regexp.MustCompile(`href="(/admin/people/[^"]+)">alice@acme.example`)

func TestAdministratorsSeeAndChange(t *testing.T) {
	w := newAdminWorld(t)
	alice := w.browser()
	alice.signInAs("alice@acme.example", "dev")
	bad := w.browser()
	a := bad.begin("bob@acme.example", "")
	refused := bad.finish(a, w.respond(a, "bob@acme.example", func(r *samltest.Response) { r.Audience = "https://other.example" }))
	err := w.process.store.WriteAudit(t.Context(), audit.Record{Type: audit.TypeRefusalsCounted, Outcome: audit.OutcomeFailure, Reason: "signature_invalid", Target: audit.Target{Kind: "IdentityProvider", Name: "okta"},
		Details: audit.RefusalCount{Type: audit.TypeSAMLAssertionFailed.String(), IdP: "okta", Count: 4711}})
	if err != nil {
		t.Fatal(err)
	}
	root := w.browser()
	root.signInAs("root@acme.example", "admins")
	page := func(path string, parts ...string) string {
		t.Helper()
		got := root.get(path)
		if got.status != 200 {
			t.Fatalf("%s: %d %s", path, got.status, got.body)
		}
		for _, part := range parts {
			if !strings.Contains(got.body, part) {
				t.Errorf("%s: no %q in %s", path, part, got.body)
			}
		}
		return got.body
	}
	page("/admin", "2 sign-ins and 4712 refused in the last 24 hours", "<rect class=\"good\"", "<rect class=\"bad\"", "Okta", "Serving", "acme.example", "audience mismatch", "The IdP&#39;s certificate")
	page("/admin/failures?idp=okta", "bob@acme.example (claimed)", "https://other.example")
	page("/admin/failures/"+refused.reference(t), "anybody may have written them", "Expected")
	page("/admin/audit?type=refusals_counted", "signature invalid, 4711 more")
	page("/admin/audit?type=user_created_jit", "user_created_jit", "alice@acme.example", "/admin/audit/export?days=7&amp;type=user_created_jit")
	if got := root.get("/admin/audit/export?type=user_created_jit"); got.status != 200 || strings.Count(got.body, "\n") != 2 || !strings.Contains(got.header.Get("Content-Disposition"), "audit.ndjson") {
		t.Errorf("%d %s", got.status, got.body)
	}
	page("/admin/sessions", "alice@acme.example", "root@acme.example")
	found := personLink.FindStringSubmatch(page("/admin/people?prefix=ali", "alice@acme.example"))
	if found == nil {
		t.Fatal("no link to the person")
	}
	person := found[1]
	page(person, "dev", "from Okta", "What Okta sent", "End every session")

	// Asking changes nothing, another site changes nothing; the answer does.
	page(person+"/suspend", "Suspend alice@acme.example?", "recorded with your name")
	if got := root.post(person+"/suspend", "cross-site", url.Values{}); got.status != http.StatusForbidden {
		t.Errorf("%d", got.status)
	}
	if got := alice.get("/account"); got.status != 200 {
		t.Fatalf("suspended without an answer: %d", got.status)
	}
	if got := root.post(person+"/suspend", "same-origin", url.Values{"reason": {"laptop stolen"}}); got.status != http.StatusSeeOther {
		t.Fatalf("%d %s", got.status, got.body)
	}
	page(person+"?done=suspend", "The user is suspended", "laptop stolen")
	if got := alice.get("/account"); got.status == 200 {
		t.Error("the session of a suspended person is open")
	}
	root.post(person+"/resume", "same-origin", url.Values{})
	alice.signInAs("alice@acme.example", "dev")
	root.post(person+"/revoke", "same-origin", url.Values{})
	if got := alice.get("/account"); got.status == 200 {
		t.Error("the revoked session is open")
	}
	if got := root.post(person+"/fire", "same-origin", url.Values{}); got.status != http.StatusNotFound {
		t.Errorf("%d", got.status)
	}
	root.post(person+"/delete", "same-origin", url.Values{})
	if got := root.get(person); got.status != http.StatusNotFound {
		t.Errorf("%d", got.status)
	}
	var records string
	w.api("GET", "/v1/audit?type=user_suspended,user_resumed,user_deleted,session_revoked,audit_queried,debug_entry_viewed&actor=root@acme.example", "", &records)
	for _, kind := range []string{"user_suspended", "user_resumed", "user_deleted", "session_revoked", "audit_queried", "debug_entry_viewed"} {
		if !strings.Contains(records, `"`+kind+`"`) {
			t.Errorf("no %s of the administrator in %s", kind, records)
		}
	}
}
