package controllers

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
)

// household is one object of each kind and a second binding: a directory that somebody applies and deletes.
func household(t testing.TB, ns string) map[string]client.Object {
	t.Helper()
	return map[string]client.Object{
		"sp": serviceProvider(ns), "idp": identityProvider(ns, "okta", inline(t)), "mapping": attributeMapping(ns, "okta", "okta"),
		"binding": domainBinding(ns, "acme-com", "acme.example", "okta"), "other binding": domainBinding(ns, "acme-org", "acme.test", "okta"),
	}
}

func (o *operator) ready(household map[string]client.Object) {
	o.t.Helper()
	for _, object := range household {
		await(o.t, object, "Ready", isTrue, "Serving")
	}
}

// gone waits until nothing is left, and holds the audit log to having told each deletion once: the operator itself, or, of an IdentityProvider, the pod.
func (o *operator) gone(name string, household map[string]client.Object, p *pod) {
	o.t.Helper()
	for _, object := range household {
		awaitGone(o.t, patience, object)
	}
	told := func() string {
		deletions := map[string]int{"sp": o.audit.about(audit.TypeServiceProviderDeleted, household["sp"]),
			"idp":     o.audit.about(audit.TypeSAMLIdPDeleted, household["idp"]) + p.undone(household["idp"].GetUID()),
			"binding": o.audit.about(audit.TypeSAMLDomainUnbound, household["binding"]), "other binding": o.audit.about(audit.TypeSAMLDomainUnbound, household["other binding"]),
			"mapping": o.audit.about(audit.TypeAttributeMappingDeleted, household["mapping"])}
		for object := range household {
			if deletions[object] != 1 {
				return fmt.Sprintf("%s: deletions of %s told: %d", name, object, deletions[object])
			}
		}
		return ""
	}
	for deadline := time.Now().Add(patience); told() != "" && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	if problem := told(); problem != "" {
		o.t.Error(problem)
	}
	eventually(o.t, "nothing is left in the ledger", func() bool {
		var secrets corev1.SecretList
		if err := k8s.List(o.t.Context(), &secrets, client.InNamespace(o.home)); err != nil {
			o.t.Fatal(err)
		}
		return len(secrets.Items) == 0
	})
}

// TestEverythingGoesInAnyOrder deletes as kubectl delete -f dir/ does: one request after another, in the order of the files.
func TestEverythingGoesInAnyOrder(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	random := rand.New(rand.NewPCG(4, 4))
	orders := [][]string{{"sp", "idp", "mapping", "binding", "other binding"}, {"idp", "sp", "binding", "other binding", "mapping"}, {"binding", "other binding", "idp", "mapping", "sp"}}
	for range 5 {
		order := []string{"sp", "idp", "binding", "other binding", "mapping"}
		random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		orders = append(orders, order)
	}
	for i, order := range orders {
		objects := household(t, ns)
		for _, object := range objects {
			create(t, object)
		}
		p := newPod(t, ns, "main")
		o.ready(objects)
		for _, name := range order {
			remove(t, objects[name])
			if i%2 == 1 {
				time.Sleep(150 * time.Millisecond) // passes in between
			}
		}
		o.gone(strings.Join(order, ", "), objects, p)
		collectGarbage(t, ns)
	}
}

