package cli

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cli"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/test/internal/await"
)

var referenceText = regexp.MustCompile(`[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}`)

func TestDebugSaysWhatWasWrongAndWhatToChange(t *testing.T) {
	w := newWorld(t)
	refused := w.browser().signIn("alice@acme.example", func(r *samltest.Response) { r.Audience = spURL })
	reference := referenceText.FindString(refused.body)
	if refused.status != 403 || reference == "" {
		t.Fatalf("%d %s", refused.status, refused.body)
	}
	got := w.must(0, "debug", "idp/okta")
	contains(t, got, "audience_mismatch  ref "+reference+"  idp/okta  alice@acme.example (claimed)\n", spURL+"/saml/okta", "Audience URI (SP Entity ID)")
	if strings.Contains(got, "shoeSize") {
		t.Errorf("the list shows what the response carried: %s", got)
	}
	one := w.must(0, "debug", reference)
	contains(t, one, "Audience URI", "anybody may have written it", "shoeSize = 42", "expected", "clock difference")
	if strings.Contains(one, "<samlp:Response") {
		t.Errorf("the XML is shown though nobody asked: %s", one)
	}
	contains(t, w.must(0, "debug", strings.ToLower(reference), "--xml"), "<samlp:Response")
	contains(t, w.must(0, "debug", "-o", "json"), `"errorType": "audience_mismatch"`)
	contains(t, w.must(0, "audit", "--type", "debug_entry_viewed"), "admin@acme.example", "debugentry/"+reference)

	w.fails([]string{"debug", "AAAA-AAAA"}, "there is no debug entry AAAA-AAAA", "kubectl sso debug -n "+w.ns, "kubectl sso audit --request AAAA-AAAA -n "+w.ns)
	w.fails([]string{"debug", "sp/main"}, "neither an IdentityProvider (idp/NAME) nor a reference")
	w.fails([]string{"debug", "--xml"}, "--xml is for one response")
	w.fails([]string{"debug", "--limit", "0"}, "--limit 0")
	w.fails([]string{"debug", "idp/entra"}, "there is no IdentityProvider entra in namespace "+w.ns)
	w.idpObject("entra", func(idp *v1alpha1.IdentityProvider) {
		idp.Spec.SAML.Metadata = v1alpha1.MetadataSource{URL: "https://entra.example/metadata"}
	})
	if got := w.sso("debug", "idp/entra"); got.code != 0 || got.stdout != "" || !strings.Contains(got.stderr, "no response was refused") {
		t.Errorf("%+v", got)
	}
}

func TestDebugFollowsWhatComes(t *testing.T) {
	w := newWorld(t)
	other := func(r *samltest.Response) { r.Audience = "https://other.example" }
	w.browser().signIn("alice@acme.example", other)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := watched{changed: make(chan struct{}, 1)}
	done := make(chan int)
	go func() {
		done <- cli.Run(ctx, []string{"debug", "idp/okta", "--follow", "--kubeconfig", w.kubeconfig, "-n", w.ns}, cli.Options{Out: &out, Err: &bytes.Buffer{}, Forward: w})
	}()
	await.Until(w.t, "what was there before", func() bool { return strings.Contains(out.String(), "alice@acme.example") })
	w.browser().signIn("bob@acme.example", other)
	w.browser().signIn("carol@acme.example", other)
	await.Until(w.t, "what came", func() bool { return strings.Contains(out.String(), "carol@acme.example") })
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("exit %d", code)
	}
	got := out.String()
	for _, email := range []string{"alice", "bob", "carol"} {
		if n := strings.Count(got, email+"@acme.example (claimed)"); n != 1 {
			t.Errorf("%s was shown %d times in\n%s", email, n, got)
		}
	}
	if strings.Index(got, "bob@") > strings.Index(got, "carol@") {
		t.Errorf("out of order:\n%s", got)
	}
}
