package web_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
)

func TestManagementNeedsItsToken(t *testing.T) {
	w := newWorld(t)
	for _, bearer := range []string{"", "wrong", token + "x", token[:len(token)-1]} {
		for _, path := range []string{"/v1/revision", "/v1/users", "/v1/nothing", "/v1/"} {
			var body struct{ Error string }
			if code := w.apiAs(bearer, "GET", path, "", &body); code != http.StatusUnauthorized || !strings.Contains(body.Error, "<service provider>-management") {
				t.Errorf("%q %s: %d %q", bearer, path, code, body.Error)
			}
		}
	}
	var found string
	w.api("GET", "/v1/audit?type=management_denied", "", &found)
	if !strings.Contains(found, `"management_denied"`) || strings.Contains(found, token) {
		t.Errorf("refused requests were not recorded: %s", found)
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		if code := w.apiAs("", "GET", path, "", nil); code != 200 {
			t.Errorf("%s: %d", path, code)
		}
	}
	// The management port is not the public one.
	if got := w.browser().get("/v1/revision"); got.status != http.StatusNotFound {
		t.Errorf("%d", got.status)
	}
}

func TestRevisionIsSaidWhenItIsServed(t *testing.T) {
	w := newWorld(t)
	var now struct {
		Revision string
		Ready    bool
	}
	w.api("GET", "/v1/revision", "", &now)
	if now.Revision == "" || !now.Ready {
		t.Fatalf("%+v", now)
	}
	before := now.Revision
	w.connection("okta").DisplayName = "Okta again"
	done := make(chan string)
	encoded, err := snapshot.Encode(w.snapshot)
	if err != nil {
		t.Fatal(err)
	}
	want := encoded.Revision
	go func() {
		var then struct{ Revision string }
		w.api("GET", "/v1/revision?timeout=10s&wait="+want, "", &then)
		done <- then.Revision
	}()
	w.apply(w.process)
	if got := <-done; got != want || got == before {
		t.Errorf("%s, want %s", got, want)
	}
	var same struct{ Revision string }
	if w.api("GET", "/v1/revision?timeout=10ms&wait=nothing", "", &same); same.Revision == "" {
		t.Error("nothing after the timeout")
	}
	if code := w.api("GET", "/v1/revision?wait=x&timeout=soon", "", nil); code != http.StatusBadRequest {
		t.Error(code)
	}
}

func TestDrainFailsReadinessAndServesOn(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice@acme.example")
	w.process.web.Drain()
	if code := w.apiAs("", "GET", "/readyz", "", nil); code != http.StatusServiceUnavailable {
		t.Errorf("ready while draining: %d", code)
	}
	if code := w.apiAs("", "GET", "/healthz", "", nil); code != 200 {
		t.Errorf("%d", code)
	}
	if got := b.check(""); got.status != 200 {
		t.Errorf("%d", got.status)
	}
	b.signIn("bob@acme.example")
}

func TestUsersSessionsAndDebug(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice@acme.example")
	a := w.browser()
	bad := a.begin("bob@acme.example", appURL)
	refused := a.finish(bad, w.respond(bad, "bob@acme.example", func(r *samltest.Response) { r.Audience = "https://other.example" }))

	var users struct {
		Items []struct{ ID, Email, IdP string }
	}
	if w.api("GET", "/v1/users?prefix=ALICE", "", &users); len(users.Items) != 1 || users.Items[0].IdP != "okta" {
		t.Fatalf("%+v", users)
	}
	var user struct {
		Groups      []struct{ Name, IdP string }
		Profile     map[string]struct{ Value string }
		Connections []struct{ Attributes map[string][]string }
		Sessions    []struct{ ID string }
	}
	if w.api("GET", "/v1/users/Alice@acme.example", "", &user); len(user.Groups) != 2 || user.Profile["department"].Value != "ML" || len(user.Sessions) != 1 || user.Connections[0].Attributes["email"] == nil {
		t.Fatalf("%+v", user)
	}
	var stats struct{ Users, ActiveSessions int }
	if w.api("GET", "/v1/stats", "", &stats); stats.Users != 1 || stats.ActiveSessions != 1 {
		t.Errorf("%+v", stats)
	}
	var debug struct {
		Items []struct{ ErrorType, Email, Sentence string }
	}
	if w.api("GET", "/v1/debug?idp=okta", "", &debug); len(debug.Items) != 1 || debug.Items[0].ErrorType != "audience_mismatch" || debug.Items[0].Email != "bob@acme.example" {
		t.Errorf("%+v", debug)
	}
	var entry struct{ XML, Sentence string }
	w.api("GET", "/v1/debug/"+refused.reference(t)+"?xml=true", "", &entry)
	if !strings.Contains(entry.XML, "https://other.example") || !strings.Contains(entry.Sentence, "https://other.example") {
		t.Errorf("%+v", entry)
	}
	var viewed string
	if w.api("GET", "/v1/audit?type=debug_entry_viewed", "", &viewed); !strings.Contains(viewed, refused.reference(t)) {
		t.Error("the look was not recorded")
	}
	for body, want := range map[string]int{`{}`: 400, `{"session":"zz"}`: 400, `{"sesion":"x"}`: 400, `{"user":"nobody@acme.example"}`: 404, `{"session":"` + user.Sessions[0].ID + `"}`: 200} {
		if code := w.api("POST", "/v1/sessions/revoke", body, nil); code != want {
			t.Errorf("%s: %d, want %d", body, code, want)
		}
	}
	waitFor(t, "the session to end", func() bool { return b.check("").status == 401 })
	for _, path := range []string{"/v1/audit?type=nonsense", "/v1/audit?since=yesterday", "/v1/audit?outcome=maybe", "/v1/users?limit=0", "/v1/audit/chain", "/v1/users/a@b@c"} {
		var body struct{ Error string }
		if code := w.api("GET", path, "", &body); code != http.StatusBadRequest || body.Error == "" {
			t.Errorf("%s: %d %q", path, code, body.Error)
		}
	}
	if code := w.api("DELETE", "/v1/users/alice@acme.example", "", nil); code != http.StatusNoContent {
		t.Error(code)
	}
	if code := w.api("GET", "/v1/users/alice@acme.example", "", nil); code != http.StatusNotFound {
		t.Error(code)
	}
}

