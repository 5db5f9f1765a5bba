package crd

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	acmetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	ac "sallyport.dev/sallyport/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"sallyport.dev/sallyport/test/internal/apiserver"
)

const manager = client.FieldOwner("sallyport-test")

// kubectl runs the real kubectl against the test's API server and returns what it prints.
func kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	command := exec.Command(apiserver.Kubectl(), append([]string{"--kubeconfig", kubeconfig}, args...)...)
	command.Stdin = strings.NewReader(stdin)
	command.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// conditions are every condition of the kind with one status and reason.
func conditions(kind string, generation int64, ready metav1.ConditionStatus, reason string) []*acmetav1.ConditionApplyConfiguration {
	var all []*acmetav1.ConditionApplyConfiguration
	for _, conditionType := range v1alpha1.ConditionTypes(kind) {
		all = append(all, acmetav1.Condition().WithType(conditionType).WithStatus(ready).WithReason(reason).WithMessage("-").
			WithObservedGeneration(generation).WithLastTransitionTime(metav1.Unix(0, 0)))
	}
	return all
}

func applyStatus(t *testing.T, configuration runtime.ApplyConfiguration) {
	t.Helper()
	if err := kube.Status().Apply(context.Background(), configuration, manager, client.ForceOwnership); err != nil {
		t.Fatal(err)
	}
}

// TestKubectlGetShowsWhatTheGuidesPromise applies the objects of the first guide and compares what `kubectl get` prints.
func TestKubectlGetShowsWhatTheGuidesPromise(t *testing.T) {
	namespace := namespaceFor(t)
	kubectl(t, guide, "-n", namespace, "apply", "--server-side", "-f", "-")
	serve(t, namespace)

	want := `
NAME                                    DOMAIN        IDP    READY   REASON    AGE
domainbinding.sso.sallyport.dev/acme    acme.example  okta   True    Serving   0s

NAME                                     TYPE   STATE     DOMAINS   CERT-EXPIRY   READY   REASON    AGE
identityprovider.sso.sallyport.dev/okta  Okta   Enabled   1         2031-04-02    True    Serving   0s

NAME                                     IDP    EXAMPLES   READY   REASON    AGE
attributemapping.sso.sallyport.dev/okta  okta   True       True    Serving   0s

NAME                                    URL                       READY   REPLICAS   IDPS   DOMAINS   AGE
serviceprovider.sso.sallyport.dev/main  https://sso.example.com   True    2/2        1      1         0s`
	if missing := notIn(rows(kubectl(t, "", "-n", namespace, "get", "sso")), rows(want)); len(missing) > 0 {
		t.Errorf("kubectl get sso lacks %q", missing)
	}
	wide := rows(kubectl(t, "", "-n", namespace, "get", "idp", "-o", "wide"))
	if missing := notIn(wide, rows(`
NAME   TYPE   STATE     ENTITYID                   DOMAINS   CERT-EXPIRY   READY   REASON    AGE
okta   Okta   Enabled   https://idp.acme.example   1         2031-04-02    True    Serving   0s`)); len(missing) > 0 {
		t.Errorf("kubectl get idp -o wide prints %q", wide)
	}
	for _, short := range []string{"sp", "idp", "dbind", "amap"} {
		if out := kubectl(t, "", "-n", namespace, "get", short, "-o", "name"); !strings.Contains(out, ".sso.sallyport.dev/") {
			t.Errorf("kubectl get %s: %q", short, out)
		}
	}
}

const guide = `
apiVersion: sso.sallyport.dev/v1alpha1
kind: ServiceProvider
metadata: {name: main}
spec: {url: "https://sso.example.com", session: {cookie: {domain: example.com}}}
---
apiVersion: sso.sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: okta}
spec: {serviceProviderRef: {name: main}, displayName: Acme, type: Okta, saml: {metadata: {url: "https://idp.acme.example/metadata"}}}
---
apiVersion: sso.sallyport.dev/v1alpha1
kind: DomainBinding
metadata: {name: acme}
spec: {domain: acme.example, identityProviderRef: {name: okta}}
---
apiVersion: sso.sallyport.dev/v1alpha1
kind: AttributeMapping
metadata: {name: okta}
spec: {identityProviderRef: {name: okta}}
`

// serve writes the status of the guide's objects as the operator does once every pod serves them.
func serve(t *testing.T, namespace string) {
	t.Helper()
	all := func(kind string) []*acmetav1.ConditionApplyConfiguration {
		return conditions(kind, 1, metav1.ConditionTrue, v1alpha1.ReasonServing)
	}
	applyStatus(t, ac.ServiceProvider("main", namespace).WithStatus(ac.ServiceProviderStatus().WithObservedGeneration(1).
		WithReplicaSummary("2/2").WithIdentityProviders(1).WithDomainBindings(1).WithConditions(all(v1alpha1.KindServiceProvider)...)))
	applyStatus(t, ac.IdentityProvider("okta", namespace).WithStatus(ac.IdentityProviderStatus().WithObservedGeneration(1).
		WithEntityID("https://idp.acme.example").WithCertificateExpiry("2031-04-02").
		WithDomains(ac.BoundDomains().WithCount(1).WithNames("acme")).WithConditions(all(v1alpha1.KindIdentityProvider)...)))
	applyStatus(t, ac.DomainBinding("acme", namespace).WithStatus(ac.DomainBindingStatus().WithObservedGeneration(1).WithConditions(all(v1alpha1.KindDomainBinding)...)))
	applyStatus(t, ac.AttributeMapping("okta", namespace).WithStatus(ac.AttributeMappingStatus().WithObservedGeneration(1).WithConditions(all(v1alpha1.KindAttributeMapping)...)))
}

