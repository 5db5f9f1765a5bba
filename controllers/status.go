package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
)

// statuses writes what was found out, IdentityProviders first: the names of its bindings are on an IdentityProvider before any of them
// is Ready, so that there is no moment in which it could be deleted under a domain. What did not change is not written.
func (r *Reconciler) statuses(ctx context.Context, s *scope) error {
	if sp := s.serviceProvider; sp != nil {
		if err := r.write(ctx, s, v1alpha1.KindServiceProvider, sp, sp.Status, r.serviceProviderStatus(s)); err != nil {
			return err
		}
	}
	for i := range s.idps {
		idp := &s.idps[i]
		f := s.output.Finding(v1alpha1.KindIdentityProvider, idp.Name)
		if f == nil {
			continue
		}
		if err := r.holdInUse(ctx, s, idp, f); err != nil {
			return err
		}
		if err := r.write(ctx, s, v1alpha1.KindIdentityProvider, idp, idp.Status, r.identityProviderStatus(s, idp, f)); err != nil {
			return err
		}
	}
	for i := range s.bindings {
		binding := &s.bindings[i]
		if f := s.output.Finding(v1alpha1.KindDomainBinding, binding.Name); f != nil {
			if err := r.write(ctx, s, v1alpha1.KindDomainBinding, binding, binding.Status, domainBindingStatus(s, binding, f)); err != nil {
				return err
			}
		}
	}
	for i := range s.mappings {
		mapping := &s.mappings[i]
		if f := s.output.Finding(v1alpha1.KindAttributeMapping, mapping.Name); f != nil {
			if err := r.write(ctx, s, v1alpha1.KindAttributeMapping, mapping, mapping.Status, attributeMappingStatus(s, mapping, f)); err != nil {
				return err
			}
		}
	}
	return nil
}

// write applies a status if it differs from what is there, and notes the conditions that changed for Events and audit records.
func (r *Reconciler) write(ctx context.Context, s *scope, kind string, object client.Object, before, after any) error {
	if apiequality.Semantic.DeepEqual(before, after) {
		return nil
	}
	encoded, err := json.Marshal(after)
	if err != nil {
		return err
	}
	var status map[string]any
	if err := json.Unmarshal(encoded, &status); err != nil {
		return err
	}
	intent := &unstructured.Unstructured{Object: map[string]any{"status": status}}
	intent.SetAPIVersion(v1alpha1.GroupVersion.String())
	intent.SetKind(kind)
	intent.SetNamespace(object.GetNamespace())
	intent.SetName(object.GetName())
	intent.SetUID(object.GetUID())
	err = r.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(intent), client.FieldOwner(ownerStatus), client.ForceOwnership)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // deleted, or deleted and made anew, since it was read: its own event brings another pass
	}
	if err != nil {
		return fmt.Errorf("status of %s %s: %w", kind, object.GetName(), err)
	}
	s.noteTransitions(kind, object, conditionsOf(object), after)
	return nil
}

// merge returns the conditions with their times: one that did not change its status keeps the time of its last transition.
func (r *Reconciler) merge(before []metav1.Condition, now conditions, generation int64) []metav1.Condition {
	return mergeAt(before, now, generation, r.Clock.Now())
}

func mergeAt(before []metav1.Condition, now conditions, generation int64, at time.Time) []metav1.Condition {
	merged := make([]metav1.Condition, 0, len(now))
	for _, c := range now {
		next := metav1.Condition{Type: c.Type, Status: c.Status, Reason: c.Reason, Message: truncate(c.Message), ObservedGeneration: generation,
			LastTransitionTime: metav1.NewTime(at.Truncate(time.Second))}
		if old := meta.FindStatusCondition(before, c.Type); old != nil && old.Status == c.Status {
			next.LastTransitionTime = old.LastTransitionTime
		}
		merged = append(merged, next)
	}
	return merged
}

// truncate keeps a message within what the API server takes.
func truncate(message string) string {
	const most = 2000
	if runes := []rune(message); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return message
}

func (r *Reconciler) serviceProviderStatus(s *scope) v1alpha1.ServiceProviderStatus {
	sp, f := s.serviceProvider, s.output.Finding(v1alpha1.KindServiceProvider, s.key.Name)
	status := *sp.Status.DeepCopy()
	status.ObservedGeneration = sp.Generation
	c := conditions(f.Conditions)
	wanted := max(1, sp.Spec.Replicas)
	status.Replicas, status.ReadyReplicas = ptr.To(wanted), ptr.To(int32(s.programmed.ready))
	status.ReplicaSummary = fmt.Sprintf("%d/%d", s.programmed.ready, wanted)
	if s.programmed.ready > 0 {
		// A pod is ready only while its store answers with the right schema.
		c.set(v1alpha1.ConditionStoreReady, metav1.ConditionTrue, v1alpha1.ReasonStoreReady, "The store answers.")
		c.set(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAvailable, "%d of %d pods are ready.", s.programmed.ready, wanted)
	} else {
		c.set(v1alpha1.ConditionStoreReady, metav1.ConditionUnknown, v1alpha1.ReasonNoReadyPods, "No pod is ready to say how the store is.")
		c.set(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonNoReadyPods, "No pod is ready: kubectl -n %s get pods -l app.kubernetes.io/instance=%s", sp.Namespace, sp.Name)
	}
	c.program(f, s.programmed, false)
	c.summarize(f, s.programmed, v1alpha1.ConditionAccepted, v1alpha1.ConditionAvailable, v1alpha1.ConditionProgrammed)
	status.Conditions = r.merge(sp.Status.Conditions, c, sp.Generation)
	if s.output.Snapshot != nil {
		status.URL = s.output.Snapshot.ServiceProvider.URL
		status.Revision = s.encoded.Revision
		status.IdentityProviders = ptr.To(int32(len(s.output.Snapshot.Connections)))
		status.DomainBindings = ptr.To(int32(len(s.output.Snapshot.Domains)))
	}
	if s.programmed.all {
		status.ProgrammedRevision = s.encoded.Revision
	}
	return status
}

func domainBindingStatus(s *scope, binding *v1alpha1.DomainBinding, f *compile.Finding) v1alpha1.DomainBindingStatus {
	status := *binding.Status.DeepCopy()
	status.ObservedGeneration = binding.Generation
	c := conditions(f.Conditions)
	c.program(f, s.programmed, servedSameDomain(s, binding.Name))
	c.summarize(f, s.programmed, v1alpha1.ConditionAccepted, v1alpha1.ConditionVerified, v1alpha1.ConditionProgrammed)
	status.Conditions = mergeAt(binding.Status.Conditions, c, binding.Generation, s.now)
	return status
}

func attributeMappingStatus(s *scope, mapping *v1alpha1.AttributeMapping, f *compile.Finding) v1alpha1.AttributeMappingStatus {
	status := *mapping.Status.DeepCopy()
	status.ObservedGeneration = mapping.Generation
	c := conditions(f.Conditions)
	c.program(f, s.programmed, servedSame(s, string(mapping.Spec.IdentityProviderRef.Name)))
	c.summarize(f, s.programmed, v1alpha1.ConditionAccepted, v1alpha1.ConditionExamplesPassed, v1alpha1.ConditionProgrammed)
	status.Conditions = mergeAt(mapping.Status.Conditions, c, mapping.Generation, s.now)
	status.Examples = nil
	for _, e := range f.Examples {
		status.Examples = append(status.Examples, v1alpha1.ExampleResult{Index: ptr.To(int32(e.Index)), Message: e.Message})
	}
	return status
}
