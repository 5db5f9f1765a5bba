//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/test/internal/browser"
)

// TestPeopleSignInThroughPods is the main job on SQLite: the page that was asked for, the identity headers, a refusal, and the way out.
func TestPeopleSignInThroughPods(t *testing.T) {
	w := newWorld(t, "lite", "127.0.0.1:8445", false)

	tab := w.browser()
	tab.Open(w.AppURL + "/d/board?from=now-6h&to=now")
	tab.WaitURL(w.SSOURL + "/signin")
	look(tab, "sign-in")
	tab.Type("#email", "alice@acme.example")
	tab.Press("form button")
	tab.WaitURL(w.IdPURL)
	tab.SignInAtSimpleSAMLphp("alice", "alice-password")
	tab.WaitURL(w.AppURL + "/d/board?from=now-6h&to=now")
	tab.WaitText("Hello Alice Adams")
	look(tab, "signed-in")
	w.identified(w.cookies(tab), map[string]string{
		"Remote-User": "alice@acme.example", "Remote-Name": "Alice Adams", "Remote-Groups": "dev,ml-team,oncall", "X-Auth-Request-Email": "alice@acme.example",
	})

	mallory := w.signIn(w.AppURL+"/", "mallory@acme.example", "mallory")
	mallory.WaitText("Reference")
	look(mallory, "error")

	// A pod that comes back finds its people signed in.
	signedIn := w.cookies(tab)
	w.must("delete", "pod", "main-sallyport-0", "--wait=true")
	w.eventually("the session after the pod came back", 2*time.Minute, func() error { return w.check(signedIn) })

	w.answersKubectlSSO()

	tab.Press("#signout")
	tab.WaitText("Sign out?")
	look(tab, "sign-out")
	tab.Press("form[action='/signout'] button")
	tab.WaitText("signed out")
	if got, err := w.get(w.AppURL+"/api", signedIn); err != nil || got.status != http.StatusUnauthorized {
		t.Errorf("signed out, and the old cookie gets %d %v", got.status, err)
	}
	tab.Open(w.AppURL + "/")
	tab.WaitURL(w.SSOURL + "/signin")

	w.tellsTheStory()
	w.asksForASecondStep()
	w.keepsQuiet(1)
}

// asksForASecondStep holds that pods have what a second step needs: its key.
func (w *world) asksForASecondStep() {
	w.t.Helper()
	w.must("patch", "idp", "acme", "--type=merge", "-p", `{"spec":{"provisioning":{"secondFactor":"Required"}}}`)
	w.must("wait", "idp/acme", "--timeout=180s", "--for=jsonpath={.status.observedGeneration}="+w.must("get", "idp", "acme", "-o", "jsonpath={.metadata.generation}"))
	w.must("wait", "idp/acme", "--timeout=180s", "--for=condition=Ready")
	tab := w.signIn(w.AppURL+"/", "bob@acme.example", "bob")
	tab.WaitText("Set up a second factor")
	tab.Press("form[action='/second-factor/app'] button")
	tab.WaitText("Scan this with your app")
	w.seen.secret("the key of an app", tab.Evaluate(`new URL(document.querySelector("input[name=url]").value).searchParams.get("secret")`))
	if got, err := w.get(w.AppURL+"/api", w.cookies(tab)); err != nil || got.status != http.StatusUnauthorized {
		w.t.Errorf("before the second step the application answers %d %v", got.status, err)
	}
}

// tellsTheStory holds what kubectl shows against what was promised.
func (w *world) tellsTheStory() {
	w.t.Helper()
	listed := w.must("get", "sso")
	for _, header := range [][]string{
		{"NAME", "URL", "READY", "REPLICAS", "IDPS", "DOMAINS", "AGE"},
		{"NAME", "TYPE", "STATE", "DOMAINS", "CERT-EXPIRY", "READY", "REASON", "AGE"},
		{"NAME", "DOMAIN", "IDP", "READY", "REASON", "AGE"},
	} {
		if !hasRow(listed, header) {
			w.t.Errorf("kubectl get sso shows no columns %v:\n%s", header, listed)
		}
	}
	described := w.must("describe", "idp", "acme")
	for _, part := range []string{"Every pod (1/1) serves generation", "Established", "Normal   Serving", w.SSOURL + "/saml/acme/acs"} {
		if !strings.Contains(strings.Join(strings.Fields(described), " "), strings.Join(strings.Fields(part), " ")) {
			w.t.Errorf("kubectl describe idp acme does not show %q:\n%s", part, described)
		}
	}
}

func hasRow(text string, words []string) bool {
	for line := range strings.Lines(text) {
		if fmt.Sprint(strings.Fields(line)) == fmt.Sprint(words) {
			return true
		}
	}
	return false
}

// check asks the application through nginx and is content with nothing but its answer to the person.
func (w *world) check(cookies http.Header) error {
	got, err := w.get(w.AppURL+"/api", cookies)
	switch {
	case err != nil:
		return err
	case got.status != http.StatusOK:
		return fmt.Errorf("status %d", got.status)
	case !strings.Contains(string(got.body), `"Remote-User":["alice@acme.example"]`):
		return fmt.Errorf("the application was not told who is there: %s", got.body)
	}
	return nil
}

func (w *world) identified(cookies http.Header, want map[string]string) {
	w.t.Helper()
	got, err := w.get(w.AppURL+"/api", cookies)
	if err != nil {
		w.t.Fatal(err)
	}
	var echoed struct{ Headers http.Header }
	if err := json.Unmarshal(got.body, &echoed); err != nil {
		w.t.Fatalf("status %d: %v\n%s", got.status, err, got.body)
	}
	for name, value := range want {
		if values := echoed.Headers[name]; len(values) != 1 || values[0] != value {
			w.t.Errorf("the application got %s %q, want %q", name, values, value)
		}
	}
}

// look keeps how the page looks on a phone and on a desktop.
func look(tab *browser.Tab, name string) {
	for _, width := range []int64{390, 1280} {
		tab.Screenshot(filepath.Join(ground.Work, "screenshots", fmt.Sprintf("%s-%d.png", name, width)), width)
	}
}
