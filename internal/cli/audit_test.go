package cli

import (
	"strings"
	"testing"
)

func TestATableSaysHowManyRefusalsWereCounted(t *testing.T) {
	var out strings.Builder
	show, _ := recordPrinter(&out, "table")
	for _, line := range []string{
		`{"type": "refusals_counted", "outcome": "failure", "reason": "malformed", "details": {"type": "saml_assertion_failed", "count": 4711}}`,
		`{"type": "saml_assertion_failed", "outcome": "failure", "reason": "malformed", "request": "7K2M-9QXT", "details": {"idp": "okta"}}`,
		`{"type": "of_a_newer_version", "reason": "something", "details": {"count": 3}}`,
	} {
		if err := show([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"malformed, 4711 more\n", "malformed 7K2M-9QXT\n", "something\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}
