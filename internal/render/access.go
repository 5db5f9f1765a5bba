package render

import (
	coreac "k8s.io/client-go/applyconfigurations/core/v1"
	rbacac "k8s.io/client-go/applyconfigurations/rbac/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/snapshot"
)

func serviceAccount(sp *v1alpha1.ServiceProvider) *coreac.ServiceAccountApplyConfiguration {
	return metaFor(coreac.ServiceAccount(WorkloadName(sp.Name), sp.Namespace), sp)
}

// role lets a pod read and watch its own snapshot, by name, and nothing else in the API.
func role(sp *v1alpha1.ServiceProvider) *rbacac.RoleApplyConfiguration {
	var names []string
	for _, file := range snapshot.FileNames() {
		names = append(names, snapshot.SecretName(sp.Name, file))
	}
	return metaFor(rbacac.Role(WorkloadName(sp.Name), sp.Namespace), sp).
		WithRules(rbacac.PolicyRule().WithAPIGroups("").WithResources("secrets").WithResourceNames(names...).WithVerbs("get", "watch"))
}

func roleBinding(sp *v1alpha1.ServiceProvider) *rbacac.RoleBindingApplyConfiguration {
	name := WorkloadName(sp.Name)
	return metaFor(rbacac.RoleBinding(name, sp.Namespace), sp).
		WithRoleRef(rbacac.RoleRef().WithAPIGroup("rbac.authorization.k8s.io").WithKind("Role").WithName(name)).
		WithSubjects(rbacac.Subject().WithKind("ServiceAccount").WithName(name).WithNamespace(sp.Namespace))
}
