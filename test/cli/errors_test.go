package cli

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cli"
	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/test/internal/await"
	"sallyport.dev/sallyport/test/internal/loopback"
)

// api asks the management API directly.
func (w *world) api(path string) string {
	w.t.Helper()
	r, err := http.NewRequest("GET", "http://"+w.management+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 {
		w.t.Fatalf("%s: %s %s %v", path, response.Status, body, err)
	}
	return string(body)
}

func TestUnknownValuesAndArguments(t *testing.T) {
	w := newCluster(t)
	for _, c := range []struct {
		args  []string
		parts []string
	}{
		{[]string{"status", "-o", "xml"}, []string{`--output "xml": write one of tree, json`}},
		{[]string{"users", "list", "-o", "yaml"}, []string{`--output "yaml": write one of table, json`}},
		{[]string{"users", "list", "--limit", "-1"}, []string{"--limit -1"}},
		{[]string{"users", "list", "--wrong"}, []string{"unknown flag: --wrong", "kubectl sso users list --help"}},
		{[]string{"users", "fire", "alice@acme.example"}, []string{`unknown command "fire"`, "kubectl sso users --help"}},
		{[]string{"audti"}, []string{`unknown command "audti" (did you mean audit?): see `, "kubectl sso --help"}},
		{[]string{"audit", "verfy"}, []string{`unknown command "verfy" (did you mean verify?): see `, "kubectl sso audit --help"}},
		{[]string{"users", "show"}, []string{"takes the e-mail address of a user", "0 arguments"}},
		{[]string{"status", "all"}, []string{"takes no argument, but 1 argument was given"}},
		{[]string{"sessions", "revoke"}, []string{"say which sessions", "--user or --idp"}},
		{[]string{"refresh", "sp/main"}, []string{`"sp/main" is not the name of an IdentityProvider: write idp/NAME`}},
		{[]string{"refresh", "idp/nobody"}, []string{"there is no IdentityProvider nobody in namespace " + w.ns, "kubectl get idp -A"}},
		{[]string{"users", "list", "--service-provider", "other"}, []string{"there is no ServiceProvider other in namespace " + w.ns, "kubectl get sp -A"}},
	} {
		w.fails(c.args, c.parts...)
	}
	empty := &world{t: t, kubeconfig: w.kubeconfig, ns: "default"}
	empty.fails([]string{"users", "list"}, "there is no ServiceProvider in namespace default", "-n")
	empty.fails([]string{"status"}, "there is no ServiceProvider in namespace default", "-A")
	w.create(&v1alpha1.ServiceProvider{ObjectMeta: w.named("second"), Spec: v1alpha1.ServiceProviderSpec{URL: "https://second.example.com"}})
	w.fails([]string{"users", "list"}, "2 ServiceProviders (main, second)", "--service-provider")
}

func TestTheClusterCannotBeReached(t *testing.T) {
	w := newCluster(t)
	w.kubeconfig = filepath.Join(t.TempDir(), "none")
	w.fails([]string{"status"}, "kubeconfig", "--context")
	content := "apiVersion: v1\nkind: Config\nclusters: [{name: a, cluster: {server: \"https://" + loopback.Free(t) + "\"}}]\ncontexts: [{name: a, context: {cluster: a}}]\ncurrent-context: a\n"
	if err := os.WriteFile(w.kubeconfig, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	w.fails([]string{"status"}, "cannot be reached", "check --context")
	w.fails([]string{"status", "--context", "b"}, `"b"`, "--context")
	// Without any, it is not a server at localhost:8080 that is away.
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	var stderr bytes.Buffer
	if code := cli.Run(t.Context(), []string{"status"}, cli.Options{Out: io.Discard, Err: &stderr}); code != 2 || stderr.String() != "error: there is no kubeconfig that names a cluster: set KUBECONFIG or --kubeconfig\n" {
		t.Errorf("%d %s", code, &stderr)
	}
}

// TestHelpFitsOnAScreen: what is said of a command is not lost among the flags of kubectl, which are said once.
func TestHelpFitsOnAScreen(t *testing.T) {
	w := newCluster(t)
	for _, args := range [][]string{{"status"}, {"debug"}, {"audit", "verify"}, {"users", "list"}, {"rotate"}} {
		help := w.must(0, append(args, "--help")...)
		contains(t, help, "Usage:", "Examples:", "The flags of kubectl work too, such as -n, --context, --kubeconfig and --as: kubectl sso --help lists them.")
		if lines := strings.Count(help, "\n"); lines > 40 || strings.Contains(help, "--certificate-authority") {
			t.Errorf("%v --help has %d lines:\n%s", args, lines, help)
		}
	}
	contains(t, w.must(0, "users", "list", "--help"), "Flags of kubectl sso users:\n      --service-provider")
	contains(t, w.must(0, "--help"), "--certificate-authority", "--context")
}

func TestThePodCannotBeReached(t *testing.T) {
	w := newCluster(t)
	w.fails([]string{"users", "list"}, "the management port of pod main-sallyport-0 does not answer", "kubectl sso status -n "+w.ns, "kubectl logs main-sallyport-0 -n "+w.ns)
	// The API server itself, as without a node: the real way.
	real := &world{t: t, ns: w.ns, kubeconfig: w.kubeconfig}
	got := real.ssoReal("users", "list")
	if got.code != 2 {
		t.Errorf("%+v", got)
	}
	contains(t, got.stderr, "the management port of pod main-sallyport-0 does not answer")
	// Nobody listens any more.
	w.pods.Store(w.pod.Name, loopback.Free(t))
	w.fails([]string{"users", "list"}, "the management port of pod main-sallyport-0 does not answer", "connection refused")
	w.setReady(w.pod, false)
	w.fails([]string{"users", "list"}, "no pod of ServiceProvider main is ready", "kubectl sso status -n "+w.ns)
}

func TestAnotherPodIsAskedWhenOneCannotBeReached(t *testing.T) {
	w := newWorld(t)
	first := w.newPod("aaa")
	if got := w.sso("users", "list"); got.code != 0 {
		t.Errorf("pod %s does not answer, and %+v", first.Name, got)
	}
}

func TestAWrongTokenIsRefusedAndRecorded(t *testing.T) {
	w := newWorld(t)
	secret := &corev1.Secret{ObjectMeta: w.named(render.ManagementSecretName("main"))}
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
		t.Fatal(err)
	}
	secret.Data["token"] = []byte("another-token-0123456789")
	if err := k8s.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	w.fails([]string{"users", "list"}, "pod main-sallyport-0 does not accept the token in its Secret", "restart the pod")
	contains(t, w.api("/v1/audit?type=management_denied"), `"management_denied"`, `"no_valid_token"`)
	if err := k8s.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	w.fails([]string{"users", "list"}, "the Secret main-management with the token", "does not exist")
}

func TestAMissingPermissionIsNamed(t *testing.T) {
	w := newCluster(t)
	w.kubeconfig = kubeconfig(t, envtest.User{Name: "viewer@acme.example"})
	w.fails([]string{"status"}, "you may not list serviceproviders.sso.sallyport.dev in namespace "+w.ns, "ask an administrator")
	may := func(rules ...rbacv1.PolicyRule) {
		t.Helper()
		role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, GenerateName: "may-"}, Rules: rules}
		w.create(role)
		w.create(&rbacv1.RoleBinding{ObjectMeta: w.named(role.Name), RoleRef: rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: role.Name},
			Subjects: []rbacv1.Subject{{APIGroup: "rbac.authorization.k8s.io", Kind: "User", Name: "viewer@acme.example"}}})
	}
	may(rbacv1.PolicyRule{APIGroups: []string{"sso.sallyport.dev"}, Resources: []string{"*"}, Verbs: []string{"get", "list"}})
	await.Until(w.t, "the role to count", func() bool { return !strings.Contains(w.sso("refresh", "idp/nobody").stderr, "may not") })
	w.fails([]string{"users", "list"}, "you may not get secrets/main-management in namespace "+w.ns, "verb get on secrets")
	w.fails([]string{"rotate", "idp/okta"}, "you may not patch identityproviders.sso.sallyport.dev/okta")
	may(rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}})
	await.Until(w.t, "the role to count", func() bool { return !strings.Contains(w.sso("users", "list").stderr, "may not") })
	got := w.ssoReal("users", "list")
	contains(t, got.stderr, "you may not create pods/portforward in namespace "+w.ns)
}

// ssoReal goes the real way to pods.
func (w *world) ssoReal(args ...string) result {
	w.t.Helper()
	var out, err bytes.Buffer
	code := cli.Run(w.t.Context(), append(args, "--kubeconfig", w.kubeconfig, "-n", w.ns), cli.Options{Out: &out, Err: &err})
	return result{code, out.String(), err.String()}
}
