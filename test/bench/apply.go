package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

var identityProviders = schema.GroupVersionResource{Group: "sso.sallyport.dev", Version: "v1alpha1", Resource: "identityproviders"}

// applySuite measures what an admin waits for: from the answer to `kubectl apply` of one more IdentityProvider with inline metadata, in a
// running system, to Ready, which means that every pod serves it.
func applySuite(ctx context.Context, o options) ([]Result, error) {
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; start the system with make demo", o.kubeconfig, err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	resource := client.Resource(identityProviders).Namespace(o.namespace)
	var took []time.Duration
	defer func() {
		for i := range took {
			_ = resource.Delete(context.WithoutCancel(ctx), applyName(i), metav1.DeleteOptions{})
		}
	}()
	for i := range o.applies {
		idp, err := inlineProvider(o, applyName(i))
		if err != nil {
			return nil, err
		}
		d, err := applyUntilReady(ctx, resource, idp)
		if err != nil {
			return nil, fmt.Errorf("apply %d of %d: %w", i+1, o.applies, err)
		}
		took = append(took, d)
	}
	sorted := slices.Sorted(slices.Values(took))
	return []Result{
		{Name: fmt.Sprintf("apply to Ready, p50 of %d", len(sorted)), Value: sorted[len(sorted)/2].Seconds(), Unit: "s"},
		{Name: fmt.Sprintf("apply to Ready, p99 of %d", len(sorted)), Value: sorted[len(sorted)*99/100].Seconds(), Unit: "s"},
	}, nil
}

func applyName(i int) string { return fmt.Sprintf("bench-%03d", i) }

func applyUntilReady(ctx context.Context, resource dynamic.ResourceInterface, idp *unstructured.Unstructured) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	watcher, err := resource.Watch(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", idp.GetName()).String()})
	if err != nil {
		return 0, err
	}
	defer watcher.Stop()
	start := time.Now()
	if _, err := resource.Apply(ctx, idp.GetName(), idp, metav1.ApplyOptions{FieldManager: "sallyport-bench", Force: true}); err != nil {
		return 0, err
	}
	var last *unstructured.Unstructured
	for event := range watcher.ResultChan() {
		object, ok := event.Object.(*unstructured.Unstructured)
		if !ok || event.Type == watch.Deleted {
			continue
		}
		last = object
		if ready(object) {
			return time.Since(start), nil
		}
	}
	return 0, fmt.Errorf("%s was not Ready within 30 s: %v", idp.GetName(), conditions(last))
}

func ready(object *unstructured.Unstructured) bool {
	for _, c := range conditions(object) {
		generation, _, _ := unstructured.NestedInt64(c, "observedGeneration")
		if c["type"] == "Ready" {
			return c["status"] == "True" && generation == object.GetGeneration()
		}
	}
	return false
}

func conditions(object *unstructured.Unstructured) []map[string]any {
	if object == nil {
		return nil
	}
	list, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	var all []map[string]any
	for _, item := range list {
		if c, ok := item.(map[string]any); ok {
			all = append(all, c)
		}
	}
	return all
}

func inlineProvider(o options, name string) (*unstructured.Unstructured, error) {
	metadata, err := inlineMetadata(name)
	if err != nil {
		return nil, err
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "sso.sallyport.dev/v1alpha1",
		"kind":       "IdentityProvider",
		"metadata":   map[string]any{"name": name, "namespace": o.namespace},
		"spec": map[string]any{
			"serviceProviderRef": map[string]any{"name": o.serviceProvider},
			"displayName":        "Benchmark",
			"saml":               map[string]any{"metadata": map[string]any{"inline": metadata}},
		},
	}}, nil
}

// inlineMetadata is what a small IdP publishes: one signing certificate, one endpoint.
func inlineMetadata(name string) (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now(), NotAfter: time.Now().AddDate(2, 0, 0)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://%[1]s.example.com/idp">
  <IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>%[2]s</X509Certificate></X509Data></KeyInfo></KeyDescriptor>
    <SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://%[1]s.example.com/sso"/>
  </IDPSSODescriptor>
</EntityDescriptor>`, name, base64.StdEncoding.EncodeToString(certificate)), nil
}
