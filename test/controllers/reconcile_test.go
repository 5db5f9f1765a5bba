package controllers

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/snapshot"
)

const (
	isTrue  = metav1.ConditionTrue
	isFalse = metav1.ConditionFalse
)

func inline(t *testing.T) v1alpha1.MetadataSource {
	return v1alpha1.MetadataSource{Inline: idpMetadata(t, "https://idp.example.com/")}
}

// served is what the pods of the ServiceProvider main would serve now.
func served(t *testing.T, ns string) snapshot.Snapshot {
	t.Helper()
	s, _, err := snapshot.Decode(func(file string) ([]byte, error) {
		var secret corev1.Secret
		err := k8s.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: snapshot.SecretName("main", file)}, &secret)
		return secret.Data[file], err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEverythingBecomesReadyAndThenRests(t *testing.T) {
	ns := namespace(t)
	sp, idp, binding := serviceProvider(ns), identityProvider(ns, "okta", inline(t)), domainBinding(ns, "acme", "acme.example", "okta")
	create(t, sp, idp, binding)
	readyPod(t, ns, "main")
	mustContain(t, await(t, idp, "Ready", isTrue, "Serving"), "Every pod (1/1) serves generation 1.")
	await(t, binding, "Ready", isTrue, "Serving")
	await(t, sp, "Ready", isTrue, "Serving")

	for _, object := range []client.Object{sp, idp, binding} {
		if got := gitOpsStatus(t, object); got != status.CurrentStatus {
			t.Errorf("GitOps tools see %s as %s", object.GetName(), got)
		}
		kind := map[client.Object]string{sp: v1alpha1.KindServiceProvider, idp: v1alpha1.KindIdentityProvider, binding: v1alpha1.KindDomainBinding}[object]
		for _, want := range v1alpha1.ConditionTypes(kind) {
			if !strings.Contains(strings.Join(conditionTypes(conditionsOf(t, object)), " "), want) {
				t.Errorf("%s has no condition %s", object.GetName(), want)
			}
		}
	}
	if got := idp.Status.ServiceProvider.ACSURL; got != "https://sso.example.com/saml/okta/acs" {
		t.Errorf("the ACS URL is %q", got)
	}
	if idp.Status.Domains == nil || *idp.Status.Domains.Count != 1 || idp.Status.CertificateExpiry == "" {
		t.Errorf("status shows no domains or expiry: %+v", idp.Status)
	}
	for _, recordType := range []audit.Type{audit.TypeSAMLIdPCreated, audit.TypeSAMLIdPTrustEstablished} {
		if n := log.count(recordType, ns, "okta"); n != 1 {
			t.Errorf("%v was recorded %d times", recordType, n)
		}
	}
	atRest(t, ns)
}

// atRest asserts that nothing is written when nothing changes: resource versions stand still, and so do the Secrets'.
func atRest(t *testing.T, ns string) {
	t.Helper()
	before := versions(t, ns)
	time.Sleep(2 * time.Second)
	for name, version := range versions(t, ns) {
		if before[name] != version {
			t.Errorf("%s was written at rest", name)
		}
	}
}

func versions(t *testing.T, ns string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, list := range []client.ObjectList{&v1alpha1.ServiceProviderList{}, &v1alpha1.IdentityProviderList{}, &v1alpha1.DomainBindingList{}, &corev1.SecretList{}} {
		if err := k8s.List(t.Context(), list, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
		switch l := list.(type) {
		case *v1alpha1.ServiceProviderList:
			for _, o := range l.Items {
				all["sp/"+o.Name] = o.ResourceVersion
			}
		case *v1alpha1.IdentityProviderList:
			for _, o := range l.Items {
				all["idp/"+o.Name] = o.ResourceVersion
			}
		case *v1alpha1.DomainBindingList:
			for _, o := range l.Items {
				all["binding/"+o.Name] = o.ResourceVersion
			}
		case *corev1.SecretList:
			for _, o := range l.Items {
				all["secret/"+o.Name] = o.ResourceVersion
			}
		}
	}
	return all
}

func TestNothingIsReadyBeforeAPodServesIt(t *testing.T) {
	ns := namespace(t)
	idp := identityProvider(ns, "okta", inline(t))
	create(t, serviceProvider(ns), idp)
	await(t, idp, "Ready", isFalse, "NoReadyPods")
	if got := gitOpsStatus(t, idp); got != status.InProgressStatus {
		t.Errorf("GitOps tools see it as %s", got)
	}
	readyPod(t, ns, "main")
	await(t, idp, "Ready", isTrue, "Serving")
}

func TestABadEditKeepsTheLastGoodServing(t *testing.T) {
	ns := namespace(t)
	idp := identityProvider(ns, "manual", v1alpha1.MetadataSource{Manual: &v1alpha1.ManualTrust{EntityID: "https://idp.example.com/", SSOURL: "https://idp.example.com/sso",
		Certificates: []string{certificatePEM(t)}}})
	other := identityProvider(ns, "other", inline(t))
	create(t, serviceProvider(ns), idp, other)
	readyPod(t, ns, "main")
	await(t, idp, "Ready", isTrue, "Serving")
	good := served(t, ns)

	idp.Spec.SAML.Metadata.Manual.Certificates = append(idp.Spec.SAML.Metadata.Manual.Certificates, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")
	if err := k8s.Update(t.Context(), idp); err != nil {
		t.Fatal(err)
	}
	mustContain(t, await(t, idp, "Accepted", isFalse, "Invalid"), "spec.saml.metadata.manual", "certificates[1]")
	await(t, idp, "Programmed", isFalse, "ServingLastGood")
	await(t, other, "Ready", isTrue, "Serving")
	now := served(t, ns)
	if len(now.Connections) != 2 || now.Connections[0].Trust == nil || len(now.Connections[0].Trust.SigningCertificates) != len(good.Connections[0].Trust.SigningCertificates) {
		t.Error("the last good trust is not served any more")
	}

	idp.Spec.SAML.Metadata.Manual.Certificates = idp.Spec.SAML.Metadata.Manual.Certificates[:1]
	if err := k8s.Update(t.Context(), idp); err != nil {
		t.Fatal(err)
	}
	await(t, idp, "Ready", isTrue, "Serving")
}

func TestAReferencedConfigMapIsFollowed(t *testing.T) {
	ns := namespace(t)
	idp := identityProvider(ns, "okta", v1alpha1.MetadataSource{FromConfigMap: &v1alpha1.ConfigMapKeyReference{Name: "okta-metadata"}})
	create(t, serviceProvider(ns), idp)
	readyPod(t, ns, "main")
	mustContain(t, await(t, idp, "TrustEstablished", isFalse, "ReferenceNotFound"), "okta-metadata")
	metadata := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "okta-metadata"}, Data: map[string]string{"metadata.xml": idpMetadata(t, "https://first.example.com/")}}
	create(t, metadata)
	await(t, idp, "Ready", isTrue, "Serving")
	metadata.Data["metadata.xml"] = idpMetadata(t, "https://second.example.com/")
	if err := k8s.Update(t.Context(), metadata); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); idp.Status.EntityID != "https://second.example.com/"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the entity ID is still %s", idp.Status.EntityID)
		}
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(idp), idp); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMetadataByURLIsFetchedAndKept(t *testing.T) {
	ns := namespace(t)
	broken := make(chan bool, 1)
	isBroken := false
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		select {
		case isBroken = <-broken:
		default:
		}
		if isBroken {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(idpMetadata(t, "https://idp.example.com/")))
	}))
	t.Cleanup(server.Close)
	ca := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "ca"}, Data: map[string]string{"ca.crt": pemOf(server.Certificate().Raw)}}
	idp := identityProvider(ns, "okta", v1alpha1.MetadataSource{URL: v1alpha1.HTTPSURL(server.URL + "/metadata"),
		CABundle: &v1alpha1.CABundleSource{ConfigMapRef: &v1alpha1.ConfigMapKeyReference{Name: "ca"}}})
	create(t, ca, serviceProvider(ns), idp)
	readyPod(t, ns, "main")
	await(t, idp, "Ready", isTrue, "Serving")
	await(t, idp, "MetadataFresh", isTrue, "Fresh")

	broken <- true
	idp.Annotations = map[string]string{v1alpha1.AnnotationRefresh: "now"}
	if err := k8s.Update(t.Context(), idp); err != nil {
		t.Fatal(err)
	}
	mustContain(t, await(t, idp, "MetadataFresh", isFalse, "FetchFailed"), server.URL, "404", "Serving the copy of", "spec.saml.metadata.url")
	await(t, idp, "Ready", isTrue, "Serving")
	if n := log.count(audit.TypeSAMLIdPMetadataRefreshFailed, ns, "okta"); n != 1 {
		t.Errorf("the failed refresh was recorded %d times", n)
	}
}

