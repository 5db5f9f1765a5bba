package controllers

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sallyport.dev/sallyport/api/v1alpha1"
	apply "sallyport.dev/sallyport/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
)

func (r *Reconciler) serviceProvider(s *scope) subject {
	sp := s.serviceProvider
	status := r.serviceProviderStatus(s)
	o := subject{kind: v1alpha1.KindServiceProvider, object: sp, before: sp.Status, after: status,
		conditionsBefore: sp.Status.Conditions, conditionsAfter: status.Conditions, told: s.told(sp.UID, sp.Status),
		intent: func() intent {
			ac := apply.ServiceProvider(sp.Name, sp.Namespace).WithUID(sp.UID).WithStatus(convert[apply.ServiceProviderStatusApplyConfiguration](status))
			return intent{ac, ac.ObjectMetaApplyConfiguration}
		}}
	if revision := status.ProgrammedRevision; revision != o.told.Revision {
		o.news = append(o.news, news{key: key(sp, sp.ResourceVersion, "programmed", revision), about: sp, kind: o.kind,
			record: &audit.Record{Type: audit.TypeSnapshotProgrammed, Actor: operator, Details: details{Revision: revision, Pods: s.programmed.ready}}})
	}
	if status.AuditKey != nil {
		o.news = append(o.news, auditKeyNews(sp, o.told.AuditKey, status.AuditKey.ID)...)
	}
	return o
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
			c.set(v1alpha1.ConditionStoreReady, metav1.ConditionFalse, v1alpha1.ReasonStoreUnavailable, "The store does not answer. People who are signed in stay so for 15 minutes, nobody else can sign in. "+
				"Check the database that spec.store names, and: kubectl -n %s logs -l app.kubernetes.io/instance=%s", sp.Namespace, sp.Name)
		}
		c.set(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAvailable, "%s pods are ready.", p.pods())
	} else {
		c.set(v1alpha1.ConditionStoreReady, metav1.ConditionUnknown, v1alpha1.ReasonNoReadyPods, "No pod is ready to say how the store is.")
		c.set(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonNoReadyPods, "No pod is ready: kubectl -n %s get pods -l app.kubernetes.io/instance=%s", sp.Namespace, sp.Name)
	}
	if s.blocked != nil {
		c.set(v1alpha1.ConditionAccepted, metav1.ConditionFalse, s.blocked.reason, "%s", s.blocked.message)
	}
	c.program(s, f, false)
	c.summarize(s, f, v1alpha1.ConditionAccepted, v1alpha1.ConditionAvailable, v1alpha1.ConditionStoreReady, v1alpha1.ConditionProgrammed)
	status.Conditions = c.merge(sp.Status.Conditions, sp.Generation, s.now)
	if s.output.Snapshot != nil {
		status.URL = s.output.Snapshot.ServiceProvider.URL
		status.IdentityProviders = ptr.To(int32(len(s.output.Snapshot.Connections)))
		status.DomainBindings = ptr.To(int32(len(s.output.Snapshot.Domains)))
	}
	if s.counts != nil {
		status.Users, status.ActiveSessions = ptr.To(s.counts.Users), ptr.To(s.counts.ActiveSessions)
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
