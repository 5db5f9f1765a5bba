package controllers

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
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

func inline(t testing.TB) v1alpha1.MetadataSource {
	return v1alpha1.MetadataSource{Inline: idpMetadata(t, "https://idp.example.com/")}
}

// served is what the pods of the ServiceProvider main would serve now.
func served(t testing.TB, ns string) snapshot.Snapshot {
	t.Helper()
	s, err := tryServed(t, ns)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tryServed is served for who reads while something is being published: then it may be incomplete.
func tryServed(t testing.TB, ns string) (snapshot.Snapshot, error) {
	t.Helper()
	s, _, err := snapshot.Decode(func(file string) ([]byte, error) {
		var secret corev1.Secret
		err := k8s.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: snapshot.SecretName("main", file)}, &secret)
		return secret.Data[file], err
	})
	return s, err
}

func TestEverythingBecomesReadyAndThenRests(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	sp, idp, binding := serviceProvider(ns), identityProvider(ns, "okta", inline(t)), domainBinding(ns, "acme", "acme.example", "okta")
	mapping := attributeMapping(ns, "okta", "okta")
	create(t, sp, idp, binding, mapping)
	p := newPod(t, ns, "main")
	all := map[string]client.Object{v1alpha1.KindServiceProvider: sp, v1alpha1.KindIdentityProvider: idp, v1alpha1.KindDomainBinding: binding, v1alpha1.KindAttributeMapping: mapping}
	for kind, object := range all {
		mustContain(t, await(t, object, "Ready", isTrue, "Serving"), "Every pod (1/1) serves generation 1.")
		if got := gitOpsStatus(t, object); got != status.CurrentStatus {
			t.Errorf("GitOps tools see %s as %s", object.GetName(), got)
		}
		for _, want := range v1alpha1.ConditionTypes(kind) {
			if !slices.Contains(conditionTypes(conditionsOf(t, object)), want) {
				t.Errorf("%s has no condition %s", object.GetName(), want)
			}
		}
	}
	// The promise of Ready: the pod serves it now.
	if s, _, _ := p.current(); len(s.Connections) != 1 || s.Connections[0].Trust == nil || len(s.Connections[0].Keys) != 1 || len(s.Domains) != 1 || s.Connections[0].Mapping.Name != "okta" {
		t.Errorf("everything is Ready, and the pod serves %+v", s)
	}
	if got := idp.Status.ServiceProvider.ACSURL; got != "https://sso.example.com/saml/okta/acs" {
		t.Errorf("the ACS URL is %q", got)
	}
	if idp.Status.Domains == nil || *idp.Status.Domains.Count != 1 || idp.Status.CertificateExpiry == "" || idp.Status.EntityID != "https://idp.example.com/" {
		t.Errorf("status shows no domains, expiry or entity ID: %+v", idp.Status)
	}
	if sp.Status.ReplicaSummary != "1/1" || sp.Status.Revision == "" || sp.Status.Revision != sp.Status.ProgrammedRevision || *sp.Status.IdentityProviders != 1 || *sp.Status.DomainBindings != 1 {
		t.Errorf("the ServiceProvider's status is %+v", sp.Status)
	}
	for recordType, name := range map[audit.Type]string{
		audit.TypeServiceProviderCreated: "main", audit.TypeSAMLIdPCreated: "okta", audit.TypeSAMLIdPTrustEstablished: "okta", audit.TypeSAMLIdPSPCertificateCreated: "okta",
		audit.TypeSAMLDomainBound: "acme", audit.TypeAttributeMappingCreated: "okta",
	} {
		if n := o.audit.count(recordType, name); n != 1 {
			t.Errorf("%v was recorded %d times", recordType, n)
		}
	}
	o.atRest(t)
	o.restart()
	o.atRest(t)
}

// atRest asserts that the operator comes to rest, and then writes nothing when nothing changes. A namespace of its own sees to it that nothing does.
func (o *operator) atRest(t testing.TB) {
	t.Helper()
	eventually(t, "the first pass", o.wire.hasBegun)
	eventually(t, "two seconds without a write", func() bool {
		o.wire.take()
		time.Sleep(2 * time.Second)
		return len(o.wire.take()) == 0
	})
	time.Sleep(2 * time.Second)
	if writes := o.wire.take(); len(writes) > 0 {
		t.Errorf("at rest the operator wrote %v", writes)
	}
}

