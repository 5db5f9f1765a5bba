package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// operator does something to an IdentityProvider as soon as an annotation has a value, as the operator would.
func (w *world) operator(annotation string, answer func(*v1alpha1.IdentityProvider)) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	watch, err := k8s.Watch(ctx, &v1alpha1.IdentityProviderList{}, client.InNamespace(w.ns))
	if err != nil {
		w.t.Fatal(err)
	}
	done := make(chan struct{})
	w.t.Cleanup(func() { cancel(); watch.Stop(); <-done })
	go func() {
		defer close(done)
		taken := ""
		for event := range watch.ResultChan() {
			idp, ok := event.Object.(*v1alpha1.IdentityProvider)
			if !ok || idp.Annotations[annotation] == taken {
				continue
			}
			taken = idp.Annotations[annotation]
			answer(idp)
			if err := k8s.Status().Update(ctx, idp); err != nil && ctx.Err() == nil {
				w.t.Error(err)
			}
		}
	}()
}

func TestRefreshSaysWhatCameOfIt(t *testing.T) {
	w := newCluster(t)
	next, fine := time.Now(), true
	w.operator(v1alpha1.AnnotationRefresh, func(idp *v1alpha1.IdentityProvider) {
		next = next.Add(time.Hour)
		idp.Status.Metadata = &v1alpha1.MetadataStatus{NextRefresh: &metav1.Time{Time: next}, LastFetched: &metav1.Time{Time: time.Now()}}
		c := condition(v1alpha1.ConditionMetadataFresh, metav1.ConditionTrue, v1alpha1.ReasonFresh, "Fetched just now.")
		if !fine {
			c = condition(v1alpha1.ConditionMetadataFresh, metav1.ConditionFalse, v1alpha1.ReasonFetchFailed, "GET https://acme.okta.example/metadata: 404 Not Found.")
		}
		meta.SetStatusCondition(&idp.Status.Conditions, c)
	})
	contains(t, w.must(0, "refresh", "idp/okta"), "idp/okta: Fetched just now.\n")
	fine = false
	contains(t, w.must(1, "refresh", "okta"), "404 Not Found")
	var idp v1alpha1.IdentityProvider
	if err := k8s.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "okta"}, &idp); err != nil {
		t.Fatal(err)
	}
	// The operator finds out who asked from the managed fields.
	owned := false
	for _, f := range idp.ManagedFields {
		owned = owned || f.Manager == "kubectl-sso" && strings.Contains(f.FieldsV1.String(), v1alpha1.AnnotationRefresh)
	}
	if !owned || idp.Spec.SAML.Metadata.URL == "" {
		t.Errorf("%+v", idp.ManagedFields)
	}
	w.idpObject("manual", func(idp *v1alpha1.IdentityProvider) { idp.Spec.SAML.Metadata.Inline = "<EntityDescriptor/>" })
	w.fails([]string{"refresh", "idp/manual"}, "has no spec.saml.metadata.url")
}

func TestRotatePublishesTheNextCertificate(t *testing.T) {
	w := newCluster(t)
	w.operator(v1alpha1.AnnotationRotateKeys, func(idp *v1alpha1.IdentityProvider) {
		idp.Status.ServiceProvider = &v1alpha1.ConnectionEndpoints{MetadataURL: spURL + "/saml/okta/metadata", Certificates: []v1alpha1.ConnectionCertificate{
			{SHA256: strings.Repeat("cd", 32), Phase: v1alpha1.KeyPhaseNext, NotAfter: metav1.NewTime(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))}}}
	})
	contains(t, w.must(0, "rotate", "idp/okta"), "the next certificate (SHA-256 cdcd", "until 2040-01-01", spURL+"/saml/okta/metadata")
	w.fails([]string{"rotate", "idp/okta"}, "rotating already", "cdcd")
}

func TestARequestThatTheOperatorDoesNotServeFails(t *testing.T) {
	w := newCluster(t)
	w.fails([]string{"refresh", "idp/okta", "--timeout", "1s"}, "nothing was fetched within 1s", "check that the operator is running")
	contains(t, w.must(0, "rotate", "idp/okta", "--timeout", "0s"), "idp/okta: requested")
}

// operatorOf does something to the ServiceProvider as soon as an annotation has another value than now, as the operator would. The function it returns waits for that.
func (w *world) operatorOf(annotation string, answer func(*v1alpha1.ServiceProvider)) (wait func()) {
	w.t.Helper()
	var sp v1alpha1.ServiceProvider
	get := func() error { return k8s.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: "main"}, &sp) }
	if err := get(); err != nil {
		w.t.Fatal(err)
	}
	asked, done := sp.Annotations[annotation], make(chan error, 1)
	go func() {
		for {
			if err := get(); err != nil {
				done <- err
				return
			}
			if sp.Annotations[annotation] != asked {
				answer(&sp)
				done <- k8s.Status().Update(w.t.Context(), &sp)
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	return func() {
		w.t.Helper()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	}
}

func TestRotateTheAuditKey(t *testing.T) {
	w := newCluster(t)
	w.fails([]string{"rotate", "audit-key", "--timeout", "1s"}, "status.auditKey is still the same after 1s", "check that the operator is running")
	wait := w.operatorOf(v1alpha1.AnnotationRotateAuditKey, func(sp *v1alpha1.ServiceProvider) {
		sp.Status.AuditKey = &v1alpha1.AuditKeyStatus{ID: "0123456789abcdef", PublicKey: make([]byte, 32)}
	})
	contains(t, w.must(0, "rotate", "audit-key"), "sp/main: key 0123456789abcdef signs the audit log now")
	wait()
}

func TestRotateTheHeaderKey(t *testing.T) {
	w := newCluster(t)
	w.fails([]string{"rotate", "header-key"}, "sp/main signs no header", "spec.signedHeader turns it on")
	var sp v1alpha1.ServiceProvider
	if err := k8s.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "main"}, &sp); err != nil {
		t.Fatal(err)
	}
	sp.Spec.SignedHeader = &v1alpha1.SignedHeaderSettings{}
	if err := k8s.Update(t.Context(), &sp); err != nil {
		t.Fatal(err)
	}
	w.fails([]string{"rotate", "header-key", "--timeout", "1s"}, "no new key was published within 1s", "check that the operator is running")
	next := strings.Repeat("k", 43)
	wait := w.operatorOf(v1alpha1.AnnotationRotateKeys, func(sp *v1alpha1.ServiceProvider) {
		end := metav1.NewTime(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
		sp.Status.HeaderKeys = []v1alpha1.HeaderKeyStatus{{ID: strings.Repeat("c", 43), Phase: v1alpha1.KeyPhaseCurrent, NotAfter: end}, {ID: next, Phase: v1alpha1.KeyPhaseNext, NotAfter: end}}
	})
	contains(t, w.must(0, "rotate", "header-key"), "sp/main: key "+next+" is published at "+spURL+"/.well-known/jwks.json", "signs an hour after")
	wait()
	w.fails([]string{"rotate", "header-keys"}, "rotating already", next)
	contains(t, w.sso("status").stdout, "header key  "+next+"  Next  until 2040-01-01")
}
