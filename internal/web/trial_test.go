package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/web/trial"
)

// TestATestLinkLeavesSoMuchAndNoMore, whoever has it and however often they open it, with good responses and with bad ones.
func TestATestLinkLeavesSoMuchAndNoMore(t *testing.T) {
	w := newWorld(t)
	var link manageapi.TrialLink
	if code := w.api("POST", "/v1/identity-providers/okta/test", "", &link); code != http.StatusOK {
		t.Fatal(code)
	}
	path := strings.TrimPrefix(link.URL, spURL)
	for run := range trial.Runs {
		b := w.browser()
		a := b.atIdP(b.get(path))
		response := w.respond(a, "alice@acme.example")
		if run%2 == 0 {
			response = url.Values{"SAMLResponse": {"%%%"}, "RelayState": {a.request.RelayState}}
		}
		if got := b.finish(a, response); got.status != http.StatusOK {
			t.Fatalf("run %d: %d %s", run, got.status, got.body)
		}
	}
	if got := w.browser().get(path); got.status != http.StatusNotFound || !strings.Contains(got.body, "This test has ended") {
		t.Errorf("opened once more: %d %s", got.status, got.body)
	}
	var last manageapi.Trial
	if code := w.api("GET", "/v1/tests/"+link.ID, "", &last); code != http.StatusOK || !last.Passed {
		t.Errorf("who made the link is told %d %+v", code, last)
	}
	for table, want := range map[string]int{
		"users": 0, "links": 0, "sessions": 0, "groups_of_idps": 0, "memberships": 0, "profiles": 0,
		"pending_requests": 2, // the link and the last result
		"seen_assertions":  trial.Runs / 2,
		"audit_records WHERE type = 'saml_idp_tested'":    trial.Runs,
		"audit_records WHERE type LIKE 'saml_assertion%'": 0,
	} {
		if n := w.rows("SELECT COUNT(*) FROM " + table); n != want {
			t.Errorf("%d %s, want %d", n, table, want)
		}
	}
	if n := w.rows("SELECT COUNT(*) FROM debug_entries"); n > trial.Runs {
		t.Errorf("%d debug entries", n)
	}
}