func TestNothingIsReadyBeforeAPodServesIt(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	newOperator(t, ns)
	idp := identityProvider(ns, "okta", inline(t))
	create(t, serviceProvider(ns), idp)
	await(t, idp, "Ready", isFalse, "NoReadyPods")
	if got := gitOpsStatus(t, idp); got != status.InProgressStatus {
		t.Errorf("GitOps tools see it as %s", got)
	}
	// A pod that is ready and serves something else, or says nothing, is not enough.
	mute := podObject(t, ns, "main")
	mute.setReady(t, true)
	await(t, idp, "Ready", isFalse, "WaitingForPods")
	mute.serve(t)
	await(t, idp, "Ready", isTrue, "Serving")
}

func TestABadEditKeepsTheLastGoodServing(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	idp := identityProvider(ns, "manual", v1alpha1.MetadataSource{Manual: &v1alpha1.ManualTrust{EntityID: "https://idp.example.com/", SSOURL: "https://idp.example.com/sso",
		Certificates: []string{certificatePEM(t)}}})
	other := identityProvider(ns, "other", inline(t))
	create(t, serviceProvider(ns), idp, other)
	newPod(t, ns, "main")
	await(t, idp, "Ready", isTrue, "Serving")

	idp.Spec.SAML.Metadata.Manual.Certificates = append(idp.Spec.SAML.Metadata.Manual.Certificates, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")
	update(t, idp)
	check := func() {
		t.Helper()
		mustContain(t, await(t, idp, "Accepted", isFalse, "Invalid"), "spec.saml.metadata.manual.certificates[1]: ")
		await(t, idp, "Programmed", isFalse, "ServingLastGood")
		await(t, other, "Ready", isTrue, "Serving")
		if now := served(t, ns); len(now.Connections) != 2 || now.Connections[0].Trust == nil || len(now.Connections[0].Trust.SigningCertificates) != 1 {
			t.Error("the last good trust is not served any more")
		}
	}
	check()
	o.restart()
	check()

	idp.Spec.SAML.Metadata.Manual.Certificates = idp.Spec.SAML.Metadata.Manual.Certificates[:1]
	update(t, idp)
	await(t, idp, "Ready", isTrue, "Serving")
	if n := o.audit.count(audit.TypeSAMLIdPUpdated, "manual"); n != 2 {
		t.Errorf("two edits were recorded %d times", n)
	}
}

func TestAReferencedConfigMapIsFollowed(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	idp := identityProvider(ns, "okta", v1alpha1.MetadataSource{FromConfigMap: &v1alpha1.ConfigMapKeyReference{Name: "okta-metadata"}})
	create(t, serviceProvider(ns), idp)
	mustContain(t, await(t, idp, "TrustEstablished", isFalse, "ReferenceNotFound"), "okta-metadata", "spec.saml.metadata.fromConfigMap")
	metadata := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "okta-metadata"}, Data: map[string]string{"metadata.xml": idpMetadata(t, "https://idp.example.com/")}}
	create(t, metadata)
	newPod(t, ns, "main")
	await(t, idp, "Ready", isTrue, "Serving")
	moved := strings.Replace(idpMetadata(t, "https://idp.example.com/"), "/sso", "/sso/v2", 1)
	metadata.Data["metadata.xml"] = moved
	update(t, metadata)
	eventually(t, "the new endpoint is shown", func() bool {
		_ = k8s.Get(t.Context(), client.ObjectKeyFromObject(idp), idp)
		return idp.Status.SSOURL == "https://idp.example.com/sso/v2"
	})
	for _, recordType := range []audit.Type{audit.TypeSAMLIdPCertificateAdded, audit.TypeSAMLIdPCertificateRemoved, audit.TypeSAMLIdPMetadataRefreshed} {
		if n := o.audit.count(recordType, "okta"); n != 1 {
			t.Errorf("%v was recorded %d times", recordType, n)
		}
	}
	// An object that nobody refers to asks for nothing.
	o.wire.take()
	create(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "unrelated"}})
	o.atRest(t)
}

// metadataServer is an IdP's, and what it does can be changed.
func metadataServer(t *testing.T) (server *httptest.Server, set func(http.HandlerFunc)) {
	var handler atomic.Value
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.Load().(http.HandlerFunc)(w, r) }))
	t.Cleanup(server.Close)
	return server, func(h http.HandlerFunc) { handler.Store(h) }
}

func answer(content string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(content)) }
}

