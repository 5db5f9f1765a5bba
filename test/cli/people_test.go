package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/saml/samltest"
)

func TestPeopleAndTheirSessions(t *testing.T) {
	w := newWorld(t)
	alice := w.browser()
	if got := alice.signIn("alice@acme.example"); got.status != 303 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	w.browser().signIn("bob@acme.example", func(r *samltest.Response) { r.Attributes[5].Values = []string{"42\u009b2J"} })

	contains(t, w.must(0, "users", "list"), "EMAIL", "alice@acme.example", "Alice Adams", "okta", "active")
	// What an IdP sends does not steer the terminal.
	if shown := w.must(0, "users", "show", "bob@acme.example"); !strings.Contains(shown, `shoeSize = 42\u009b2J`) {
		t.Errorf("%q", shown)
	}
	if got := w.must(0, "users", "list", "ali"); strings.Contains(got, "bob@") {
		t.Error(got)
	}
	if got := w.sso("users", "list", "--limit", "1"); got.code != 0 || strings.Contains(got.stdout, "bob@") || !strings.Contains(got.stderr, "--limit 0 shows all") {
		t.Errorf("%+v", got)
	}
	var all struct{ Items []struct{ Email string } }
	if err := json.Unmarshal([]byte(w.must(0, "users", "list", "-o", "json")), &all); err != nil || len(all.Items) != 2 {
		t.Errorf("%+v %v", all, err)
	}
	contains(t, w.must(0, "users", "show", "Alice@acme.example"), "E-mail         alice@acme.example", "Group          dev (okta)", "Group          ml-team (okta)", "Profile        department = ML (idp)", "shoeSize = 42", "Session")
	contains(t, w.must(0, "users", "show", "alice@acme.example", "-o", "json"), `"email": "alice@acme.example"`)

	contains(t, w.must(0, "users", "set", "alice@acme.example", "jobTitle=Chief Engineer", "department= "), "kubectl sso users show alice@acme.example -n "+w.ns)
	if shown := w.must(0, "users", "show", "alice@acme.example"); !strings.Contains(shown, "jobTitle = Chief Engineer (admin)") || strings.Contains(shown, "department = ML (idp)") {
		t.Error(shown)
	}
	if page := alice.get("/account"); !strings.Contains(page.body, "Chief Engineer") || !strings.Contains(page.body, "set by your administrator") {
		t.Error(page.body)
	}
	w.fails([]string{"users", "set", "alice@acme.example"}, "at least one NAME=VALUE")
	w.fails([]string{"users", "set", "alice@acme.example", "jobTitle"}, `"jobTitle" is not NAME=VALUE`)
	w.fails([]string{"users", "set", "alice@acme.example", "shoesize=42"}, `"shoesize" is neither a standard attribute`, "spec.profileAttributes")
	w.fails([]string{"users", "set", "alice@acme.example", "country=XX"}, "country: not a two-letter code")
	w.fails([]string{"users", "set", "nobody@acme.example", "city=Oxford"}, "there is no user nobody@acme.example")

	contains(t, w.must(0, "users", "suspend", "alice@acme.example", "--reason", "laptop stolen"), "kubectl sso users resume alice@acme.example -n "+w.ns)
	contains(t, w.must(0, "users", "list", "--suspended"), "alice@acme.example", "suspended 20")
	contains(t, w.must(0, "users", "show", "alice@acme.example"), "laptop stolen")
	if got := alice.get("/account"); got.status == 200 {
		t.Error("a suspended person's session is open")
	}
	contains(t, w.must(0, "users", "resume", "alice@acme.example"), "can sign in again")
	alice.signIn("alice@acme.example")

	sessions := w.must(0, "sessions", "list", "--user", "alice@acme.example")
	contains(t, sessions, "ID", "alice@acme.example", "okta", "active")
	id := strings.Fields(strings.Split(sessions, "\n")[1])[0]
	contains(t, w.must(0, "sessions", "revoke", id), "1 session ended")
	if got := alice.get("/account"); got.status == 200 {
		t.Error("the revoked session is open")
	}
	// A name that is mistyped, or written as kubectl does, must not end nothing in silence.
	for _, args := range [][]string{{"sessions", "revoke", "--yes"}, {"sessions", "list"}, {"users", "list"}} {
		w.fails(append(args, "--idp", "octa"), "there is no IdentityProvider octa in namespace "+w.ns)
		w.fails(append(args, "--idp", "sp/okta"), `"sp/okta" is not the name of an IdentityProvider: write idp/NAME`)
	}
	contains(t, w.must(0, "users", "list", "--idp", "idp/okta"), "alice@acme.example")
	contains(t, w.must(0, "sessions", "revoke", "--idp", "idp/okta", "--yes"), "1 session ended")

	w.fails([]string{"users", "delete", "alice@acme.example"}, "add --yes")
	contains(t, w.must(0, "users", "delete", "alice@acme.example", "--yes"), "alice@acme.example was deleted")
	w.fails([]string{"users", "show", "alice@acme.example"}, "there is no user alice@acme.example", "kubectl sso users list -n "+w.ns, "kubectl sso explain alice@acme.example -n "+w.ns)
	w.fails([]string{"users", "reset-second-factor", "bob@acme.example"}, "--second-factor-key-file")

	// Who did it is in the record: the name that the API server knows.
	records := w.api("/v1/audit?type=user_suspended,user_resumed,user_deleted,session_revoked")
	if strings.Count(records, `"id":"admin@acme.example"`) != 5 || strings.Count(records, "\n") != 5 {
		t.Errorf("%s", records)
	}
	contains(t, w.api("/v1/audit?type=user_profile_updated"), `"id":"admin@acme.example"`, `"cause":"admin"`, `"added":["jobTitle"]`, `"cleared":["department"]`)
	if records := w.api("/v1/audit?type=user_profile_updated"); strings.Contains(records, "Chief") {
		t.Errorf("a record holds the value: %s", records)
	}
}
