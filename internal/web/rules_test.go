package web_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
)

// costly is a rule that costs more than one may with what slowly sends, and is done at once.
const costly = `attributes.a.exists(v, v.matches('^b(a?){60}$'))`

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
