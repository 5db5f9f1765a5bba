package controllers

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/internal/snapshot"
)

// attempt is a request to the API server, and the status that it must be answered with.
type attempt struct {
	method, path, body string
	want               int
}

// try makes the requests as somebody.
func try(t *testing.T, as *rest.Config, attempts []attempt) {
	t.Helper()
	httpClient, err := rest.HTTPClientFor(as)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range attempts {
		request, err := http.NewRequestWithContext(t.Context(), a.method, strings.TrimSuffix(as.Host, "/")+a.path, strings.NewReader(a.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		if a.method == http.MethodPatch {
			request.Header.Set("Content-Type", "application/merge-patch+json")
		}
		response, err := httpClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close() // a watch goes on
		if response.StatusCode != a.want {
			t.Errorf("%s %s is answered with %d, want %d", a.method, a.path, response.StatusCode, a.want)
		}
	}
}

// TestAServiceProvidersTokenOpensItsSnapshotAlone uses the token that is mounted into a pod, as somebody would who has broken into it.
func TestAServiceProvidersTokenOpensItsSnapshotAlone(t *testing.T) {
	t.Parallel()
	ns, other := namespace(t), namespace(t)
	newOperator(t, ns)
	idp := identityProvider(ns, "okta", v1alpha1.MetadataSource{Inline: idpMetadata(t, "https://okta.idp.example/metadata")})
	create(t, serviceProvider(ns), idp)
	newPod(t, ns, "main")
	await(t, idp, "Ready", isTrue, "Serving")
	// Somebody else's, of the same name, in another namespace.
	create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: other, Name: snapshot.SecretName("main", snapshot.IndexFile)}})
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: render.WorkloadName("main")}}
	token := &authenticationv1.TokenRequest{}
	if err := k8s.SubResource("token").Create(t.Context(), account, token); err != nil {
		t.Fatal(err)
	}
	pod := rest.AnonymousClientConfig(apiServer)
	pod.BearerToken = token.Status.Token
	secrets := "/api/v1/namespaces/" + ns + "/secrets"
	own := secrets + "/" + snapshot.SecretName("main", snapshot.IndexFile)
	attempts := []attempt{
		{"GET", own, "", 200},
		{"GET", secrets + "?watch=true&timeoutSeconds=1&fieldSelector=metadata.name=" + snapshot.SecretName("main", snapshot.IndexFile), "", 200},
		{"PATCH", own, `{"data":{}}`, 403},
		{"DELETE", own, "", 403},
		{"GET", secrets, "", 403},
		{"GET", secrets + "?watch=true&timeoutSeconds=1", "", 403},
		{"POST", secrets, `{"metadata":{"name":"x"}}`, 403},
		{"GET", "/api/v1/secrets", "", 403},
		{"GET", "/api/v1/namespaces/" + other + "/secrets/" + snapshot.SecretName("main", snapshot.IndexFile), "", 403},
		{"GET", "/api/v1/namespaces/" + ns + "/pods", "", 403},
		{"GET", "/api/v1/namespaces/" + ns + "/configmaps", "", 403},
		{"POST", "/api/v1/namespaces/" + ns + "/serviceaccounts/" + account.Name + "/token", `{"spec":{}}`, 403},
		{"GET", "/apis/sso.sallyport.dev/v1alpha1/namespaces/" + ns + "/identityproviders/okta", "", 403},
		{"PATCH", "/apis/rbac.authorization.k8s.io/v1/namespaces/" + ns + "/roles/" + account.Name, `{"rules":[]}`, 403},
	}
	var all corev1.SecretList
	if err := k8s.List(t.Context(), &all, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	others := 0
	for _, s := range all.Items {
		if !strings.HasPrefix(s.Name, "main-snapshot") {
			others++
			attempts = append(attempts, attempt{"GET", secrets + "/" + s.Name, "", 403})
		}
	}
	if others < 3 {
		t.Errorf("only %d Secrets besides the snapshot: keys and tokens should be among them", others)
	}
	try(t, pod, attempts)
}

// TestTheOperatorsRoleEnds tries what somebody would who has the operator's token.
func TestTheOperatorsRoleEnds(t *testing.T) {
	home := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "sallyport-system"}}
	if err := client.IgnoreAlreadyExists(k8s.Create(t.Context(), home)); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "apply", "-k", filepath.Join(root, "config", "rbac"))
	ns := namespace(t)
	create(t, serviceProvider(ns))
	operator := rest.CopyConfig(apiServer)
	operator.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:sallyport-system:sallyport-operator",
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:sallyport-system", "system:authenticated"}}
	roles := "/apis/rbac.authorization.k8s.io/v1/namespaces/" + ns + "/roles"
	sps := "/apis/sso.sallyport.dev/v1alpha1/namespaces/" + ns + "/serviceproviders"
	role := func(rule string) string {
		return `{"metadata":{"name":"more"},"rules":[` + rule + `]}`
	}
	try(t, operator, []attempt{
		{"GET", sps + "/main", "", 200},
		// It hands out what it has, and nothing that it has not.
		{"POST", roles, role(`{"apiGroups":[""],"resources":["pods/exec"],"verbs":["create"]}`), 403},
		{"POST", roles, role(`{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}`), 403},
		{"POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/" + ns + "/rolebindings",
			`{"metadata":{"name":"more"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},"subjects":[]}`, 403},
		{"POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", role(`{"apiGroups":[""],"resources":["secrets"],"verbs":["get"]}`), 403},
		{"POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", `{"metadata":{"name":"more"}}`, 403},
		// What people wrote stays as they wrote it.
		{"PATCH", sps + "/main", `{"spec":{"url":"https://evil.example"}}`, 403},
		{"DELETE", sps + "/main", "", 403},
		{"POST", sps, `{"metadata":{"name":"more"},"spec":{"url":"https://evil.example"}}`, 403},
		{"PATCH", "/api/v1/namespaces/" + ns + "/configmaps/kube-root-ca.crt", `{"data":{}}`, 403},
		// Nothing of the cluster's.
		{"GET", "/api/v1/nodes", "", 403},
		{"POST", "/api/v1/namespaces", `{"metadata":{"name":"more"}}`, 403},
		{"POST", "/api/v1/namespaces/" + ns + "/pods", `{"metadata":{"name":"more"}}`, 403},
		{"POST", "/api/v1/namespaces/" + ns + "/serviceaccounts/default/token", `{"spec":{}}`, 403},
		{"POST", "/apis/apps/v1/namespaces/" + ns + "/daemonsets", `{"metadata":{"name":"more"}}`, 403},
		{"PATCH", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/identityproviders.sso.sallyport.dev", `{"spec":{}}`, 403},
		{"DELETE", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/identity-provider-in-use.sso.sallyport.dev", "", 403},
	})
}
