package controllers

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// walked is one field of a kind below spec that is set, changed and removed again, in one running system. Where the base has it, removing is going back to what the base has.
type walked struct {
	kind, path, first, second string
	// ready is the reason of Ready that the first and the second value lead to; empty: Serving.
	ready [2]string
	// silent is true when what the pods serve and run as does not depend on it.
	silent bool
}

// mistake stands for any reason that a person has to do something about; then they correct it.
const mistake = "a mistake"

// passing are the reasons of Ready that go away by themselves.
var passing = []string{"Serving", "WaitingForPods", "Pending", "NoReadyPods", "Fetching"}

// TestEveryFieldIsSetChangedAndRemoved takes every optional field of every kind through its life. Each step is followed: it shows in what the pods serve or run as, and when
// the field is gone everything is as it was. Not one step disturbs another object.
func TestEveryFieldIsSetChangedAndRemoved(t *testing.T) {
	t.Parallel()
	steps := map[string][]walked{"ServiceProvider": serviceProviderWalks(), "IdentityProvider": identityProviderWalks(t), "the others": otherWalks()}
	t.Run("of", func(t *testing.T) {
		for name, walks := range steps {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				walk(t, walks)
			})
		}
	})
	covered := map[string]bool{}
	for _, walks := range steps {
		for _, w := range walks {
			for _, value := range []string{w.first, w.second} {
				if value != "" {
					cover(covered, w.kind, strings.TrimPrefix("spec."+w.path, "."), parse(t, value))
				}
			}
		}
	}
	for _, leaf := range leaves(t) {
		if !covered[leaf] {
			t.Errorf("no step sets %s", leaf)
		}
	}
}

// walk goes the steps one after the other in a system of their own.
func walk(t *testing.T, walks []walked) {
	t.Helper()
	ns := namespace(t)
	newOperator(t, ns, withDNS(silentDNS))
	objects := walkObjects(t, ns)
	before := effect(t, ns)
	for _, w := range walks {
		base := walkGet(t, objects[w.kind])
		last := before
		for i, value := range []string{w.first, w.second} {
			if value == "" {
				continue
			}
			walkSet(t, objects[w.kind], w.path, parse(t, value))
			reason := w.ready[i]
			if reason == "" {
				reason = "Serving"
			}
			walkAwait(t, objects[w.kind], fmt.Sprintf("%s %s=%s", w.kind, w.path, value), reason)
			now := effect(t, ns)
			if followed := now != last; reason != mistake && followed == w.silent {
				t.Errorf("%s %s=%s: that what pods serve or run as has changed is %v", w.kind, w.path, value, followed)
			}
			last = now
		}
		old, there, _ := unstructured.NestedFieldCopy(base.Object, append([]string{"spec"}, names(w.path)...)...)
		if !there {
			old = nil
		}
		walkSet(t, objects[w.kind], w.path, old)
		for kind, object := range objects {
			walkAwait(t, object, fmt.Sprintf("%s, after %s %s is gone", kind, w.kind, w.path), "Serving")
		}
		if now := effect(t, ns); now != before {
			t.Errorf("%s %s has left something behind:\n%s\n%s", w.kind, w.path, before, now)
			before = now
		}
	}
}

// walkObjects makes one of each kind, and what they refer to.
func walkObjects(t *testing.T, ns string) map[string]client.Object {
	t.Helper()
	metadata := inline(t)
	things := map[string]string{"ca.crt": certificatePEM(t), "metadata.xml": metadata.Inline, "tls.crt": certificatePEM(t), "key": "0123456789abcdef0123456789abcdef", "uri": "postgres://sso@db.example.com/sso"}
	data := map[string][]byte{}
	for name, value := range things {
		data[name] = []byte(value)
	}
	objects := map[string]client.Object{
		v1alpha1.KindServiceProvider: serviceProvider(ns), v1alpha1.KindIdentityProvider: identityProvider(ns, "okta", metadata),
		v1alpha1.KindDomainBinding: domainBinding(ns, "acme", "acme.example", "okta"),
		v1alpha1.KindAttributeMapping: &v1alpha1.AttributeMapping{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "okta"},
			Spec: v1alpha1.AttributeMappingSpec{IdentityProviderRef: v1alpha1.IdentityProviderReference{Name: "okta"}}},
	}
	create(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "things"}, Data: things},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "things"}, Data: data})
	for _, object := range objects {
		create(t, object)
	}
	newPod(t, ns, "main")
	for _, object := range objects {
		await(t, object, "Ready", isTrue, "Serving")
	}
	return objects
}

func parse(t *testing.T, value string) any {
	t.Helper()
	var parsed any
	if err := yaml.Unmarshal([]byte(value), &parsed); err != nil {
		t.Fatalf("%s: %v", value, err)
	}
	return integers(parsed)
}

