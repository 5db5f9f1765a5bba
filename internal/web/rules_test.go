package web_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
)

// slow is a rule that takes as long as one may with what slowly sends, and costly one that costs as much and is done at once.
const (
	slow   = `attributes.a.exists(v, v.matches('(a?){60}b'))`
	costly = `attributes.a.exists(v, v.matches('^b(a?){60}$'))`
)

func slowly(r *samltest.Response) {
	r.Attributes = append(r.Attributes, samltest.Attribute{Name: "a", Values: slices.Repeat([]string{strings.Repeat("a", 1000)}, 100)},
		samltest.Attribute{Name: "since", Values: []string{"a-secret"}})
}

// TestTheDebugLogNamesRulesThatFailed, of a sign-in that succeeds, and nothing of what was sent.
func TestTheDebugLogNamesRulesThatFailed(t *testing.T) {
	w := newWorld(t)
	okta := w.connection("okta")
	okta.VerboseUntil, okta.Mapping.Name = time.Now().Add(time.Hour), "acme"
	okta.Mapping.Rules = []snapshot.Rule{{When: costly, AddGroups: []string{"costly"}}, {When: "'ML' in attributes.department", AddGroups: []string{"ml-team"}},
		{When: "timestamp(attributes.since[0]) < timestamp('2026-01-01T00:00:00Z')", AddGroups: []string{"old-hands"}}}
	w.apply(w.process)
	b := w.browser()
	a := b.begin("alice@acme.example", appURL)
	if got := b.finish(a, w.respond(a, "alice@acme.example", slowly)); got.status != http.StatusSeeOther {
		t.Fatalf("%d %s", got.status, got.body)
	}
	var list struct {
		Items []struct {
			Success                 bool
			Email, Sentence, Advice string
		}
	}
	w.api("GET", "/v1/debug?idp=okta", "", &list)
	if len(list.Items) != 1 || !list.Items[0].Success {
		t.Fatalf("%+v", list)
	}
	told := list.Items[0].Sentence + "\n" + list.Items[0].Advice
	for _, want := range []string{"AttributeMapping acme, rules[0]: no group was added (too_expensive).", "AttributeMapping acme, rules[2]: no group was added (evaluation_failed)."} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is not in %q", want, told)
		}
	}
	if strings.Contains(told, "secret") || strings.Contains(told, "rules[1]") {
		t.Errorf("%q", told)
	}
}

// TestARefusedResponseRunsNoRules: anybody can send one, so that it costs little, whatever the mapping.
func TestARefusedResponseRunsNoRules(t *testing.T) {
	w := newWorld(t)
	okta := w.connection("okta")
	okta.Mapping.Rules = slices.Repeat([]snapshot.Rule{{When: slow, AddGroups: []string{"g"}}}, 20)
	w.apply(w.process)
	mapping, err := identity.CompileMapping(okta.Mapping)
	if err != nil {
		t.Fatal(err)
	}
	var sent samltest.Response
	slowly(&sent)
	began := cpuTime()
	if p, rejection := mapping.Map(identity.Input{Attributes: map[string][]string{"email": {"alice@acme.example"}, "a": sent.Attributes[0].Values}}); rejection != nil || len(p.FailedRules) != 20 {
		t.Fatalf("%v, %v", p.FailedRules, rejection)
	}
	whole := cpuTime() - began

	b := w.browser()
	form := w.respond(b.begin("mallory@acme.example", appURL), "mallory@acme.example", slowly, func(r *samltest.Response) { r.Audience = "https://other.example" })
	began = cpuTime()
	got := b.finish(asked{idp: "okta"}, url.Values{"SAMLResponse": form["SAMLResponse"]})
	cost := cpuTime() - began
	if reason, _ := w.reasonOf(got); got.status != http.StatusForbidden || reason == "" {
		t.Fatalf("%d %s", got.status, reason)
	}
	t.Logf("the rules cost %v, a refused response %v", whole, cost)
	if cost > whole/2 {
		t.Errorf("a refused response costs %v, where all rules cost %v", cost, whole)
	}
	var debug struct{ Items []struct{ Email string } }
	if w.api("GET", "/v1/debug?idp=okta", "", &debug); len(debug.Items) != 1 || debug.Items[0].Email != "mallory@acme.example" {
		t.Errorf("%+v", debug)
	}
}

// cpuTime is what the process has used, all threads together.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
