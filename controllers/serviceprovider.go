package controllers

import (
	"cmp"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/manageapi"
)

func (r *Reconciler) serviceProvider(s *scope) subject {
	sp := s.serviceProvider
	status := r.serviceProviderStatus(s)
	return subject{kind: v1alpha1.KindServiceProvider, object: sp, before: sp.Status, after: status,
		conditionsBefore: sp.Status.Conditions, conditionsAfter: status.Conditions}
}

func (s *scope) serviceProviderNews(sp *v1alpha1.ServiceProvider, was toldStatus, is v1alpha1.ServiceProviderStatus) (all []news) {
	if revision := is.ProgrammedRevision; revision != was.Revision {
		all = append(all, news{key: key(sp, sp.ResourceVersion, "programmed", revision), about: sp, kind: v1alpha1.KindServiceProvider,
			record: &audit.Record{Type: audit.TypeSnapshotProgrammed, Actor: operator, Details: details{Revision: revision, Pods: s.programmed.ready}}})
	}
	if known := s.memory.auditKey; known != nil {
		all = append(all, auditKeyNews(sp, was.AuditKey, known)...)
	}
	return append(all, headerKeyNews(sp, was.HeaderKeys, is.HeaderKeys)...)
}

func (r *Reconciler) serviceProviderStatus(s *scope) v1alpha1.ServiceProviderStatus {
	sp, f := s.serviceProvider, s.output.Finding(v1alpha1.KindServiceProvider, s.key.Name)
	status := *sp.Status.DeepCopy()
	status.ObservedGeneration = sp.Generation
	c := conditions(f.Conditions)
	p := s.programmed
	status.Replicas, status.ReadyReplicas = ptr.To(int32(p.wanted)), ptr.To(int32(p.ready))
	status.ReplicaSummary = p.pods()
	if p.ready > 0 {
		// A pod becomes ready only with a store that answers and has the right schema.
		c.set(v1alpha1.ConditionStoreReady, metav1.ConditionTrue, v1alpha1.ReasonStoreReady, "The store answers.")
		if s.storeDown {
			c.set(v1alpha1.ConditionStoreReady, metav1.ConditionFalse, v1alpha1.ReasonStoreUnavailable, "The store does not answer. People who are signed in stay signed in for 15 minutes; nobody else can sign in. %s"+
				"Check the database that spec.store names, and: kubectl -n %s logs -l app.kubernetes.io/instance=%s", unverified(s.storeProblem), sp.Namespace, sp.Name)
		}
		c.set(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAvailable, "%s pods are ready.", p.pods())
	} else {
		c.set(v1alpha1.ConditionStoreReady, metav1.ConditionUnknown, v1alpha1.ReasonNoReadyPods, "Unknown, because no pod is ready.")
		c.set(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonNoReadyPods, "No pod is ready. %s",
			cmp.Or(s.whyUnready, fmt.Sprintf("kubectl -n %s describe pods,deployments,statefulsets -l app.kubernetes.io/instance=%s", sp.Namespace, sp.Name)))
	}
	if s.blocked != nil {
		c.set(v1alpha1.ConditionAccepted, metav1.ConditionFalse, s.blocked.reason, "%s", s.blocked.message)
	}
	c.program(s, f, false)
	c.summarize(s, f, v1alpha1.ConditionAccepted, v1alpha1.ConditionAvailable, v1alpha1.ConditionStoreReady, v1alpha1.ConditionProgrammed)
	status.Conditions = c.merge(sp.Status.Conditions, sp.Generation, s.now)
	if s.output.Snapshot != nil {
		status.URL = s.output.Snapshot.ServiceProvider.URL
		status.IdentityProviders, status.DomainBindings = accepted(s.output)
		status.HeaderKeys = s.memory.headerKeyStatus(s.wanted.headerKeys())
	}
	if s.counts != nil {
		status.Users, status.ActiveSessions = ptr.To(int64(s.counts.Users)), ptr.To(int64(s.counts.ActiveSessions))
	}
	if k := s.memory.auditKey; k != nil {
		status.AuditKey = &v1alpha1.AuditKeyStatus{ID: audit.KeyID(k.public), PublicKey: k.public}
	}
	if published := s.memory.published; published.encoded != nil {
		status.Revision = published.encoded.Revision
		if p.all {
			status.ProgrammedRevision = status.Revision
		}
	}
	return status
}

// accepted counts the IdentityProviders and DomainBindings that are in order: the snapshot also names connections whose spec cannot be served, and domains that
// are held because their IdentityProvider is missing.
func accepted(o *compile.Output) (idps, bindings *int32) {
	idps, bindings = new(int32), new(int32)
	for i := range o.Snapshot.Connections {
		if f := o.Finding(v1alpha1.KindIdentityProvider, o.Snapshot.Connections[i].Name); f != nil && f.Accepted() {
			*idps++
		}
	}
	for i := range o.Snapshot.Domains {
		if f := o.Finding(v1alpha1.KindDomainBinding, o.Snapshot.Domains[i].Binding); f != nil && f.Accepted() {
			*bindings++
		}
	}
	return idps, bindings
}

// unverified says what to do about a server of the store that the pods do not verify. Words of ours: what a pod sends is not shown.
func unverified(problem string) string {
	switch problem {
	case manageapi.StoreUnknownAuthority:
		return "The certificate of the PostgreSQL server is from an authority that is not known: put the certificate of that authority into spec.store.postgres.caBundle. "
	case manageapi.StoreOtherHost:
		return "The certificate of the PostgreSQL server is not for the host that the connection URI names: name one that it is for. "
	case manageapi.StoreNoTLS:
		return "The PostgreSQL server does not offer TLS, which spec.store.postgres.caBundle asks for: switch it on there. "
	}
	return ""
}
