package controllers

import (
	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
)

func (r *Reconciler) domainBinding(s *scope, binding *v1alpha1.DomainBinding, f *compile.Finding) subject {
	status := binding.Status // what it points to is replaced below, and never changed
	status.ObservedGeneration = binding.Generation
	c := conditions(f.Conditions)
	c.program(s, f, s.servedSameDomain(binding))
	c.summarize(s, f, v1alpha1.ConditionAccepted, v1alpha1.ConditionVerified, v1alpha1.ConditionProgrammed)
	status.Conditions = c.merge(binding.Status.Conditions, binding.Generation, s.now)
	status.Verification = s.records[binding.Name]
	return subject{kind: v1alpha1.KindDomainBinding, object: binding, before: binding.Status, after: status,
		conditionsBefore: binding.Status.Conditions, conditionsAfter: status.Conditions}
}

// servedSameDomain tells whether every pod already serves this very domain.
func (s *scope) servedSameDomain(binding *v1alpha1.DomainBinding) bool {
	now, ok := s.wanted.domain(binding.Name, binding.UID)
	if !ok {
		return false
	}
	before, ok := s.memory.served.domain(binding.Name, binding.UID)
	return ok && *now == *before
}
