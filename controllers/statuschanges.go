package controllers

import (
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// changes are the subjects of which a status has to be written, or was told and may not be written. Comparing statuses is the costly part of a pass, so unchanged objects
// are skipped first.
func (s *scope) changes(all []subject) []change {
	var changed []change
	for _, o := range all {
		uid := o.object.GetUID()
		ahead := s.memory.ledger.isAhead(uid)
		if !ahead && o.same() {
			continue
		}
		told := s.told(uid, o.before)
		changed = append(changed, change{subject: o, ahead: ahead, told: told, news: s.newsOf(o, told)})
	}
	return changed
}

// newsOf is what happened to an object besides its conditions.
func (s *scope) newsOf(o subject, told toldStatus) []news {
	switch is := o.after.(type) {
	case v1alpha1.IdentityProviderStatus:
		return identityProviderNews(o.object.(*v1alpha1.IdentityProvider), told.identityProvider(), &is)
	case v1alpha1.ServiceProviderStatus:
		return s.serviceProviderNews(o.object.(*v1alpha1.ServiceProvider), told, is)
	}
	return nil
}

// urgent is true when what has changed besides the conditions must not wait.
func (o subject) urgent() bool {
	before, ok := o.before.(v1alpha1.IdentityProviderStatus)
	after, too := o.after.(v1alpha1.IdentityProviderStatus)
	return ok && too && otherDomains(before, after)
}

// same tells whether there is nothing to write. Conditions that stay are those of before themselves (see merge), which spares comparing them.
func (o subject) same() bool {
	if !sameList(o.conditionsBefore, o.conditionsAfter) {
		return apiequality.Semantic.DeepEqual(o.before, o.after)
	}
	return apiequality.Semantic.DeepEqual(withoutConditions(o.before), withoutConditions(o.after))
}

// sameList tells whether two lists are one and the same.
func sameList(a, b []metav1.Condition) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func withoutConditions(status any) any {
	switch status := status.(type) {
	case v1alpha1.ServiceProviderStatus:
		status.Conditions = nil
		return status
	case v1alpha1.IdentityProviderStatus:
		status.Conditions = nil
		return status
	case v1alpha1.DomainBindingStatus:
		status.Conditions = nil
		return status
	case v1alpha1.AttributeMappingStatus:
		status.Conditions = nil
		return status
	}
	return status
}
