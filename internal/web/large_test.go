package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/saml/samltest"
)

// ofManyGroups is a response for somebody in 4,000 groups with long names, with more values than may be in a response by default.
func ofManyGroups(r *samltest.Response) {
	i := slices.IndexFunc(r.Attributes, func(a samltest.Attribute) bool { return a.Name == "groups" })
	r.Attributes[i].Values = nil
	for n := range 4000 {
		r.Attributes[i].Values = append(r.Attributes[i].Values, fmt.Sprintf("CN=%04d-%s,OU=Groups,DC=acme,DC=example", n, strings.Repeat("research-", 17)))
	}
	r.Attributes = append(r.Attributes, samltest.Attribute{Name: "entitlements", Values: make([]string, 2500)})
}

// reasonOf is what the debug entry says of a refusal.
func (w *world) reasonOf(refused answer) (reason, advice string) {
	w.t.Helper()
	var entry struct{ ErrorType, Advice string }
	w.api("GET", "/v1/debug/"+refused.reference(w.t), "", &entry)
	return entry.ErrorType, entry.Advice
}

// TestLargeResponsesAreReadWhereTheyAreAllowed: a response of 1.5 MiB is refused by default, with the field to raise, and accepted as soon as that is raised.
func TestLargeResponsesAreReadWhereTheyAreAllowed(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	a := b.begin("alice@acme.example", appURL)
	form := w.respond(a, "alice@acme.example", ofManyGroups)
	if size := len(form.Encode()); size < 3<<19 || size > 2<<20 {
		t.Fatalf("the response has %d bytes", size)
	}
	refused := b.finish(a, form)
	if reason, advice := w.reasonOf(refused); refused.status != http.StatusForbidden || reason != "limit_exceeded" || !strings.Contains(advice, "spec.responses.maxBytes") {
		t.Errorf("by default: %d %s %q", refused.status, reason, advice)
	}
	w.snapshot.ServiceProvider.MaxResponseBytes = 2 << 20
	w.apply(w.process)
	if got := b.finish(a, form); got.status != http.StatusSeeOther || got.location != appURL {
		t.Fatalf("when it is allowed: %d %q %s", got.status, got.location, got.body)
	}
	if got := b.check(""); strings.Count(got.header.Get("Remote-Groups"), "research-") != 4000*17 {
		t.Errorf("%d: %d bytes of groups", got.status, len(got.header.Get("Remote-Groups")))
	}
	w.snapshot.ServiceProvider.MaxResponseBytes = 0
	w.apply(w.process)
	again := b.begin("alice@acme.example", appURL)
	if got := b.finish(again, w.respond(again, "alice@acme.example", ofManyGroups)); got.status != http.StatusForbidden {
		t.Errorf("when it is not allowed any more: %d %q", got.status, got.location)
	}
}

// TestTheLargestBoundHolds: nothing is larger than 2 MiB, whatever the snapshot says.
func TestTheLargestBoundHolds(t *testing.T) {
	w := newWorld(t)
	for _, allowed := range []int{2 << 20, 1 << 30} {
		w.snapshot.ServiceProvider.MaxResponseBytes = allowed
		w.apply(w.process)
		b := w.browser()
		for size, want := range map[int]string{2 << 20: "malformed", 2<<20 + 1: "limit_exceeded"} {
			got := b.finish(asked{idp: "okta"}, url.Values{"SAMLResponse": {strings.Repeat("A", size-len("SAMLResponse="))}})
			if reason, _ := w.reasonOf(got); got.status != http.StatusForbidden || reason != want {
				t.Errorf("%d bytes, %d allowed: %d %s, want %s", size, allowed, got.status, reason, want)
			}
		}
	}
}

// TestATestRunReadsWhatASignInWould, of a connection that is disabled too.
func TestATestRunReadsWhatASignInWould(t *testing.T) {
	w := newWorld(t)
	w.connection("okta").Enabled = false
	w.snapshot.ServiceProvider.MaxResponseBytes = 2 << 20
	w.apply(w.process)
	var link manageapi.TrialLink
	if code := w.api("POST", "/v1/identity-providers/okta/test", "", &link); code != http.StatusOK {
		t.Fatal(code)
	}
	b := w.browser()
	a := b.atIdP(b.get(strings.TrimPrefix(link.URL, spURL)))
	if got := b.finish(a, w.respond(a, "alice@acme.example", ofManyGroups)); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
	var result manageapi.Trial
	if code := w.api("GET", "/v1/tests/"+link.ID, "", &result); code != http.StatusOK || !result.Passed {
		t.Errorf("%d passed %v: %v", code, result.Passed, result.Outcome)
	}
}
