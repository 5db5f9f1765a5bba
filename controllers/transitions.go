package controllers

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
)

// transition is a condition that has changed its status or its reason.
type transition struct {
	change
	from *metav1.Condition
	to   metav1.Condition
}

// transitions compares the conditions that were told of with those that will be. It is the persisted status, and until it is written the ledger, that makes each
// one told once.
func (r *Reconciler) transitions(o change) []news {
	var all []news
	noted := map[string]bool{}
	for _, now := range o.conditionsAfter {
		before := meta.FindStatusCondition(o.told.Conditions, now.Type)
		if before != nil && before.Status == now.Status && before.Reason == now.Reason {
			continue
		}
		t := transition{o, before, now}
		n := news{key: key(o.object, o.object.GetResourceVersion(), now.Type, string(now.Status), now.Reason), kind: o.kind, about: o.object}
		// Two conditions that say the same are one Event.
		if t.worthAnEvent() && !noted[now.Message] {
			noted[now.Message] = true
			n.event = &eventNote{warning: t.warning(), reason: now.Reason, action: actions[now.Type], note: now.Message}
		}
		if recordType, ok := t.recordType(); ok {
			n.record = &audit.Record{Type: recordType, Outcome: t.outcome(), Reason: now.Reason, Actor: operator, Details: details{Message: now.Message}}
		}
		if n.event != nil || n.record != nil {
			all = append(all, n)
		}
	}
	return all
}

// worthAnEvent leaves out what only waits, and what another condition of the same object says already.
func (t transition) worthAnEvent() bool {
	if t.to.Status == metav1.ConditionUnknown || t.to.Type == v1alpha1.ConditionProgrammed {
		return false
	}
	switch t.to.Reason {
	case v1alpha1.ReasonExpiringWithin90Days, v1alpha1.ReasonExpiringWithin30Days, v1alpha1.ReasonExpiringWithin7Days, v1alpha1.ReasonExpired:
		return false // each certificate tells of its own
	case v1alpha1.ReasonInvalid:
		// That the entity ID has changed is told under that name, wherever the metadata comes from.
		fresh := meta.FindStatusCondition(t.conditionsAfter, v1alpha1.ConditionMetadataFresh)
		return t.to.Type != v1alpha1.ConditionReady && (fresh == nil || fresh.Reason != v1alpha1.ReasonEntityIDChanged)
	case v1alpha1.ReasonDependent, v1alpha1.ReasonWaitingForPods, v1alpha1.ReasonNoReadyPods, v1alpha1.ReasonNotRefreshed, v1alpha1.ReasonNotRequired,
		v1alpha1.ReasonNoExamples, v1alpha1.ReasonTerminating, v1alpha1.ReasonDeletionBlocked:
		return false
	case v1alpha1.ReasonValid, v1alpha1.ReasonFresh:
		return t.from != nil && (t.from.Status == metav1.ConditionFalse || t.from.Reason != v1alpha1.ReasonPending && t.from.Status == metav1.ConditionTrue) // recovered
	}
	return t.to.Type != v1alpha1.ConditionReady || t.to.Status == metav1.ConditionTrue
}

func (t transition) warning() bool {
	switch t.to.Reason {
	case v1alpha1.ReasonMetadataExpiring, v1alpha1.ReasonFormerValue:
		return true
	}
	return t.to.Status != metav1.ConditionTrue || t.to.Type == v1alpha1.ConditionDeletionBlocked || t.to.Type == v1alpha1.ConditionGroupOverage
}

// actions say what the operator was doing, as Events ask for.
var actions = map[string]string{
	v1alpha1.ConditionAccepted:          "Check",
	v1alpha1.ConditionTrustEstablished:  "EstablishTrust",
	v1alpha1.ConditionMetadataFresh:     "Refresh",
	v1alpha1.ConditionCertificatesValid: "CheckCertificates",
	v1alpha1.ConditionVerified:          "Verify",
	v1alpha1.ConditionExamplesPassed:    "RunExamples",
	v1alpha1.ConditionDeletionBlocked:   "Delete",
	v1alpha1.ConditionGroupOverage:      "Watch",
	v1alpha1.ConditionStoreReady:        "Watch",
	v1alpha1.ConditionAvailable:         "Watch",
	v1alpha1.ConditionReady:             "Serve",
}

// recordType is the audit record of a transition; most have none, and what a person did to the spec is told from the ledger.
func (t transition) recordType() (audit.Type, bool) {
	isTrue, isFalse := t.to.Status == metav1.ConditionTrue, t.to.Status == metav1.ConditionFalse
	switch t.to.Type {
	case v1alpha1.ConditionTrustEstablished:
		switch {
		case isTrue:
			return audit.TypeSAMLIdPTrustEstablished, true
		case isFalse:
			return audit.TypeSAMLIdPTrustFailed, true
		}
	case v1alpha1.ConditionMetadataFresh:
		return t.freshness()
	case v1alpha1.ConditionDeletionBlocked:
		return audit.TypeSAMLIdPDeletionBlocked, isTrue
	case v1alpha1.ConditionExamplesPassed:
		return audit.TypeAttributeMappingExamplesFailed, isFalse
	case v1alpha1.ConditionVerified:
		return audit.TypeSAMLDomainVerified, proved(&t.to) && !proved(t.from)
	case v1alpha1.ConditionAccepted:
		return audit.TypeSAMLDomainConflicted, t.kind == v1alpha1.KindDomainBinding && t.to.Reason == v1alpha1.ReasonConflicted
	}
	return 0, false
}

// proved tells whether the condition Verified says that a TXT record is there.
func proved(c *metav1.Condition) bool {
	return c != nil && c.Status == metav1.ConditionTrue && (c.Reason == v1alpha1.ReasonVerified || c.Reason == v1alpha1.ReasonFormerValue)
}

func (t transition) freshness() (audit.Type, bool) {
	status, ok := t.after.(v1alpha1.IdentityProviderStatus)
	if !ok || status.Metadata == nil {
		return 0, false
	}
	switch t.to.Reason {
	case v1alpha1.ReasonMetadataExpiring, v1alpha1.ReasonMetadataExpired:
		return audit.TypeSAMLIdPMetadataStale, true
	case v1alpha1.ReasonEntityIDChanged:
		return audit.TypeSAMLIdPEntityIDChangeRefused, true
	}
	if status.Metadata.Source != v1alpha1.MetadataSourceURL {
		return 0, false
	}
	if t.to.Status == metav1.ConditionFalse {
		return audit.TypeSAMLIdPMetadataRefreshFailed, true
	}
	recovered := t.to.Status == metav1.ConditionTrue && t.from != nil && t.from.Status == metav1.ConditionFalse
	return audit.TypeSAMLIdPMetadataRefreshed, recovered
}

func (t transition) outcome() audit.Outcome {
	if t.to.Status == metav1.ConditionFalse {
		return audit.OutcomeFailure
	}
	return audit.OutcomeSuccess
}
