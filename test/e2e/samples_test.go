//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	namespace   = "sso"
	serviceHost = "sso.example.com"
)

func root() string { return filepath.Join("..", "..") }

// kubectl runs what a person would type and returns both outputs.
func kubectl(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(root(), ".cluster", "assets", "kubectl"), append([]string{"-n", namespace}, arguments...)...)
	command.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(root(), ".cluster", "kubeconfig"))
	out, err := command.CombinedOutput()
	return string(out), err
}

func must(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := kubectl(t, arguments...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
	return out
}

func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s does not show %q:\n%s", what, part, text)
		}
	}
}

// get asks the Service as a proxy in front of it would.
func get(t *testing.T, path string) (int, string, error) {
	t.Helper()
	address := must(t, "get", "service", "main-sallyport", "-o", "jsonpath={.spec.clusterIP}")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = serviceHost
	client := &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, string(body) + response.Header.Get("Location"), err
}

func TestSamplesFromApplyToServing(t *testing.T) {
	if out, err := kubectl(t, "create", "namespace", namespace); err != nil && !strings.Contains(out, "already exists") {
		t.Fatal(out)
	}
	must(t, "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted", "--overwrite")
	must(t, "apply", "-k", filepath.Join(root(), "config", "samples"))
	must(t, "wait", "--for=condition=Ready", "sp,idp,domainbindings,attributemappings", "--all", "--timeout=120s")

	contains(t, "kubectl get sso", must(t, "get", "sso"), "CERT-EXPIRY", "Serving", "1/1", "acme.example")
	contains(t, "kubectl describe idp", must(t, "describe", "idp", "acme"), "Every pod (1/1) serves generation", "Established", "Normal  Serving")

	// Ready means that the very next request works.
	for path, part := range map[string]string{"/saml/acme/metadata": "https://" + serviceHost + "/saml/acme", "/saml/acme": "/saml/acme/acs", "/signin?login_hint=alice@acme.example": "SAMLRequest"} {
		if status, body, err := get(t, path); err != nil || status >= 400 || !strings.Contains(body, part) {
			t.Errorf("GET %s: %d %v, without %q", path, status, err, part)
		}
	}
	if status, _, err := get(t, "/authz/nginx"); err != nil || status != http.StatusUnauthorized {
		t.Errorf("a check without a session: %d %v", status, err)
	}
}

func TestAnIdentityProviderIsNotDeletedUnderItsDomains(t *testing.T) {
	out, err := kubectl(t, "delete", "idp", "acme")
	if err == nil {
		t.Fatalf("it was deleted: %s", out)
	}
	contains(t, "kubectl delete idp", out, "Error from server", "acme-example", "delete or rebind it first")
}

func TestBadInputIsRefusedInWords(t *testing.T) {
	for name, c := range map[string]struct{ metadata, want string }{
		"two sources": {`{"url": "https://idp.example.com/metadata", "inline": "<x/>"}`, "exactly one of url, inline, fromConfigMap, fromSecret, manual"},
		"http":        {`{"url": "http://idp.example.com/metadata"}`, "https://"},
	} {
		manifest := fmt.Sprintf(`{"apiVersion": "sso.sallyport.dev/v1alpha1", "kind": "IdentityProvider", "metadata": {"name": "bad", "namespace": %q},
			"spec": {"serviceProviderRef": {"name": "main"}, "displayName": "Bad", "saml": {"metadata": %s}}}`, namespace, c.metadata)
		file := filepath.Join(t.TempDir(), "bad.json")
		if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := kubectl(t, "apply", "-f", file)
		if err == nil {
			t.Errorf("%s: it was accepted", name)
		}
		contains(t, name, out, c.want)
	}
}

// TestABadCertificateIsNamedAndTheLastGoodStateServes breaks what works: the object says what is wrong in which field, and people go on signing in.
func TestABadCertificateIsNamedAndTheLastGoodStateServes(t *testing.T) {
	good := must(t, "get", "idp", "acme", "-o", "jsonpath={.spec.saml.metadata}")
	must(t, "patch", "idp", "acme", "--type=json", "-p", `[{"op": "replace", "path": "/spec/saml/metadata", "value": {"manual":
		{"entityID": "https://idp.acme.example/realms/acme", "ssoURL": "https://idp.acme.example/sso", "certificates": ["-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----"]}}}]`)
	generation := must(t, "get", "idp", "acme", "-o", "jsonpath={.metadata.generation}")
	must(t, "wait", "idp/acme", "--timeout=180s", "--for=jsonpath={.status.observedGeneration}="+generation)
	contains(t, "kubectl describe idp", must(t, "describe", "idp", "acme"), "spec.saml.metadata.manual.certificates[0]", "not an X.509 certificate")
	contains(t, "kubectl get idp", must(t, "get", "idp", "acme", "--no-headers"), "False")

	if status, body, err := get(t, "/signin?login_hint=alice@acme.example"); err != nil || !strings.Contains(body, "https://idp.acme.example/realms/acme/protocol/saml?SAMLRequest") {
		t.Errorf("nobody can sign in by the last good state any more: %d %v %s", status, err, body)
	}
	must(t, "patch", "idp", "acme", "--type=json", "-p", fmt.Sprintf(`[{"op": "replace", "path": "/spec/saml/metadata", "value": %s}]`, good))
	must(t, "wait", "--for=condition=Ready", "idp/acme", "--timeout=180s")
}

func TestEverythingGoesWithTheNamespace(t *testing.T) {
	must(t, "delete", "namespace", namespace, "--timeout=120s")
}
