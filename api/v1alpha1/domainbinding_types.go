package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// DomainBinding binds an e-mail domain to an IdentityProvider: addresses of the domain are sent to that IdP, and no other IdP may assert one.
//
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=domainbindings,scope=Namespaced,shortName=dbind,categories=sso
// +kubebuilder:selectablefield:JSONPath=`.spec.domain`
// +kubebuilder:selectablefield:JSONPath=`.spec.identityProviderRef.name`
// +kubebuilder:printcolumn:name="Domain",type=string,JSONPath=`.spec.domain`
// +kubebuilder:printcolumn:name="IdP",type=string,JSONPath=`.spec.identityProviderRef.name`
// +kubebuilder:printcolumn:name="Subdomains",type=string,priority=1,JSONPath=`.spec.subdomains`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type DomainBinding struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the desired state of the DomainBinding.
	// +required
	Spec DomainBindingSpec `json:"spec,omitzero"`

	// status is the observed state of the DomainBinding.
	// +optional
	// +default={"observedGeneration":-1,"conditions":[{"type":"Accepted","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"},{"type":"Verified","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"},{"type":"Programmed","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"},{"type":"Ready","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"}]}
	Status DomainBindingStatus `json:"status,omitzero"`
}

// DomainBindingList is a list of DomainBindings.
//
// +kubebuilder:object:root=true
type DomainBindingList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	// items are the DomainBindings.
	Items []DomainBinding `json:"items"`
}

// DomainBindingSpec is the desired state of a DomainBinding.
type DomainBindingSpec struct {
	// domain is an e-mail domain in lower-case A-label form. Public suffixes such as com, co.uk and github.io are refused. Immutable.
	// Example: example.com
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == self.lowerAscii()",messageExpression="'domain must be lower-case: write ' + self.lowerAscii()",message="domain must be lower-case"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[\\\\x00-\\\\x7f]*$')",message="domain must be in its ASCII form (A-label), such as xn--bcher-kva.example for bücher.example: kubectl sso lint prints the form to write"
	// +kubebuilder:validation:XValidation:rule="!self.contains('@')",message="domain must be the domain alone: write example.com, not alice@example.com"
	// +kubebuilder:validation:XValidation:rule="!self.contains('*')",message="domain must not be a wildcard: write example.com and set subdomains: Included"
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('.')",message="domain must not end with a dot: remove it"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[\\\\x00-\\\\x7f]*$') || self.contains('@') || self.contains('*') || self.endsWith('.') || self.lowerAscii().matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+$')",message="domain must have at least two labels of letters, digits and hyphens: write example.com, without a scheme, port or path"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="domain is immutable: create another DomainBinding for the other domain and delete this one"
	Domain string `json:"domain,omitempty"`

	// subdomains Included extends the binding to every subdomain that has no binding of its own.
	// +optional
	// +default="Excluded"
	Subdomains Inclusion `json:"subdomains,omitempty"`

	// identityProviderRef names the IdentityProvider, in the same namespace. Changing it is a rebind: people of the domain move to the other IdP.
	// +required
	IdentityProviderRef IdentityProviderReference `json:"identityProviderRef,omitzero"`

	// verification proves that the domain is yours before it is served.
	// +optional
	// +default={}
	Verification DomainVerification `json:"verification,omitzero"`
}

// Inclusion says whether something belongs.
//
// +kubebuilder:validation:Enum=Excluded;Included
type Inclusion string

const (
	Excluded Inclusion = "Excluded"
	Included Inclusion = "Included"
)

// DomainVerification proves that a domain is yours.
type DomainVerification struct {
	// method DNS serves the binding only while the TXT record that status.verification names is there.
	// +optional
	// +default="None"
	Method VerificationMethod `json:"method,omitempty"`
}

// VerificationMethod is how a domain is verified.
//
// +kubebuilder:validation:Enum=None;DNS
type VerificationMethod string

const (
	VerificationNone VerificationMethod = "None"
	VerificationDNS  VerificationMethod = "DNS"
)

// DomainBindingStatus is the observed state of a DomainBinding.
type DomainBindingStatus struct {
	// conditions are Accepted, Verified, Programmed and Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of spec that this status is about; -1 before the operator's first visit.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// verification is the TXT record to create. It stays the same for this domain and ServiceProvider, also in a new cluster, as long as namespace and name
	// do and the Secret <ServiceProvider>-domain-verification comes back with the backup.
	// +optional
	Verification *VerificationRecord `json:"verification,omitempty"`
}

// VerificationRecord is the TXT record that proves a domain.
type VerificationRecord struct {
	// recordName is the name of the TXT record.
	// +optional
	// +kubebuilder:validation:MaxLength=300
	RecordName string `json:"recordName,omitempty"`

	// recordValue is the value of the TXT record.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	RecordValue string `json:"recordValue,omitempty"`
}