// rows are the lines with single spaces and without the age.
func rows(table string) []string {
	var all []string
	for _, line := range strings.Split(strings.TrimSpace(table), "\n") {
		if cells := strings.Fields(line); len(cells) > 1 {
			all = append(all, strings.Join(cells[:len(cells)-1], " "))
		}
	}
	return all
}

func notIn(have, want []string) []string {
	var missing []string
	for _, row := range want {
		found := false
		for _, h := range have {
			found = found || h == row
		}
		if !found {
			missing = append(missing, row)
		}
	}
	return missing
}

func TestSelectableFields(t *testing.T) {
	namespace := namespaceFor(t)
	kubectl(t, guide, "-n", namespace, "apply", "--server-side", "-f", "-")
	for selector, kind := range map[string]string{
		"spec.domain=acme.example":           "domainbinding",
		"spec.identityProviderRef.name=okta": "domainbinding,attributemapping",
		"spec.serviceProviderRef.name=main":  "identityprovider",
		"spec.state=Enabled":                 "identityprovider",
		"spec.type=Okta":                     "identityprovider",
	} {
		for _, one := range strings.Split(kind, ",") {
			if out := kubectl(t, "", "-n", namespace, "get", one, "-o", "name", "--field-selector", selector); strings.Count(out, "\n") != 1 {
				t.Errorf("%s by %s: %q", one, selector, out)
			}
			other := strings.Split(selector, "=")[0] + "=other"
			if out := kubectl(t, "", "-n", namespace, "get", one, "-o", "name", "--field-selector", other); strings.Contains(out, "sallyport") {
				t.Errorf("%s by %s: %q", one, other, out)
			}
		}
	}
}

func TestApplyingTheSameAgainChangesNothing(t *testing.T) {
	namespace := namespaceFor(t)
	kubectl(t, guide, "-n", namespace, "apply", "--server-side", "-f", "-")
	serve(t, namespace)
	before := versions(t, namespace)
	kubectl(t, guide, "-n", namespace, "apply", "--server-side", "-f", "-")
	serve(t, namespace)
	if after := versions(t, namespace); after != before {
		t.Errorf("versions were %s and are %s", before, after)
	}
}

func versions(t *testing.T, namespace string) string {
	t.Helper()
	return kubectl(t, "", "-n", namespace, "get", "sso", "-o", `jsonpath={range .items[*]}{.kind}={.metadata.resourceVersion}/{.metadata.generation} {end}`)
}

// TestAStatusIsNeverMistaken follows one object of each kind through its life, as tools that wait for it see it.
func TestAStatusIsNeverMistaken(t *testing.T) {
	namespace := namespaceFor(t)
	kubectl(t, guide, "-n", namespace, "apply", "--server-side", "-f", "-")
	for kind, name := range map[string]string{v1alpha1.KindServiceProvider: "main", v1alpha1.KindIdentityProvider: "okta", v1alpha1.KindDomainBinding: "acme", v1alpha1.KindAttributeMapping: "okta"} {
		u := get(t, kind, namespace, name)
		expectStatus(t, u, status.InProgressStatus, "before the first visit")
		for _, conditionType := range v1alpha1.ConditionTypes(kind) {
			if reason := conditionReason(u, conditionType); reason != v1alpha1.ReasonPending {
				t.Errorf("%s: condition %s has reason %q before the first visit", kind, conditionType, reason)
			}
		}
		if n := len(conditionsOf(u)); n != len(v1alpha1.ConditionTypes(kind)) {
			t.Errorf("%s: %d conditions by default", kind, n)
		}
	}
	serve(t, namespace)
	for kind, name := range map[string]string{v1alpha1.KindServiceProvider: "main", v1alpha1.KindIdentityProvider: "okta", v1alpha1.KindDomainBinding: "acme", v1alpha1.KindAttributeMapping: "okta"} {
		expectStatus(t, get(t, kind, namespace, name), status.CurrentStatus, "when served")
	}

	idp := get(t, v1alpha1.KindIdentityProvider, namespace, "okta")
	if err := unstructured.SetNestedField(idp.Object, "Acme Okta", "spec", "displayName"); err != nil {
		t.Fatal(err)
	}
	if err := kube.Update(context.Background(), idp); err != nil {
		t.Fatal(err)
	}
	expectStatus(t, get(t, v1alpha1.KindIdentityProvider, namespace, "okta"), status.InProgressStatus, "after a change")
	if out := kubectl(t, "", "-n", namespace, "wait", "--for=condition=Ready", "sp/main", "--timeout=5s"); !strings.Contains(out, "condition met") {
		t.Error(out)
	}
}

func get(t *testing.T, kind, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	if err := kube.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: name}, u); err != nil {
		t.Fatal(err)
	}
	return u
}

func expectStatus(t *testing.T, u *unstructured.Unstructured, want status.Status, when string) {
	t.Helper()
	result, err := status.Compute(u)
	if err != nil {
		t.Fatal(err)
	}
	if result.Status != want {
		t.Errorf("%s %s is %s (%s), want %s", u.GetKind(), when, result.Status, result.Message, want)
	}
}

func conditionsOf(u *unstructured.Unstructured) []any {
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	return list
}

func conditionReason(u *unstructured.Unstructured, conditionType string) string {
	for _, c := range conditionsOf(u) {
		if condition, ok := c.(map[string]any); ok && condition["type"] == conditionType {
			return condition["reason"].(string)
		}
	}
	return ""
}
