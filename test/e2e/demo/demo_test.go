//go:build e2e

// Package demo opens what `make demo` has printed, as its reader would, and tries what it says to try next.
package demo

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/sallyport/hack/demo/idp"
	"sallyport.dev/sallyport/test/internal/browser"
)

const (
	root = "../../.."
	app  = "https://app.sallyport.localhost:8443"
	sso  = "https://sso.sallyport.localhost:8443"
)

func kubectl(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(root, ".cluster", "assets", "kubectl"),
		append([]string{"--kubeconfig", filepath.Join(root, ".cluster", "kubeconfig"), "-n", "sallyport-demo"}, arguments...)...)
	out, err := command.CombinedOutput()
	return string(out), err
}

func TestTheDemonstrationKeepsItsPromises(t *testing.T) {
	tab := browser.New(t, map[string]string{"*.sallyport.localhost": "127.0.0.1:8443"})
	tab.Open(app + "/dashboard?range=6h")
	tab.WaitURL(sso + "/signin")
	look(tab, "sign-in")
	alice := idp.Accounts[0]
	tab.Type("#email", alice.Email)
	tab.Press("form button")
	tab.WaitText("Sign in at Acme")
	tab.Type("#username", alice.Name)
	tab.Type("#password", alice.Password)
	tab.Press("#login")
	tab.WaitURL(app + "/dashboard?range=6h")
	tab.WaitText(alice.Email)
	look(tab, "signed-in")

	if out, err := kubectl(t, "delete", "idp", "acme"); err == nil || !strings.Contains(out, "acme-example") {
		t.Errorf("kubectl delete idp acme: %v\n%s", err, out)
	}
	if out, err := kubectl(t, "describe", "idp", "acme"); err != nil || !strings.Contains(out, "Every pod (1/1) serves generation") {
		t.Errorf("kubectl describe idp acme: %v\n%s", err, out)
	}
	if out, err := kubectl(t, "get", "events"); err != nil || !strings.Contains(out, "identityprovider/acme") {
		t.Errorf("kubectl get events tells nothing of the identity provider: %v\n%s", err, out)
	}
	// Disabling ends the sessions, and enabling it again lets people in.
	for _, c := range []struct{ state, leadsTo string }{{"Disabled", sso + "/signin"}, {"Enabled", app}} {
		if out, err := kubectl(t, "patch", "idp", "acme", "--type=merge", "-p", fmt.Sprintf(`{"spec":{"state":%q}}`, c.state)); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if out, err := kubectl(t, "wait", "--for=condition=Programmed", "idp/acme", "--timeout=120s"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if c.state == "Disabled" {
			tab.Open(app + "/dashboard?range=6h")
			tab.WaitURL(c.leadsTo)
		}
	}
}

func look(tab *browser.Tab, name string) {
	for _, width := range []int64{390, 1280} {
		tab.Screenshot(filepath.Join(root, ".demo", "screenshots", fmt.Sprintf("%s-%d.png", name, width)), width)
	}
}
