//go:build e2e

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// sso runs `kubectl sso` as a person does: kubectl finds the plugin by its name, and the way to the pod goes through the API server and the kubelet.
func (w *world) sso(arguments ...string) string {
	w.t.Helper()
	plugin := filepath.Join(ground.Work, "plugin")
	if _, err := ground.Run(w.t.Context(), "go", "build", "-o", plugin+"/kubectl-sso", "./cmd/kubectl-sso"); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, ground.KubectlPath(), append(append([]string{"sso"}, arguments...), "-n", w.Namespace)...)
	command.Env = append(os.Environ(), "KUBECONFIG="+ground.Kubeconfig(), "PATH="+plugin+":"+os.Getenv("PATH"))
	out, err := command.CombinedOutput()
	if err != nil {
		w.t.Fatalf("kubectl sso %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
	return string(out)
}

var testLink = regexp.MustCompile(`https://\S+/signin/test/\S+`)

// answersKubectlSSO asks the running pods everything that needs the port-forward. alice is signed in, and mallory was refused.
func (w *world) answersKubectlSSO() {
	w.t.Helper()
	contains(w.t, "kubectl sso status", w.sso("status"), "sp/main", w.SSOURL, "served by 1/1 pods", "pod/main-sallyport-0  Ready", "idp/acme", "domain acme.example")
	contains(w.t, "kubectl sso users list", w.sso("users", "list"), "alice@acme.example", "Alice Adams", "acme")
	contains(w.t, "kubectl sso users show", w.sso("users", "show", "alice@acme.example"), "ml-team (acme)", "department = ML")
	contains(w.t, "kubectl sso sessions list", w.sso("sessions", "list", "--user", "alice@acme.example"), "acme", "active")
	contains(w.t, "kubectl sso debug", w.sso("debug", "idp/acme"), "domain_not_bound", "ceo@victim.example")
	contains(w.t, "kubectl sso explain", w.sso("explain", "alice@acme.example"), "acme.example is bound to idp/acme (domainbinding/acme-example).", "groups dev, ml-team, oncall", "Last sign-in")
	contains(w.t, "kubectl sso audit", w.sso("audit", "--type", "user_signed_in_saml,email_domain_not_bound"), "alice@acme.example", "email_domain_not_bound")
	contains(w.t, "kubectl sso audit verify", w.sso("audit", "verify"), "no gaps, no changes")
	contains(w.t, "kubectl sso refresh", w.sso("refresh", "idp/acme"), "idp/acme: ")

	// A full round trip to the real IdP by somebody who has never signed in: every check passes, and nobody is made.
	link := testLink.FindString(w.sso("test", "idp/acme", "--timeout", "0"))
	w.seen.secret("the link of a test run", path.Base(link))
	tab := w.browser()
	tab.Open(link)
	tab.WaitURL(w.IdPURL)
	tab.SignInAtSimpleSAMLphp("bob", "bob-password")
	tab.WaitText("A sign-in like this would succeed.")
	look(tab, "test-run")
	if users := w.sso("users", "list"); strings.Contains(users, "bob@acme.example") {
		w.t.Errorf("a test run made a user:\n%s", users)
	}
	link = strings.TrimSpace(w.ssoLastLine("break-glass", "alice@acme.example", "--reason", "the end-to-end test"))
	w.seen.secret("a break-glass link", path.Base(link))
	tab = w.browser()
	tab.Open(link)
	tab.Press("form button")
	tab.WaitText("alice@acme.example")
	contains(w.t, "kubectl describe sp", w.must("describe", "sp", "main"), "Warning", "BreakGlass")
}

// ssoLastLine is the last line that a command prints: the answer, after what it says on the way.
func (w *world) ssoLastLine(arguments ...string) string {
	w.t.Helper()
	lines := strings.Split(strings.TrimSpace(w.sso(arguments...)), "\n")
	return lines[len(lines)-1]
}
