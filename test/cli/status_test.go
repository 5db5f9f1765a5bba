package cli

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/test/internal/apiserver"
)

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.Now()}
}

// healthy makes every condition of an object True.
func healthy(conditions *[]metav1.Condition, kind string) {
	for _, c := range v1alpha1.ConditionTypes(kind) {
		meta.SetStatusCondition(conditions, condition(c, metav1.ConditionTrue, "Serving", "Every pod (1/1) serves generation 1."))
	}
}

// allWell makes everything as it should be.
func (w *world) allWell() (*v1alpha1.ServiceProvider, *v1alpha1.IdentityProvider) {
	w.t.Helper()
	sp, idp, d := &v1alpha1.ServiceProvider{ObjectMeta: w.named("main")}, &v1alpha1.IdentityProvider{ObjectMeta: w.named("okta")}, &v1alpha1.DomainBinding{ObjectMeta: w.named("acme")}
	w.conditions(sp, func() {
		healthy(&sp.Status.Conditions, v1alpha1.KindServiceProvider)
		sp.Status.Revision, sp.Status.ProgrammedRevision, sp.Status.ReplicaSummary = "sha256:0123456789abcdef", "sha256:0123456789abcdef", "1/1"
	})
	w.conditions(idp, func() {
		healthy(&idp.Status.Conditions, v1alpha1.KindIdentityProvider)
		idp.Status.Certificates = []v1alpha1.IdentityProviderCertificate{{SHA256: strings.Repeat("ab", 32), Use: v1alpha1.CertificateUseSigning, NotBefore: metav1.Now(), NotAfter: metav1.NewTime(time.Date(2040, 4, 2, 0, 0, 0, 0, time.UTC))}}
		idp.Status.Users = ptr.To(int64(3))
	})
	w.conditions(d, func() { healthy(&d.Status.Conditions, v1alpha1.KindDomainBinding) })
	return sp, idp
}

func TestStatusIsATree(t *testing.T) {
	w := newCluster(t)
	w.allWell()
	got := w.must(0, "status")
	contains(t, got, "sp/main  https://sso.example.com  Ready\n", "├─ revision 0123456789abcdef, served by 1/1 pods\n", "├─ pod/main-sallyport-0  Ready\n", `└─ idp/okta "Acme"  Okta  Enabled  Ready`,
		"   ├─ IdP certificate  abababababababab  Signing  until 2040-04-02\n", "   ├─ domain acme.example  domainbinding/acme  Ready\n", "   └─ 3 users\n")
	if strings.Contains(got, "attention") {
		t.Errorf("all is well, and\n%s", got)
	}
	contains(t, w.sso("status", "-A").stdout, "Nothing needs attention in namespace "+w.ns+".\n\nsp/main  https://sso.example.com  Ready\n")
}

func TestStatusTellsFirstWhatNeedsAttention(t *testing.T) {
	w := newCluster(t)
	sp, idp := w.allWell()
	w.conditions(idp, func() {
		meta.SetStatusCondition(&idp.Status.Conditions, condition(v1alpha1.ConditionMetadataFresh, metav1.ConditionFalse, v1alpha1.ReasonFetchFailed, "GET https://acme.okta.example/metadata: 404 Not Found. Check spec.saml.metadata.url."))
		idp.Status.Certificates[0].NotAfter = metav1.NewTime(time.Now().Add(5*24*time.Hour + time.Hour))
	})
	w.setReady(w.pod, false)
	got := w.must(1, "status")
	if !strings.HasPrefix(got, "3 things need attention in namespace "+w.ns+":\n  idp/okta  MetadataFresh=False FetchFailed\n    GET https://acme.okta.example/metadata: 404") {
		t.Errorf("what needs attention is not first:\n%s", got)
	}
	contains(t, got, "pod/main-sallyport-0  NotReady", "see `kubectl -n "+w.ns+" describe pod main-sallyport-0`", "the IdP's signing certificate expires in 5 days")
	// A service provider that serves nobody comes before everything else, and once: the conditions that only follow are left out.
	w.conditions(sp, func() {
		meta.SetStatusCondition(&sp.Status.Conditions, condition(v1alpha1.ConditionStoreReady, metav1.ConditionFalse, v1alpha1.ReasonStoreUnavailable, "The store does not answer."))
		meta.SetStatusCondition(&sp.Status.Conditions, condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonStoreUnavailable, "The store does not answer."))
	})
	if got := w.must(1, "status"); !strings.HasPrefix(got, "4 things need attention in namespace "+w.ns+":\n  sp/main  StoreReady=False StoreUnavailable\n") {
		t.Errorf("%s", got)
	}
	var told struct {
		Namespaces []struct {
			Attention []struct{ Object, What, Message string }
			Pods      map[string][]struct{ Name string }
		}
	}
	if err := json.Unmarshal([]byte(w.must(1, "status", "-o", "json")), &told); err != nil || len(told.Namespaces[0].Attention) != 4 || told.Namespaces[0].Pods["main"][0].Name != "main-sallyport-0" {
		t.Errorf("%+v %v", told, err)
	}
	// What is switched off on purpose is no concern.
	w.allWell()
	w.setReady(w.pod, true)
	w.conditions(idp, func() {
		meta.SetStatusCondition(&idp.Status.Conditions, condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDisabled, "state is Disabled."))
		idp.Status.Certificates[0].NotAfter = metav1.NewTime(time.Date(2040, 4, 2, 0, 0, 0, 0, time.UTC))
	})
	contains(t, w.must(0, "status"), "Not ready (Disabled)")
}

