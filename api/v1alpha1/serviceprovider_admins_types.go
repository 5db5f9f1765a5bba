package v1alpha1

// AdminSettings says who may open the admin view in the browser, at /admin: people of one of the groups who signed in through one of the IdentityProviders.
type AdminSettings struct {
	// groups of administrators: one of them is enough. Names are compared exactly.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Groups []Group `json:"groups,omitempty"`

	// identityProviders whose word on these groups counts, by name: groups of different IdPs may share a name.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	IdentityProviders []ObjectName `json:"identityProviders,omitempty"`
}
