package cli

import (
	"bufio"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"testing"

	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/internal/cli"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
)

var testLink = regexp.MustCompile(regexp.QuoteMeta(spURL) + `/signin/test/\S+`)

// try runs `kubectl sso test idp/okta`, follows the link with a browser and lets the IdP answer.
func (w *world) try(edit ...func(*samltest.Response)) (result, answer) {
	w.t.Helper()
	told, said := io.Pipe()
	var out strings.Builder
	code := make(chan int, 1)
	go func() {
		code <- cli.Run(w.t.Context(), []string{"test", "idp/okta", "--timeout", "1m", "--kubeconfig", w.kubeconfig, "-n", w.ns}, cli.Options{Out: &out, Err: said, Forward: w})
		said.Close()
	}()
	lines, link := bufio.NewScanner(told), ""
	for link == "" && lines.Scan() {
		link = testLink.FindString(lines.Text())
	}
	if link == "" {
		w.t.Fatalf("no link: %v", lines.Err())
	}
	go io.Copy(io.Discard, told) //nolint:errcheck // what comes after the link
	b := w.browser()
	page := b.respond(request(w.t, b.get(link)), "alice@acme.example", edit...)
	return result{<-code, out.String(), ""}, page
}

func (w *world) nobodyIsThere() {
	w.t.Helper()
	if got := w.must(0, "users", "list", "-o", "json"); strings.Contains(got, "@") {
		w.t.Errorf("a test run made a user: %s", got)
	}
	if got := w.must(0, "sessions", "list", "-o", "json"); strings.Contains(got, "@") {
		w.t.Errorf("a test run opened a session: %s", got)
	}
}

func TestATestRunShowsEveryCheckAndLeavesNothing(t *testing.T) {
	w := newWorld(t)
	got, page := w.try()
	if got.code != 0 {
		t.Fatalf("%+v", got)
	}
	contains(t, got.stdout, "A sign-in like this would succeed.", "passed       Signature of the assertion", "passed       Conditions: audience and time", "passed       Address, domain and user",
		"department = ML  ->", "shoeSize = 42  (not mapped)", "Create the user alice@acme.example.", "Add to the groups dev, ml-team.", "Open a session until")
	contains(t, page.body, "Test of Acme", "A sign-in like this would succeed.", "Nobody was signed in", "not mapped", "Create the user alice@acme.example.")
	if page.status != 200 || strings.Contains(got.stdout, "failed ") {
		t.Errorf("%d %s", page.status, got.stdout)
	}
	w.nobodyIsThere()
	contains(t, w.must(0, "audit", "--type", "saml_idp_tested"), "saml_idp_tested", "success", "admin@acme.example", "identityprovider/okta")
}

func TestATestRunWorksWhileTheConnectionIsDisabled(t *testing.T) {
	w := newWorld(t)
	w.snapshot.Connections[0].Enabled = false
	w.process.Stop()
	w.start()
	got, _ := w.try()
	if got.code != 0 {
		t.Fatalf("%+v", got)
	}
	contains(t, got.stdout, "would succeed, once the connection is enabled", "the connection is disabled: until spec.state is Enabled, everybody is refused")
	w.nobodyIsThere()
}

func TestATestRunThatWouldBeRefusedSaysWhatToChange(t *testing.T) {
	w := newWorld(t)
	got, page := w.try(func(r *samltest.Response) { r.Audience = "https://other.example" })
	if got.code != 1 || page.status != 200 {
		t.Fatalf("%d %+v", page.status, got)
	}
	// What does not depend on the failed check is told too.
	contains(t, got.stdout, "would be refused", "failed       Conditions: audience and time", "Audience URI (SP Entity ID)", "passed       Attributes", "nothing of this was verified", "Refuse: ")
	contains(t, page.body, "would be refused", "Audience URI (SP Entity ID)")
	if strings.Contains(got.stdout, "Create the user") {
		t.Errorf("%s", got.stdout)
	}
	// An address that the connection may not assert is found after the response was accepted.
	got, _ = w.try(func(r *samltest.Response) { r.Attributes[0].Values = []string{"mallory@victim.example"} })
	if got.code != 1 {
		t.Fatalf("%+v", got)
	}
	contains(t, got.stdout, "failed       Address, domain and user", "victim.example", "passed       Signature of the assertion")
	w.nobodyIsThere()
	contains(t, w.must(0, "audit", "--type", "saml_idp_tested", "--outcome", "failure"), "audience_mismatch", "domain_not_bound")
}

