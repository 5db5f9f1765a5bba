// Package v1alpha1 is the API of Sallyport: ServiceProvider, IdentityProvider, DomainBinding and AttributeMapping in the group
// sso.sallyport.dev. All kinds are namespaced; one ServiceProvider and the objects that refer to it live in one namespace.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +kubebuilder:ac:output:package="applyconfiguration"
// +groupName=sso.sallyport.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group of every kind here.
const GroupName = "sso.sallyport.dev"

var (
	// GroupVersion is what every kind here is served as.
	GroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

	// SchemeGroupVersion is GroupVersion under the name that generated code uses.
	SchemeGroupVersion = GroupVersion

	// SchemeBuilder collects what AddToScheme registers.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers the four kinds and their lists with a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

// The kinds of the group, as they are written in manifests.
const (
	KindServiceProvider  = "ServiceProvider"
	KindIdentityProvider = "IdentityProvider"
	KindDomainBinding    = "DomainBinding"
	KindAttributeMapping = "AttributeMapping"
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&ServiceProvider{}, &ServiceProviderList{},
		&IdentityProvider{}, &IdentityProviderList{},
		&DomainBinding{}, &DomainBindingList{},
		&AttributeMapping{}, &AttributeMappingList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
