package controllers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/test/internal/apiserver"
	awaiting "sallyport.dev/sallyport/test/internal/await"
)

// patience is how long is waited for what should take a second: a machine may have other things to do.
const patience = time.Minute

// namespace makes a namespace of its own for a test.
func namespace(t testing.TB) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := k8s.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

func remove(t testing.TB, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if err := k8s.Delete(t.Context(), object); err != nil {
			t.Fatalf("deleting %s: %v", object.GetName(), err)
		}
	}
}

// awaitGone waits until the object does not exist any more.
func awaitGone(t testing.TB, within time.Duration, object client.Object) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		err := k8s.Get(t.Context(), client.ObjectKeyFromObject(object), object)
		if apierrors.IsNotFound(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there after %s, held by %v (%v)", object.GetName(), within, object.GetFinalizers(), err)
		}
	}
}

func exists(t testing.TB, object client.Object) bool {
	t.Helper()
	err := k8s.Get(t.Context(), client.ObjectKeyFromObject(object), object)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return err == nil
}

// eventually waits until what holds; await, below, until a condition does.
var eventually = awaiting.Until

// update writes the object as somebody does who has it in an editor: when the operator has written its status or finalizer meanwhile, once more.
func update(t testing.TB, object client.Object) {
	t.Helper()
	err := k8s.Update(t.Context(), object)
	for apierrors.IsConflict(err) {
		now := object.DeepCopyObject().(client.Object)
		get(t, now)
		object.SetResourceVersion(now.GetResourceVersion())
		object.SetFinalizers(now.GetFinalizers())
		err = k8s.Update(t.Context(), object)
	}
	if err != nil {
		t.Fatalf("updating %s: %v", object.GetName(), err)
	}
}

// letGo takes all finalizers off, whatever else is written at the same time.
func letGo(t testing.TB, object client.Object) {
	t.Helper()
	get(t, object)
	before := object.DeepCopyObject().(client.Object)
	object.SetFinalizers(nil)
	if err := k8s.Patch(t.Context(), object, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

func create(t testing.TB, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if err := k8s.Create(t.Context(), object); err != nil {
			t.Fatalf("creating %s: %v", object.GetName(), err)
		}
	}
}

func serviceProvider(ns string) *v1alpha1.ServiceProvider {
	return &v1alpha1.ServiceProvider{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "main"}, Spec: v1alpha1.ServiceProviderSpec{URL: "https://sso.example.com"}}
}

func identityProvider(ns, name string, source v1alpha1.MetadataSource) *v1alpha1.IdentityProvider {
	return &v1alpha1.IdentityProvider{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: v1alpha1.IdentityProviderSpec{
		ServiceProviderRef: v1alpha1.ServiceProviderReference{Name: "main"}, DisplayName: "Acme", SAML: v1alpha1.SAMLSettings{Metadata: source}}}
}

func domainBinding(ns, name, domain, idp string) *v1alpha1.DomainBinding {
	return &v1alpha1.DomainBinding{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: v1alpha1.DomainBindingSpec{
		Domain: domain, IdentityProviderRef: v1alpha1.IdentityProviderReference{Name: v1alpha1.ObjectName(idp)}}}
}

// await waits until the condition of the object has the status and reason, for the object's generation, and returns its message.
func await[T client.Object](t testing.TB, object T, conditionType string, want metav1.ConditionStatus, reason string) string {
	t.Helper()
	var last []metav1.Condition
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			t.Fatalf("reading %s: %v", object.GetName(), err)
		}
		last = conditionsOf(t, object)
		c := meta.FindStatusCondition(last, conditionType)
		if c != nil && c.Status == want && c.Reason == reason && c.ObservedGeneration == object.GetGeneration() {
			return c.Message
		}
	}
	t.Fatalf("%s did not become %s=%s (%s): %+v", object.GetName(), conditionType, want, reason, last)
	return ""
}

func conditionsOf(t testing.TB, object client.Object) []metav1.Condition {
	t.Helper()
	encoded, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var o struct {
		Status struct {
			Conditions []metav1.Condition `json:"conditions"`
		} `json:"status"`
	}
	if err := json.Unmarshal(encoded, &o); err != nil {
		t.Fatal(err)
	}
	return o.Status.Conditions
}

// gitOpsStatus is what Argo CD, Flux and kubectl make of the object.
func gitOpsStatus(t testing.TB, object client.Object) status.Status {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: content})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}

func conditionTypes(conditions []metav1.Condition) []string {
	var types []string
	for _, c := range conditions {
		types = append(types, c.Type)
	}
	slices.Sort(types)
	return types
}

// idpMetadata is what a small IdP publishes.
func idpMetadata(t testing.TB, entityID string) string {
	t.Helper()
	return fmt.Sprintf(`<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="%s">
  <IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>%s</X509Certificate></X509Data></KeyInfo></KeyDescriptor>
    <SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.com/sso"/>
  </IDPSSODescriptor>
</EntityDescriptor>`, entityID, base64.StdEncoding.EncodeToString(certificate(t)))
}

func certificate(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp.example.com"}, NotBefore: time.Now(), NotAfter: time.Now().AddDate(2, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func certificatePEM(t testing.TB) string {
	return pemOf(certificate(t))
}

func mustContain(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func attributeMapping(ns, name, idp string) *v1alpha1.AttributeMapping {
	return &v1alpha1.AttributeMapping{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: v1alpha1.AttributeMappingSpec{
		IdentityProviderRef: v1alpha1.IdentityProviderReference{Name: v1alpha1.ObjectName(idp)},
		Email:               &v1alpha1.AttributeSources{From: []v1alpha1.AttributeSource{{Name: "email"}}},
		Examples: []v1alpha1.MappingExample{{Attributes: map[string]v1alpha1.AttributeValues{"email": {"alice@acme.example"}},
			Expect: v1alpha1.MappingExpectation{Email: "alice@acme.example"}}}}}
}

// kubectl runs the real one and returns what it prints.
func kubectl(t testing.TB, args ...string) string {
	t.Helper()
	out, err := tryKubectl(t, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func tryKubectl(t testing.TB, args ...string) (string, error) {
	t.Helper()
	command := exec.Command(apiserver.Kubectl(), append([]string{"--kubeconfig", kubeconfig}, args...)...)
	command.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := command.CombinedOutput()
	return string(out), err
}

func isReady(t testing.TB, object client.Object) bool {
	t.Helper()
	return exists(t, object) && meta.IsStatusConditionTrue(conditionsOf(t, object), "Ready")
}
