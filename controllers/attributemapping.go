package controllers

import (
	"k8s.io/utils/ptr"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
)

func (r *Reconciler) attributeMapping(s *scope, mapping *v1alpha1.AttributeMapping, f *compile.Finding) subject {
	status := *mapping.Status.DeepCopy()
	status.ObservedGeneration = mapping.Generation
	c := conditions(f.Conditions)
	c.program(s, f, s.servedSameConnection(string(mapping.Spec.IdentityProviderRef.Name)))
	c.summarize(s, f, v1alpha1.ConditionAccepted, v1alpha1.ConditionExamplesPassed, v1alpha1.ConditionProgrammed)
	status.Conditions = c.merge(mapping.Status.Conditions, mapping.Generation, s.now)
	status.Examples = nil
	for _, e := range f.Examples {
		status.Examples = append(status.Examples, v1alpha1.ExampleResult{Index: ptr.To(int32(e.Index)), Message: e.Message})
	}
	return subject{kind: v1alpha1.KindAttributeMapping, object: mapping, before: mapping.Status, after: status,
		conditionsBefore: mapping.Status.Conditions, conditionsAfter: status.Conditions}
}