func TestTheOldestClaimOfADomainWinsAndTheNextTakesOver(t *testing.T) {
	ns := namespace(t)
	first, second := domainBinding(ns, "first", "acme.example", "a"), domainBinding(ns, "second", "acme.example", "b")
	create(t, serviceProvider(ns), identityProvider(ns, "a", inline(t)), identityProvider(ns, "b", inline(t)), first)
	readyPod(t, ns, "main")
	await(t, first, "Ready", isTrue, "Serving")
	time.Sleep(1100 * time.Millisecond) // creation times have seconds
	create(t, second)
	mustContain(t, await(t, second, "Accepted", isFalse, "Conflicted"), "first")
	if err := k8s.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	await(t, second, "Ready", isTrue, "Serving")
}

func TestAnIdentityProviderStaysUntilItsLastBindingIsGone(t *testing.T) {
	ns := namespace(t)
	idp := identityProvider(ns, "okta", inline(t))
	one, two := domainBinding(ns, "acme-com", "acme.example", "okta"), domainBinding(ns, "acme-org", "acme.test", "okta")
	create(t, serviceProvider(ns), idp, one, two)
	readyPod(t, ns, "main")
	await(t, one, "Ready", isTrue, "Serving")
	await(t, two, "Ready", isTrue, "Serving")
	if err := k8s.Delete(t.Context(), idp); err != nil {
		t.Fatal(err)
	}
	mustContain(t, await(t, idp, "DeletionBlocked", isTrue, "DomainsBound"), "acme-com", "acme-org", "delete or rebind")
	if len(served(t, ns).Connections) != 1 {
		t.Error("it does not sign people in any more")
	}
	for _, binding := range []client.Object{one, two} {
		if err := k8s.Delete(t.Context(), binding); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := k8s.Get(t.Context(), client.ObjectKeyFromObject(idp), idp)
		if apierrors.IsNotFound(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is still there two seconds after its last binding: %v, %v", idp.Finalizers, err)
		}
	}
}

func TestObjectsGoInAnyOrder(t *testing.T) {
	ns := namespace(t)
	sp, idp, binding := serviceProvider(ns), identityProvider(ns, "okta", inline(t)), domainBinding(ns, "acme", "acme.example", "okta")
	create(t, sp, idp, binding)
	readyPod(t, ns, "main")
	await(t, binding, "Ready", isTrue, "Serving")
	for _, object := range []client.Object{sp, idp, binding} {
		if err := k8s.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(idp), idp); apierrors.IsNotFound(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the IdentityProvider hangs: %v", idp.Finalizers)
		}
	}
}
