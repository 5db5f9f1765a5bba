package controllers

import (
	"context"
	"encoding/json"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
)

// transition is a condition of an object that has changed its status or its reason, or its first visit.
type transition struct {
	kind    string
	object  client.Object
	created bool
	changed bool // the spec is of another generation than at the last visit
	from    *metav1.Condition
	to      metav1.Condition
}

// noteTransitions compares what was persisted with what has just been written. It is what status said before that makes each transition
// told once: after a crash the next pass finds the new status, and tells nothing again.
func (s *scope) noteTransitions(kind string, object client.Object, before []metav1.Condition, after any) {
	encoded, err := json.Marshal(after)
	if err != nil {
		return
	}
	var status struct {
		Conditions []metav1.Condition `json:"conditions"`
	}
	if json.Unmarshal(encoded, &status) != nil {
		return
	}
	accepted := meta.FindStatusCondition(before, v1alpha1.ConditionAccepted)
	created := accepted == nil || accepted.ObservedGeneration == 0 && accepted.Reason == v1alpha1.ReasonPending
	changed := !created && accepted.ObservedGeneration != object.GetGeneration()
	for _, now := range status.Conditions {
		old := meta.FindStatusCondition(before, now.Type)
		if old != nil && old.Status == now.Status && old.Reason == now.Reason && !(changed && now.Type == v1alpha1.ConditionAccepted) {
			continue
		}
		s.transitions = append(s.transitions, transition{kind, object, created, changed, old, now})
	}
}

// tell emits the Events and writes the audit records of the transitions.
func (r *Reconciler) tell(ctx context.Context, s *scope) error {
	var errs []error
	for _, t := range s.transitions {
		if worthAnEvent(t) {
			kind := corev1.EventTypeNormal
			if t.to.Status != metav1.ConditionTrue {
				kind = corev1.EventTypeWarning
			}
			r.Events.Eventf(t.object, nil, kind, t.to.Reason, action(t), "%s", t.to.Message)
		}
		for _, record := range records(t) {
			errs = append(errs, r.Audit.Write(ctx, record))
		}
	}
	return errors.Join(errs...)
}

// worthAnEvent leaves out what only waits, and what another condition of the same object says already.
func worthAnEvent(t transition) bool {
	switch {
	case t.to.Status == metav1.ConditionUnknown, t.to.Reason == v1alpha1.ReasonDependent, t.to.Type == v1alpha1.ConditionProgrammed,
		t.to.Reason == v1alpha1.ReasonWaitingForPods, t.to.Reason == v1alpha1.ReasonNoReadyPods, t.to.Reason == v1alpha1.ReasonNotRefreshed,
		t.to.Reason == v1alpha1.ReasonValid:
		return false
	case t.to.Type == v1alpha1.ConditionReady:
		return t.to.Status == metav1.ConditionTrue
	default:
		return true
	}
}

func action(t transition) string {
	switch t.to.Type {
	case v1alpha1.ConditionAccepted:
		return "Check"
	case v1alpha1.ConditionTrustEstablished, v1alpha1.ConditionMetadataFresh, v1alpha1.ConditionCertificatesValid:
		return "EstablishTrust"
	case v1alpha1.ConditionVerified:
		return "Verify"
	case v1alpha1.ConditionExamplesPassed:
		return "RunExamples"
	case v1alpha1.ConditionDeletionBlocked:
		return "Delete"
	default:
		return "Serve"
	}
}

// records are the audit records of one transition: none for most.
func records(t transition) []audit.Record {
	isTrue := t.to.Status == metav1.ConditionTrue
	var types []audit.Type
	switch {
	case t.to.Type == v1alpha1.ConditionAccepted && t.created:
		types = append(types, createdType[t.kind])
	case t.to.Type == v1alpha1.ConditionAccepted && t.changed:
		types = append(types, updatedType[t.kind])
	case t.kind == v1alpha1.KindIdentityProvider && t.to.Type == v1alpha1.ConditionTrustEstablished && isTrue:
		types = append(types, audit.TypeSAMLIdPTrustEstablished)
	case t.kind == v1alpha1.KindIdentityProvider && t.to.Type == v1alpha1.ConditionTrustEstablished && t.to.Status == metav1.ConditionFalse:
		types = append(types, audit.TypeSAMLIdPTrustFailed)
	case t.to.Type == v1alpha1.ConditionMetadataFresh && t.to.Status == metav1.ConditionFalse:
		types = append(types, audit.TypeSAMLIdPMetadataRefreshFailed)
	case t.to.Type == v1alpha1.ConditionCertificatesValid && t.to.Reason != v1alpha1.ReasonValid && t.to.Status != metav1.ConditionUnknown:
		types = append(types, audit.TypeSAMLIdPCertificateExpiring)
	case t.to.Type == v1alpha1.ConditionDeletionBlocked && isTrue:
		types = append(types, audit.TypeSAMLIdPDeletionBlocked)
	case t.to.Type == v1alpha1.ConditionExamplesPassed && t.to.Status == metav1.ConditionFalse:
		types = append(types, audit.TypeAttributeMappingExamplesFailed)
	case t.kind == v1alpha1.KindServiceProvider && t.to.Type == v1alpha1.ConditionProgrammed && isTrue:
		types = append(types, audit.TypeSnapshotProgrammed)
	}
	if t.kind == v1alpha1.KindDomainBinding && t.to.Reason == v1alpha1.ReasonConflicted {
		types = append(types, audit.TypeSAMLDomainConflicted)
	}
	var all []audit.Record
	for _, recordType := range types {
		all = append(all, audit.Record{Type: recordType, Outcome: outcome(t), Reason: t.to.Reason, Actor: actor(t.object), Target: target(t)})
	}
	return all
}

var (
	createdType = map[string]audit.Type{
		v1alpha1.KindServiceProvider: audit.TypeServiceProviderCreated, v1alpha1.KindIdentityProvider: audit.TypeSAMLIdPCreated,
		v1alpha1.KindDomainBinding: audit.TypeSAMLDomainBound, v1alpha1.KindAttributeMapping: audit.TypeAttributeMappingCreated,
	}
	updatedType = map[string]audit.Type{
		v1alpha1.KindServiceProvider: audit.TypeServiceProviderUpdated, v1alpha1.KindIdentityProvider: audit.TypeSAMLIdPUpdated,
		v1alpha1.KindDomainBinding: audit.TypeSAMLDomainRebound, v1alpha1.KindAttributeMapping: audit.TypeAttributeMappingUpdated,
	}
)

func outcome(t transition) audit.Outcome {
	if t.to.Status == metav1.ConditionFalse {
		return audit.OutcomeFailure
	}
	return audit.OutcomeSuccess
}

// actor is who made the last change of the spec: the user, when the admission policy that stamps the name is installed, and the field manager.
func actor(object client.Object) audit.Actor {
	a := audit.Actor{Kind: audit.ActorKubernetes, ID: object.GetAnnotations()[v1alpha1.AnnotationChangedBy]}
	var latest metav1.Time
	for _, entry := range object.GetManagedFields() {
		if entry.Subresource == "" && entry.Time != nil && !entry.Time.Before(&latest) && entry.Manager != ownerFinalizer {
			latest, a.Manager = *entry.Time, entry.Manager
		}
	}
	return a
}

func target(t transition) audit.Target {
	return audit.Target{Kind: t.kind, Namespace: t.object.GetNamespace(), Name: t.object.GetName(), UID: string(t.object.GetUID()), Generation: t.object.GetGeneration()}
}
