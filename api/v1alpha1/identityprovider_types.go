package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// IdentityProvider is one connection to an upstream SAML identity provider (IdP).
// The same upstream IdP can be connected more than once: each connection has its own entity ID, ACS, keys and certificates.
//
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=identityproviders,scope=Namespaced,shortName=idp,categories=sso
// +kubebuilder:selectablefield:JSONPath=`.spec.serviceProviderRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.type`
// +kubebuilder:selectablefield:JSONPath=`.spec.state`
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.spec.state`
// +kubebuilder:printcolumn:name="EntityID",type=string,priority=1,JSONPath=`.status.entityID`
// +kubebuilder:printcolumn:name="Domains",type=integer,JSONPath=`.status.domains.count`
// +kubebuilder:printcolumn:name="Cert-Expiry",type=string,JSONPath=`.status.certificateExpiry`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",message="metadata.name must be at most 63 characters of a-z, 0-9 and -: the entity ID and ACS URL contain it"
type IdentityProvider struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the desired state of the IdentityProvider.
	// +required
	Spec IdentityProviderSpec `json:"spec,omitzero"`

	// status is the observed state of the IdentityProvider.
	// +optional
	// +default={"observedGeneration":-1,"conditions":[{"type":"Accepted","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"},{"type":"TrustEstablished","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"},{"type":"MetadataFresh","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"},{"type":"CertificatesValid","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"},{"type":"Programmed","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"},{"type":"Ready","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"}]}
	Status IdentityProviderStatus `json:"status,omitzero"`
}

// IdentityProviderList is a list of IdentityProviders.
//
// +kubebuilder:object:root=true
type IdentityProviderList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	// items are the IdentityProviders.
	Items []IdentityProvider `json:"items"`
}

// IdentityProviderType says what product the upstream IdP is. It picks the preset of attribute names and the set-up hints,
// never how a message is verified.
//
// +kubebuilder:validation:Enum=Okta;EntraID;GoogleWorkspace;ADFS;Keycloak;Generic
type IdentityProviderType string

const (
	TypeOkta            IdentityProviderType = "Okta"
	TypeEntraID         IdentityProviderType = "EntraID"
	TypeGoogleWorkspace IdentityProviderType = "GoogleWorkspace"
	TypeADFS            IdentityProviderType = "ADFS"
	TypeKeycloak        IdentityProviderType = "Keycloak"
	TypeGeneric         IdentityProviderType = "Generic"
)

// IdentityProviderSpec is the desired state of an IdentityProvider.
type IdentityProviderSpec struct {
	// serviceProviderRef names the ServiceProvider, in the same namespace, that signs people in through this IdP.
	// +required
	// +kubebuilder:validation:XValidation:rule="self.name == oldSelf.name",message="serviceProviderRef is immutable: create another IdentityProvider for the other ServiceProvider, move the domain bindings to it, then delete this one"
	ServiceProviderRef ServiceProviderReference `json:"serviceProviderRef,omitzero"`

	// displayName is the name shown on the sign-in page. Left out: the object's name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^\\\\x00-\\\\x1f\\\\x7f]+$')",message="displayName must be one line without control characters"
	DisplayName string `json:"displayName,omitempty"`

	// type picks the preset of attribute names for everything that no AttributeMapping says, and the set-up hints on the trust page.
	// +optional
	// +default="Generic"
	Type IdentityProviderType `json:"type,omitempty"`

	// state Disabled refuses sign-in and ends the sessions of this IdP, and keeps everything else.
	// +optional
	// +default="Enabled"
	State State `json:"state,omitempty"`

	// catchAll Enabled lets this IdP serve and assert addresses of domains that no DomainBinding binds; at most one per ServiceProvider.
	// +optional
	// +default="Disabled"
	CatchAll State `json:"catchAll,omitempty"`

	// saml configures the SAML connection to the IdP.
	// +required
	SAML SAMLSettings `json:"saml,omitzero"`

	// provisioning says how users are created and updated at sign-in.
	// +optional
	// +default={}
	Provisioning ProvisioningSettings `json:"provisioning,omitzero"`

	// debug records more for a while.
	// +optional
	Debug *DebugSettings `json:"debug,omitempty"`

	// deletion says what happens to data of this IdP when the IdentityProvider is deleted.
	// +optional
	// +default={}
	Deletion DeletionSettings `json:"deletion,omitzero"`
}

// ProvisioningSettings says what happens to people at sign-in.
type ProvisioningSettings struct {
	// jit Enabled creates a user at the first sign-in; Disabled refuses people who are not users yet.
	// +optional
	// +default="Enabled"
	JIT State `json:"jit,omitempty"`

	// secondFactor Required makes the service provider ask for a second factor after the sign-in at the IdP.
	// +optional
	// +default="NotRequired"
	SecondFactor SecondFactor `json:"secondFactor,omitempty"`
}

// SecondFactor says whether the service provider asks for a second factor.
//
// +kubebuilder:validation:Enum=NotRequired;Required
type SecondFactor string

const (
	SecondFactorNotRequired SecondFactor = "NotRequired"
	SecondFactorRequired    SecondFactor = "Required"
)

// DebugSettings records more for a while.
type DebugSettings struct {
	// verboseUntil records successful responses in the debug log too, until then; it ends by itself.
	// Example: 2026-12-01T00:00:00Z
	// +optional
	VerboseUntil *metav1.Time `json:"verboseUntil,omitempty"`
}

// DeletionSettings says what happens to data of an IdP when its IdentityProvider is deleted.
type DeletionSettings struct {
	// mirroredAttributes Scrub clears profile values that came from this IdP, that nobody changed since and that no other IdP vouches for.
	// +optional
	// +default="Keep"
	MirroredAttributes MirroredAttributes `json:"mirroredAttributes,omitempty"`
}

// MirroredAttributes says what happens to mirrored profile values when their IdP is deleted.
//
// +kubebuilder:validation:Enum=Keep;Scrub
type MirroredAttributes string

const (
	MirroredAttributesKeep  MirroredAttributes = "Keep"
	MirroredAttributesScrub MirroredAttributes = "Scrub"
)
