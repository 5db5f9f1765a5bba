package controllers

import (
	"context"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// TestTheRouteIsThereAsLongAsItIsAskedFor: an HTTPRoute that stayed would leave the service public, and one that somebody deletes has to come back. It runs alone, because
// the other tests are of a cluster without the Gateway API.
func TestTheRouteIsThereAsLongAsItIsAskedFor(t *testing.T) {
	removeGatewayAPI := gatewayAPI(t)
	ns, clock := namespace(t), movable(t)
	o := newOperator(t, ns, withClock(clock), asItself(t))
	sp := serviceProvider(ns)
	byRoute := &v1alpha1.Exposure{HTTPRoute: &v1alpha1.HTTPRouteExposure{ParentRefs: []v1alpha1.GatewayReference{{Name: "gateway"}}}}
	byIngress := &v1alpha1.Exposure{Ingress: &v1alpha1.IngressExposure{}}
	sp.Spec.Expose = byRoute
	create(t, sp)
	route := routeOf(ns)
	serves := func(host string) func() bool {
		return func() bool {
			if !exists(t, route) {
				return false
			}
			hosts, _, err := unstructured.NestedStringSlice(route.Object, "spec", "hostnames")
			return err == nil && len(hosts) == 1 && hosts[0] == host
		}
	}
	eventually(t, "the route", serves("sso.example.com"))

	edited := route.DeepCopy()
	if err := unstructured.SetNestedStringSlice(edited.Object, []string{"evil.example.com"}, "spec", "hostnames"); err != nil {
		t.Fatal(err)
	}
	update(t, edited)
	clock.Step(2 * time.Minute)
	eventually(t, "what somebody has changed is changed back", serves("sso.example.com"))
	remove(t, route)
	clock.Step(2 * time.Minute)
	eventually(t, "what somebody has deleted is there again", serves("sso.example.com"))
	clock.Step(2 * time.Minute)
	o.atRest(t)

	expose := func(how *v1alpha1.Exposure) {
		t.Helper()
		before := client.MergeFrom(sp.DeepCopy())
		sp.Spec.Expose = how
		if err := k8s.Patch(t.Context(), sp, before); err != nil {
			t.Fatal(err)
		}
	}
	expose(byIngress)
	ingress := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: route.GetName()}}
	eventually(t, "an Ingress instead", func() bool { return exists(t, ingress) && !exists(t, route) })
	expose(byRoute)
	eventually(t, "a route again", func() bool { return serves("sso.example.com")() && !exists(t, ingress) })
	expose(nil)
	eventually(t, "nothing is public any more", func() bool { return !exists(t, route) && !exists(t, ingress) })

	foreign := routeOf(ns)
	create(t, foreign)
	expose(byIngress)
	eventually(t, "the Ingress", func() bool { return exists(t, ingress) })
	o.atRest(t)
	if !exists(t, foreign) {
		t.Error("a route of somebody else was deleted")
	}
	remove(t, foreign)
	expose(byRoute)
	eventually(t, "the last route", serves("sso.example.com"))
	removeGatewayAPI()
	clock.Step(2 * time.Minute)
	mustContain(t, await(t, sp, "Accepted", isFalse, "Invalid"), "spec.expose.httpRoute: the cluster has no Gateway API")
}

func routeOf(ns string) *unstructured.Unstructured {
	route := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute"}}
	route.SetNamespace(ns)
	route.SetName("main-sallyport")
	return route
}

// gatewayAPI installs the kind HTTPRoute, as far as the operator has to do with it, and returns what removes it again.
func gatewayAPI(t *testing.T) (removeIt func()) {
	t.Helper()
	anything := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	crd := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "httproutes.gateway.networking.k8s.io",
			"annotations": map[string]any{"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/1538"}},
		"spec": map[string]any{"group": "gateway.networking.k8s.io", "scope": "Namespaced",
			"names": map[string]any{"kind": "HTTPRoute", "listKind": "HTTPRouteList", "plural": "httproutes", "singular": "httproute"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true, "subresources": map[string]any{"status": map[string]any{}},
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "properties": map[string]any{"spec": anything, "status": anything}}}}}},
	}}
	create(t, crd)
	removeIt = func() {
		remove(t, crd)
		awaitGone(t, patience, crd)
	}
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(k8s.Delete(context.Background(), crd)); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the kind is served", func() bool {
		list := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRouteList"}}
		return k8s.List(t.Context(), list) == nil
	})
	return removeIt
}