func TestAuditPagesAndChains(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.browser().signIn("alice@acme.example")
	}
	var all, page string
	w.api("GET", "/v1/audit?actor=alice@acme.example", "", &all)
	count := strings.Count(all, "\n")
	if count < 3 {
		t.Fatalf("%d records", count)
	}
	cursor, seen := "", 0
	for {
		r, _ := http.NewRequest("GET", w.process.management.URL+"/v1/audit?actor=alice@acme.example&limit=1&cursor="+cursor, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var line map[string]any
		if err := json.NewDecoder(response.Body).Decode(&line); err == nil {
			seen++
		}
		response.Body.Close()
		if cursor = response.Header.Get("X-Next-Cursor"); cursor == "" || seen > count {
			break
		}
	}
	if seen != count {
		t.Errorf("%d records in pages, %d in one", seen, count)
	}
	var heads struct {
		Heads []struct {
			Writer   string
			Sequence uint64
		}
	}
	w.api("GET", "/v1/audit/heads", "", &heads)
	if len(heads.Heads) == 0 {
		t.Fatal("no chain")
	}
	w.api("GET", "/v1/audit/chain?writer="+heads.Heads[0].Writer+"&after=0&limit=5", "", &page)
	if !strings.Contains(page, `"sequence":1`) {
		t.Error(page)
	}
	if code := w.api("GET", "/v1/audit?cursor=nonsense", "", nil); code != http.StatusGone {
		t.Error(code)
	}
}

func TestRemovingAnIdPEndsItsSessions(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice@acme.example")
	var result struct{ Sessions int }
	if code := w.api("POST", "/v1/identity-providers/uid-okta/remove", `{"name":"okta","namespace":"sso","scrub":true}`, &result); code != 200 || result.Sessions != 1 {
		t.Fatalf("%d %+v", code, result)
	}
	waitFor(t, "the session to end", func() bool { return b.check("").status == 401 })
	// The operator may have to ask again: the answer is the same, and nothing more happens.
	if code := w.api("POST", "/v1/identity-providers/uid-okta/remove", `{"name":"okta","namespace":"sso","scrub":true}`, &result); code != 200 || result.Sessions != 1 {
		t.Errorf("%d %+v", code, result)
	}
}

func TestMetricsAreThere(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice@acme.example")
	b.check("")
	bob := w.browser()
	bad := bob.begin("bob@acme.example", appURL)
	bob.finish(bad, w.respond(bad, "bob@acme.example", func(r *samltest.Response) { r.Now = r.Now.Add(-24 * time.Hour) }))
	var text string
	w.apiAs("", "GET", "/metrics", "", &text)
	for _, want := range []string{
		`sso_sign_ins_total{idp="okta",outcome="success",reason=""} 1`, `sso_sign_ins_total{idp="okta",outcome="failure",reason="`,
		`sso_checks_total{endpoint="nginx",result="allowed"} 1`, `sso_connections{state="usable"} 2`, `sso_snapshot_info{revision="`, "sso_session_cache_sessions 1",
		"sso_response_verification_duration_seconds_count 2", `sso_http_request_duration_seconds_count{route="POST /saml/{idp}/acs",status="3xx"} 1`, "sso_build_info",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, "alice") {
		t.Error("a personal value in the metrics")
	}
}