// TestStatusTellsEachTroubleOnce: what follows from a trouble that is told is left out, so that the first line is the one to act on.
func TestStatusTellsEachTroubleOnce(t *testing.T) {
	w := newCluster(t)
	sp, idp := w.allWell()
	const missing = "spec.saml.metadata.fromSecret: there is no Secret okta in this namespace: create it, or correct the name."
	w.conditions(idp, func() {
		for conditionType, reason := range map[string]string{v1alpha1.ConditionAccepted: v1alpha1.ReasonReferenceNotFound, v1alpha1.ConditionTrustEstablished: v1alpha1.ReasonReferenceNotFound,
			v1alpha1.ConditionMetadataFresh: v1alpha1.ReasonReferenceNotFound, v1alpha1.ConditionReady: v1alpha1.ReasonReferenceNotFound} {
			meta.SetStatusCondition(&idp.Status.Conditions, condition(conditionType, metav1.ConditionFalse, reason, missing))
		}
		meta.SetStatusCondition(&idp.Status.Conditions, condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonNotServed, "This object is not part of the served snapshot."))
	})
	if got := w.must(1, "status"); !strings.HasPrefix(got, "1 thing needs attention in namespace "+w.ns+":\n  idp/okta  Accepted=False ReferenceNotFound\n    "+missing+"\n\n") {
		t.Errorf("%s", got)
	}
	// No pod is ready: the ServiceProvider says so, and not each of its objects as well.
	w.allWell()
	binding := &v1alpha1.DomainBinding{ObjectMeta: w.named("acme")}
	noPods := func(conditions *[]metav1.Condition) {
		for _, conditionType := range []string{v1alpha1.ConditionProgrammed, v1alpha1.ConditionReady} {
			meta.SetStatusCondition(conditions, condition(conditionType, metav1.ConditionFalse, v1alpha1.ReasonNoReadyPods, "No pod is ready."))
		}
	}
	w.conditions(sp, func() {
		noPods(&sp.Status.Conditions)
		meta.SetStatusCondition(&sp.Status.Conditions, condition(v1alpha1.ConditionStoreReady, metav1.ConditionUnknown, v1alpha1.ReasonNoReadyPods, "Unknown, because no pod is ready."))
		meta.SetStatusCondition(&sp.Status.Conditions, condition(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonNoReadyPods, "No pod is ready. Pod a cannot be scheduled."))
	})
	w.conditions(idp, func() { noPods(&idp.Status.Conditions) })
	w.conditions(binding, func() { noPods(&binding.Status.Conditions) })
	if got := w.must(1, "status"); !strings.HasPrefix(got, "1 thing needs attention in namespace "+w.ns+":\n  sp/main  Available=False NoReadyPods\n    No pod is ready. Pod a cannot be scheduled.\n\n") {
		t.Errorf("%s", got)
	}
}

// TestStatusAsJSONIsForPrograms: a list is one when it is empty, and nothing is in it that kubectl does not print either.
func TestStatusAsJSONIsForPrograms(t *testing.T) {
	w := newCluster(t)
	w.allWell()
	got := w.must(0, "status", "-o", "json")
	contains(t, got, `"attention": []`)
	if strings.Contains(got, "managedFields") {
		t.Error("it tells who has written which field")
	}
}

// TestItIsAPlugin runs the program as people do: kubectl finds it by its name and hands it the kubeconfig.
func TestItIsAPlugin(t *testing.T) {
	w := newCluster(t)
	w.allWell()
	kubectl := exec.Command(apiserver.Kubectl(), "sso", "status", "-n", w.ns)
	kubectl.Env = append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH"), "KUBECONFIG="+w.kubeconfig)
	out, err := kubectl.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "sp/main  https://sso.example.com  Ready") {
		t.Errorf("%v\n%s", err, out)
	}
}