// fromServer is an IdentityProvider whose metadata comes from the server, and the ConfigMap with the server's CA.
func fromServer(ns, name string, server *httptest.Server) (*v1alpha1.IdentityProvider, *corev1.ConfigMap) {
	ca := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name + "-ca"}, Data: map[string]string{"ca.crt": pemOf(server.Certificate().Raw)}}
	return identityProvider(ns, name, v1alpha1.MetadataSource{URL: v1alpha1.HTTPSURL(server.URL + "/metadata"),
		CABundle: &v1alpha1.CABundleSource{ConfigMapRef: &v1alpha1.ConfigMapKeyReference{Name: v1alpha1.ObjectName(ca.Name)}}}), ca
}

func refresh(t *testing.T, idp *v1alpha1.IdentityProvider, value string) {
	t.Helper()
	annotate(t, idp, v1alpha1.AnnotationRefresh, value)
}

// annotate does what `kubectl annotate --overwrite` does.
func annotate(t *testing.T, object client.Object, name, value string) {
	t.Helper()
	before := object.DeepCopyObject().(client.Object)
	annotations := maps.Clone(object.GetAnnotations())
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[name] = value
	object.SetAnnotations(annotations)
	if err := k8s.Patch(t.Context(), object, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

func TestMetadataByURLIsFetchedAndKept(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	server, set := metadataServer(t)
	good := idpMetadata(t, "https://idp.example.com/")
	set(answer(good))
	idp, ca := fromServer(ns, "okta", server)
	create(t, ca, serviceProvider(ns), idp)
	newPod(t, ns, "main")
	await(t, idp, "Ready", isTrue, "Serving")
	await(t, idp, "MetadataFresh", isTrue, "Fresh")

	set(http.NotFound)
	refresh(t, idp, "1")
	mustContain(t, await(t, idp, "MetadataFresh", isFalse, "FetchFailed"), server.URL, "404", "Serving the copy of", "status.metadata.nextRefresh", "spec.saml.metadata.url")
	await(t, idp, "Ready", isTrue, "Serving")

	// Another entity is refused until it is pinned.
	set(answer(idpMetadata(t, "https://other.example.com/")))
	refresh(t, idp, "2")
	mustContain(t, await(t, idp, "MetadataFresh", isFalse, "EntityIDChanged"), "https://other.example.com/", "spec.saml.metadata.entityID")
	await(t, idp, "Ready", isTrue, "Serving")

	// The good copy survives a restart while the server is down.
	set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	o.restart()
	refresh(t, idp, "3")
	await(t, idp, "MetadataFresh", isFalse, "FetchFailed")
	await(t, idp, "Ready", isTrue, "Serving")
	if trusted := served(t, ns).Connections[0].Trust; trusted == nil || trusted.EntityID != "https://idp.example.com/" {
		t.Errorf("served is %+v", trusted)
	}

	set(answer(good))
	refresh(t, idp, "4")
	await(t, idp, "MetadataFresh", isTrue, "Fresh")
	for recordType, want := range map[audit.Type]int{
		audit.TypeSAMLIdPMetadataRefreshFailed: 2, audit.TypeSAMLIdPEntityIDChangeRefused: 1, audit.TypeSAMLIdPMetadataRefreshed: 1, audit.TypeSAMLIdPTrustEstablished: 1,
	} {
		if n := o.audit.count(recordType, "okta"); n != want {
			t.Errorf("%v was recorded %d times, want %d", recordType, n, want)
		}
	}
}

func TestAChangeOfOneMakesNoOtherWait(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	first, second := identityProvider(ns, "first", inline(t)), identityProvider(ns, "second", inline(t))
	create(t, serviceProvider(ns), first)
	newPod(t, ns, "main")
	await(t, first, "Ready", isTrue, "Serving")
	version := first.ResourceVersion
	create(t, second)
	await(t, second, "Ready", isTrue, "Serving")
	o.atRest(t)
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(first), first); err != nil {
		t.Fatal(err)
	}
	if first.ResourceVersion != version {
		t.Error("a change of another IdentityProvider has written its status")
	}
}

func TestARolloutTouchesNoObject(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	newOperator(t, ns)
	sp, idp := serviceProvider(ns), identityProvider(ns, "okta", inline(t))
	create(t, sp, idp)
	old := newPod(t, ns, "main")
	await(t, idp, "Ready", isTrue, "Serving")
	await(t, sp, "Ready", isTrue, "Serving")
	version := idp.ResourceVersion
	newPod(t, ns, "main")
	if err := k8s.Delete(t.Context(), old.Pod, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	await(t, sp, "Ready", isTrue, "Serving")
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(idp), idp); err != nil {
		t.Fatal(err)
	}
	if idp.ResourceVersion != version {
		t.Error("a rollout has written the status of an IdentityProvider")
	}
}