// collectGarbage does what Kubernetes' garbage collector does, which does not run here: what belonged to the objects goes.
func collectGarbage(t testing.TB, ns string) {
	t.Helper()
	for _, list := range []client.Object{&corev1.Secret{}, &corev1.Pod{}, &corev1.ServiceAccount{}, &corev1.Service{}, &appsv1.Deployment{}, &appsv1.StatefulSet{},
		&rbacv1.Role{}, &rbacv1.RoleBinding{}, &policyv1.PodDisruptionBudget{}, &networkingv1.NetworkPolicy{}} {
		if err := k8s.DeleteAllOf(t.Context(), list, client.InNamespace(ns), client.GracePeriodSeconds(0)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEverythingGoesThoughTheOperatorWasDown(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	objects := household(t, ns)
	for _, object := range objects {
		create(t, object)
	}
	p := newPod(t, ns, "main")
	o.ready(objects)
	o.stop()
	for _, name := range []string{"idp", "binding", "sp", "mapping", "other binding"} {
		remove(t, objects[name])
	}
	if get(t, objects["idp"]); objects["idp"].GetDeletionTimestamp() == nil {
		t.Fatal("it is not being deleted")
	}
	o.restart()
	o.gone("the operator was down", objects, p)
}

// TestANamespaceGoesWithEverythingInIt plays the namespace controller, which does not run here, under its own name: the policy lets it pass, in any order.
func TestANamespaceGoesWithEverythingInIt(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	objects := household(t, ns)
	for _, object := range objects {
		create(t, object)
	}
	p := newPod(t, ns, "main")
	o.ready(objects)
	policy(t, ns, "")
	all := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}
	remove(t, all)
	as := rest.CopyConfig(apiServer)
	as.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:kube-system:namespace-controller", Groups: []string{"system:masters"}}
	controller, err := client.New(as, client.Options{Scheme: k8s.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []client.Object{&v1alpha1.IdentityProvider{}, &corev1.Secret{}, &corev1.Pod{}, &v1alpha1.ServiceProvider{}, &v1alpha1.AttributeMapping{}, &v1alpha1.DomainBinding{}} {
		if err := controller.DeleteAllOf(t.Context(), kind, client.InNamespace(ns)); err != nil {
			t.Fatalf("%T: %v", kind, err)
		}
	}
	o.gone("the namespace goes", objects, p)
	get(t, all)
	all.Spec.Finalizers = nil
	if _, err := kubernetes.NewForConfigOrDie(as).CoreV1().Namespaces().Finalize(t.Context(), all, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(all), all); !apierrors.IsNotFound(err) {
		t.Errorf("the namespace is still there: %v", err)
	}
}

func TestEverythingGoesThoughNoPodAnswers(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	objects := household(t, ns)
	for _, object := range objects {
		create(t, object)
	}
	p := newPod(t, ns, "main")
	o.ready(objects)
	addresses.Delete(p.UID)
	for _, name := range []string{"binding", "other binding", "idp"} {
		remove(t, objects[name])
	}
	awaitGone(t, patience, objects["idp"])
	remove(t, objects["mapping"], objects["sp"])
	o.gone("no pod answers", objects, p)
	if n := o.audit.about(audit.TypeSAMLIdPUpdated, objects["idp"]); n != 0 {
		t.Error("the deletion was recorded as a change of the spec")
	}
	if n := o.audit.about(audit.TypeSAMLIdPDeleted, objects["idp"]); n != 1 {
		t.Errorf("the service provider cannot have recorded it, and the operator told it %d times", n)
	}
}

// directory writes the objects as files, in the order of the names, for kubectl -f.
func directory(t *testing.T, order []string, objects map[string]client.Object) string {
	t.Helper()
	dir := t.TempDir()
	for i, name := range order {
		object := objects[name]
		kind, err := k8s.GroupVersionKindFor(object)
		if err != nil {
			t.Fatal(err)
		}
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{Object: content}
		u.SetGroupVersionKind(kind)
		encoded, err := u.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.json", i)), encoded, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestKubectlDeletesADirectory as people do, with the IdentityProvider before its bindings and after. Where the policy denies, it stays behind with a sentence
// when it comes first, and the same command finishes it; everywhere else one command does.
func TestKubectlDeletesADirectory(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"absent", "warn", "deny"} {
		for _, order := range [][]string{{"sp", "idp", "mapping", "binding", "other binding"}, {"binding", "other binding", "mapping", "idp", "sp"}} {
			t.Run(mode+" "+order[0]+" first", func(t *testing.T) {
				t.Parallel()
				ns := namespace(t)
				o := newOperator(t, ns)
				objects := household(t, ns)
				dir := directory(t, order, objects)
				kubectl(t, "-n", ns, "apply", "--server-side", "-f", dir)
				p := newPod(t, ns, "main")
				o.ready(objects)
				if mode != "absent" {
					policy(t, ns, strings.TrimPrefix(mode, "deny"))
				}
				out, err := tryKubectl(t, "-n", ns, "delete", "-f", dir, "--timeout=60s")
				first := order[0] == "sp"
				if mode == "deny" && first == (err == nil) || mode != "deny" && err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				if first && mode == "deny" {
					mustContain(t, out, "IdentityProvider okta still has 2 domain bindings (acme-com, acme-org): delete or rebind them first")
					kubectl(t, "-n", ns, "delete", "-f", dir, "--ignore-not-found", "--timeout=60s")
				}
				o.gone(mode, objects, p)
			})
		}
	}
}

// TestKubectlDeletesTheSamplesInOneCommand under Deny, over and over. The API server hears of a deleted binding through a watch of its own: on a machine that is
// very busy one run may come too early.
func TestKubectlDeletesTheSamplesInOneCommand(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	newOperator(t, ns)
	samples := filepath.Join(root, "config", "samples")
	idp, binding := identityProvider(ns, "acme", v1alpha1.MetadataSource{}), domainBinding(ns, "acme-example", "", "acme")
	lost := ""
	for i := range 5 {
		kubectl(t, "-n", ns, "apply", "-f", samples)
		newPod(t, ns, "main")
		await(t, binding, "Ready", isTrue, "Serving")
		if i == 0 {
			policyInForce(t, ns, "", "acme")
		}
		if out, err := tryKubectl(t, "-n", ns, "delete", "-f", samples, "--timeout=60s"); err != nil && lost == "" {
			lost = out
			kubectl(t, "-n", ns, "delete", "-f", samples, "--ignore-not-found", "--timeout=60s")
		} else if err != nil {
			t.Fatalf("this is the second time: %v\n%s\nbefore:\n%s", err, out, lost)
		}
		awaitGone(t, patience, idp)
		collectGarbage(t, ns)
	}
}
