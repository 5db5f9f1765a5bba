package web_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/identity/provision"
)

// breakGlass makes a link for alice and returns its path.
func (w *world) breakGlass() string {
	w.t.Helper()
	var link struct{ URL string }
	if status := w.api("POST", "/v1/users/alice@acme.example/break-glass", `{"reason":"incident 4711"}`, &link); status != http.StatusOK {
		w.t.Fatalf("no link: %d", status)
	}
	return strings.TrimPrefix(link.URL, spURL)
}

// TestEveryRefusedBreakGlassLinkIsFoundByItsReference: whoever is asked for help finds why in the debug log, the audit log and a metric, and nothing is there twice.
func TestEveryRefusedBreakGlassLinkIsFoundByItsReference(t *testing.T) {
	refusals := map[identity.Reason]struct {
		// before is what happens after the link was made; status is what the browser gets, and advice a part of what the administrator does.
		before func(w *world, link string)
		status int
		advice string
	}{
		identity.ReasonUserSuspended: {func(w *world, _ string) {
			w.api("POST", "/v1/users/alice@acme.example/suspend", `{"reason":"laptop stolen"}`, nil)
		}, http.StatusForbidden,
			"kubectl sso users resume alice@acme.example -n sso"},
		identity.ReasonUserNotFound: {func(w *world, _ string) { w.api("DELETE", "/v1/users/alice@acme.example", "", nil) }, http.StatusNotFound, "kubectl sso users list -n sso"},
		identity.ReasonIdPDisabled:  {func(w *world, _ string) { w.connection("okta").Enabled = false }, http.StatusForbidden, "spec.state of idp/okta"},
		identity.ReasonDomainNotBound: {func(w *world, _ string) { w.snapshot.Domains[0].Connection = "entra" }, http.StatusForbidden,
			"Bind it to idp/okta again"},
		identity.ReasonSecondFactorFailed: {func(w *world, _ string) {
			w.keys = nil
			w.restart()
			secondStep(&w.snapshot)
		}, http.StatusForbidden, "--second-factor-key-file"},
		identity.ReasonLinkNotValid: {func(w *world, link string) { w.browser().post(link, "same-origin", nil) }, http.StatusNotFound, "kubectl sso break-glass ADDRESS --reason TEXT -n sso"},
	}
	for _, reason := range provision.BreakGlassReasons() {
		t.Run(string(reason), func(t *testing.T) {
			want, known := refusals[reason]
			if !known {
				t.Fatal("nobody tries it")
			}
			w := newWorld(t)
			w.browser().signIn("alice@acme.example")
			link := w.breakGlass()
			want.before(w, link)
			w.apply(w.process)
			got := w.browser().post(link, "same-origin", nil)
			if got.status != want.status {
				t.Fatalf("%d %s", got.status, got.body)
			}
			if found, advice := w.reasonOf(got); found != string(reason) || !strings.Contains(advice, want.advice) {
				t.Errorf("the debug log says %q %q", found, advice)
			}
			w.recordedOnce(got.reference(t), string(reason))
			var text string
			w.apiAs("", "GET", "/metrics", "", &text)
			if metric := `sso_break_glass_uses_total{outcome="failure",reason="` + string(reason) + `"} 1` + "\n"; !strings.Contains(text, metric) {
				t.Errorf("no %s", metric)
			}
			// It signs nobody in later either.
			if again := w.browser().post(link, "same-origin", nil); again.status != http.StatusNotFound {
				t.Errorf("the link was refused and still is one: %d", again.status)
			}
		})
	}
}

// recordedOnce finds the one audit record of a reference.
func (w *world) recordedOnce(reference, reason string) {
	w.t.Helper()
	var lines string
	w.api("GET", "/v1/audit?type=sso_break_glass&request="+reference, "", &lines)
	var record struct {
		Type, Outcome, Reason string
		Details               struct{ Step string }
	}
	if err := json.Unmarshal([]byte(lines), &record); err != nil {
		w.t.Fatalf("not one record: %v in %q", err, lines)
	}
	if record.Type != "sso_break_glass" || record.Outcome != "denied" || record.Reason != reason || record.Details.Step != "refused" {
		w.t.Errorf("recorded is %s", lines)
	}
}

// TestStrangersFillNoLogWithLinks: anybody can ask for a link that is none. Each is counted, and few are recorded one by one.
func TestStrangersFillNoLogWithLinks(t *testing.T) {
	w := newWorld(t)
	const requests = 600
	request := func() *http.Request {
		r, err := http.NewRequest("GET", spURL+"/signin/break-glass/made-up", nil)
		if err != nil {
			t.Error(err)
		}
		return r
	}
	w.flood(requests, request, http.StatusNotFound, func() {})
	w.process.stop() // what was counted is written
	single, counted := 0, 0
	for line := range strings.Lines(w.process.audit.String()) {
		var r struct {
			Type, Reason string
			Details      struct {
				Type  string
				Count int
			}
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		switch {
		case r.Reason != "link_not_valid":
		case r.Type == "sso_break_glass":
			single++
		case r.Details.Type == "sso_break_glass":
			counted += r.Details.Count
		}
	}
	if single < 100 || single > 250 || single+counted != requests {
		t.Errorf("%d of %d are recorded one by one, and %d counted", single, requests, counted)
	}
}