// integers are what YAML reads as floats and the API server wants whole.
func integers(value any) any {
	switch v := value.(type) {
	case float64:
		return int64(v)
	case map[string]any:
		for name := range v {
			v[name] = integers(v[name])
		}
	case []any:
		for i := range v {
			v[i] = integers(v[i])
		}
	}
	return value
}

func names(path string) []string {
	if path == "" {
		return nil
	}
	return strings.Split(path, ".")
}

func walkGet(t *testing.T, object client.Object) *unstructured.Unstructured {
	t.Helper()
	gvk, err := k8s.GroupVersionKindFor(object)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gvk)
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(object), u); err != nil {
		t.Fatal(err)
	}
	return u
}

// walkSet sets the field, or removes it when the value is nil.
func walkSet(t *testing.T, object client.Object, path string, value any) {
	t.Helper()
	at := append([]string{"spec"}, names(path)...)
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error { // the operator writes its status meanwhile
		u := walkGet(t, object)
		if value == nil {
			unstructured.RemoveNestedField(u.Object, at...)
		} else if err := unstructured.SetNestedField(u.Object, value, at...); err != nil {
			return err
		}
		return k8s.Update(t.Context(), u)
	})
	if err != nil {
		t.Fatalf("%s=%v: %v", path, value, err)
	}
}

func walkAwait(t *testing.T, object client.Object, what, reason string) {
	t.Helper()
	var last metav1.Condition
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		u := walkGet(t, object)
		if c := meta.FindStatusCondition(conditionsOf(t, u), "Ready"); c != nil {
			if last = *c; c.ObservedGeneration == u.GetGeneration() && (c.Reason == reason || reason == mistake && !slices.Contains(passing, c.Reason)) {
				return
			}
		}
	}
	t.Fatalf("%s: Ready is %s and not %s: %s", what, last.Reason, reason, last.Message)
}

var generations = regexp.MustCompile(`"generation":\d+,?`)

// effect is what the pods serve and run as, without what only counts changes.
func effect(t *testing.T, ns string) string {
	t.Helper()
	s := served(t, ns)
	all := []any{s}
	var stateful appsv1.StatefulSetList
	var deployments appsv1.DeploymentList
	var ingresses networkingv1.IngressList
	var claims corev1.PersistentVolumeClaimList
	for _, list := range []client.ObjectList{&stateful, &deployments, &ingresses, &claims} {
		if err := k8s.List(t.Context(), list, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range stateful.Items {
		all = append(all, o.Spec)
	}
	for _, o := range deployments.Items {
		all = append(all, o.Spec)
	}
	for _, o := range ingresses.Items {
		all = append(all, o.Annotations, o.Spec)
	}
	for _, o := range claims.Items {
		all = append(all, o.OwnerReferences, o.Spec)
	}
	encoded, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return generations.ReplaceAllString(string(encoded), "")
}

// cover notes every field that a value sets.
func cover(covered map[string]bool, kind, path string, value any) {
	path = strings.TrimSuffix(path, ".")
	covered[kind+" "+path] = true
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			cover(covered, kind, path+"."+name, inner)
		}
	case []any:
		for _, inner := range v {
			cover(covered, kind, path+"[]", inner)
		}
	}
}

// kubernetesOwn are fields whose inside is Kubernetes' own and taken over as it is.
var kubernetesOwn = []string{"affinity", "tolerations", "topologySpreadConstraints", "resources"}

// leaves are all fields of all kinds, from the schema that the API server has.
func leaves(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "config", "crd", "bases", "*.yaml"))
	if err != nil || len(files) != 4 {
		t.Fatalf("%d CRDs: %v", len(files), err)
	}
	var all []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(content, &definition); err != nil {
			t.Fatal(err)
		}
		spec := definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
		all = append(all, leavesOf(definition.Spec.Names.Kind, "spec", &spec)...)
	}
	return all
}

func leavesOf(kind, path string, schema *apiextensionsv1.JSONSchemaProps) []string {
	name := path[strings.LastIndexByte(path, '.')+1:]
	if slices.Contains(kubernetesOwn, name) {
		return []string{kind + " " + path}
	}
	if schema.Items != nil && len(schema.Items.Schema.Properties) > 0 {
		return leavesOf(kind, path+"[]", schema.Items.Schema)
	}
	if len(schema.Properties) == 0 {
		return []string{kind + " " + path}
	}
	var all []string
	for name, property := range schema.Properties {
		if optional := !slices.Contains([]string{"spec.domain", "spec.identityProviderRef", "spec.serviceProviderRef"}, path+"."+name); optional {
			all = append(all, leavesOf(kind, path+"."+name, &property)...)
		}
	}
	return all
}