// TestAResponseOfATestRunSignsNobodyIn, however it comes back.
func TestAResponseOfATestRunSignsNobodyIn(t *testing.T) {
	w := newWorld(t)
	link := testLink.FindString(w.must(0, "test", "idp/okta", "--timeout", "0"))
	b := w.browser()
	r := request(t, b.get(link))
	b.respond(r, "alice@acme.example")
	for range 2 {
		if got := b.respond(r, "alice@acme.example"); got.status != 403 {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	// A browser that the test was not started in.
	r = request(t, w.browser().get(link))
	if got := w.browser().respond(r, "alice@acme.example"); got.status == 303 && !strings.Contains(got.location, "/signin/resume") {
		t.Errorf("%d %s", got.status, got.location)
	}
	if got := b.get("/account"); got.status == 200 {
		t.Error("somebody is signed in")
	}
	w.nobodyIsThere()
	if got := w.browser().get("/signin/test/AAAAAAAAAAAAAAAAAAAAAA"); got.status != 404 || !strings.Contains(got.body, "This test has ended") {
		t.Errorf("%d %s", got.status, got.body)
	}
	w.fails([]string{"test", "idp/nobody"}, "there is no IdentityProvider nobody")
}

func TestBreakGlass(t *testing.T) {
	w := newWorld(t)
	w.fails([]string{"break-glass", "alice@acme.example", "--reason", "outage"}, "there is no user alice@acme.example")
	w.browser().signIn("alice@acme.example")
	w.must(0, "sessions", "revoke", "--user", "alice@acme.example")
	w.fails([]string{"break-glass", "alice@acme.example"}, "--reason is missing")
	link := strings.TrimSpace(w.must(0, "break-glass", "alice@acme.example", "--reason", "IdP outage, incident 4711"))
	path := strings.TrimPrefix(link, spURL)

	// Looking at the link does not use it up; another site cannot use it for somebody.
	b := w.browser()
	contains(t, b.get(link).body, "Sign in once", "admin@acme.example")
	if got := b.post(path, "cross-site", nil); got.status != 403 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := b.post(path, "same-origin", nil); got.status != 303 || got.location != spURL+"/account" {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := b.get("/account"); got.status != 200 || !strings.Contains(got.body, "alice@acme.example") || !strings.Contains(got.body, "ml-team") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := w.browser().post(path, "same-origin", nil); got.status != 404 || !strings.Contains(got.body, "This link is no longer valid") {
		t.Errorf("it works twice: %d", got.status)
	}
	records := w.must(0, "audit", "--type", "sso_break_glass", "-o", "ndjson")
	contains(t, records, `"step":"issued"`, `"step":"used"`, "incident 4711", `"id":"admin@acme.example"`, `"issuedBy":"admin@acme.example"`)
	var events eventsv1.EventList
	if err := k8s.List(t.Context(), &events, client.InNamespace(w.ns)); err != nil || len(events.Items) != 1 {
		t.Fatalf("%+v %v", events.Items, err)
	}
	if e := events.Items[0]; e.Type != "Warning" || e.Reason != "BreakGlass" || e.Regarding.Name != "main" || strings.Contains(e.Note, "alice") {
		t.Errorf("%+v", e)
	}
	w.must(0, "users", "suspend", "alice@acme.example")
	w.fails([]string{"break-glass", "alice@acme.example", "--reason", "again"}, "is suspended", "kubectl sso users resume alice@acme.example -n "+w.ns)
}

func TestExplain(t *testing.T) {
	w := newWorld(t)
	contains(t, w.must(0, "explain", "Alice@Acme.example"), "acme.example is bound to idp/okta (domainbinding/acme).", "idp/okta is enabled", "Nobody with the address alice@acme.example has signed in yet.",
		"No known reason for a sign-in to fail.")
	w.browser().signIn("alice@acme.example")
	contains(t, w.must(0, "explain", "alice@acme.example"), "Last sign-in 20", "from 127.0.0.1", `groups dev, ml-team (rule 1 adds ml-team: "ML" in attributes["department"])`)
	w.browser().signIn("alice@acme.example", func(r *samltest.Response) { r.Audience = "https://other.example" })
	contains(t, w.must(0, "explain", "alice@acme.example"), "Since then a sign-in was refused", "audience_mismatch", "Audience URI")
	w.must(0, "users", "suspend", "alice@acme.example")
	contains(t, w.must(1, "explain", "alice@acme.example"), "A sign-in would fail:", "kubectl sso users resume alice@acme.example -n "+w.ns)
	contains(t, w.must(1, "explain", "bob@nowhere.example"), "No DomainBinding binds nowhere.example")
	w.fails([]string{"explain", "alice"}, `"alice" is not an e-mail address`)
	var e struct {
		IdP, State string
		Problems   []string
	}
	if err := json.Unmarshal([]byte(w.must(1, "explain", "alice@acme.example", "-o", "json")), &e); err != nil || e.IdP != "okta" || e.State != "usable" || len(e.Problems) != 1 {
		t.Errorf("%+v %v", e, err)
	}
	contains(t, w.must(0, "audit", "--type", "sign_in_explained"), "user/alice@acme.example", "admin@acme.example")
}

// TestARuleThatFailsIsTold, with what is wrong with it: nobody is refused for it, and it adds no group.
func TestARuleThatFailsIsTold(t *testing.T) {
	w := newWorld(t)
	m := &w.snapshot.Connections[0].Mapping
	m.Name, m.Rules = "acme", append(m.Rules, snapshot.Rule{When: `timestamp(attributes.shoeSize[0]) < timestamp("2026-01-01T00:00:00Z")`, AddGroups: []string{"old-hands"}})
	w.process.Stop()
	w.start()
	got, page := w.try()
	if got.code != 0 {
		t.Fatalf("%+v", got)
	}
	contains(t, got.stdout, "Add to the groups dev, ml-team.", "Add no group by rules[1] of AttributeMapping acme (evaluation_failed).", `invalid RFC 3339 timestamp "42"`)
	contains(t, page.body, "Add no group by rules[1] of AttributeMapping acme (evaluation_failed).")
	w.browser().signIn("alice@acme.example")
	contains(t, w.must(0, "explain", "alice@acme.example"), "groups dev, ml-team (rule 1 adds ml-team", `rule 2 (rules[1]) adds no group, evaluation_failed: timestamp(attributes.shoeSize[0])`,
		`invalid RFC 3339 timestamp "42"`, "No known reason for a sign-in to fail.")
	records := w.must(0, "audit", "--type", "user_idp_group_rule_failed", "--idp", "okta", "-o", "ndjson")
	contains(t, records, `"reason":"evaluation_failed"`, `"mapping":"acme","rules":["rules[1]"]`)
	if strings.Contains(records, "RFC 3339") {
		t.Errorf("the record quotes what was sent: %s", records)
	}
}
