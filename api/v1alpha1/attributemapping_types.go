package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AttributeMapping says how the attributes of an IdP's assertions become a person: e-mail, names, groups and profile.
//
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=attributemappings,scope=Namespaced,shortName=amap,categories=sso
// +kubebuilder:selectablefield:JSONPath=`.spec.identityProviderRef.name`
// +kubebuilder:printcolumn:name="IdP",type=string,JSONPath=`.spec.identityProviderRef.name`
// +kubebuilder:printcolumn:name="Examples",type=string,JSONPath=`.status.conditions[?(@.type=="ExamplesPassed")].status`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AttributeMapping struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the desired state of the AttributeMapping.
	// +required
	Spec AttributeMappingSpec `json:"spec,omitzero"`

	// status is the observed state of the AttributeMapping.
	// +optional
	// +default={"observedGeneration":-1,"conditions":[{"type":"Accepted","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"},{"type":"ExamplesPassed","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"},{"type":"Programmed","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"},{"type":"Ready","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"}]}
	Status AttributeMappingStatus `json:"status,omitzero"`
}

// AttributeMappingList is a list of AttributeMappings.
//
// +kubebuilder:object:root=true
type AttributeMappingList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	// items are the AttributeMappings.
	Items []AttributeMapping `json:"items"`
}

// AttributeMappingSpec is the desired state of an AttributeMapping. A part that is left out keeps the preset of the IdP's type.
type AttributeMappingSpec struct {
	// identityProviderRef names the IdentityProvider, in the same namespace. One mapping per IdP: the oldest wins.
	// +required
	IdentityProviderRef IdentityProviderReference `json:"identityProviderRef,omitzero"`

	// email is the person's address. When no source has a value, the NameID counts if its format allows it.
	// +optional
	Email *AttributeSources `json:"email,omitempty"`

	// firstName of the person.
	// +optional
	FirstName *AttributeSources `json:"firstName,omitempty"`

	// lastName of the person.
	// +optional
	LastName *AttributeSources `json:"lastName,omitempty"`

	// groups of the person.
	// +optional
	Groups *GroupSources `json:"groups,omitempty"`

	// profile fills profile attributes: the standard ones, and those that the ServiceProvider names itself. It stands for the preset's whole list.
	// +optional
	// +listType=map
	// +listMapKey=attribute
	// +kubebuilder:validation:MaxItems=64
	Profile []ProfileSource `json:"profile,omitempty"`

	// rules add groups by CEL expressions over attributes, email, groups and nameID.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Rules []GroupRule `json:"rules,omitempty"`

	// examples are run before the mapping is served: a failing one keeps the last good mapping in service.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Examples []MappingExample `json:"examples,omitempty"`
}

// AttributeSources is where a value comes from.
type AttributeSources struct {
	// from are tried in order; the first that has a value counts. An empty list takes the value from nowhere.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	From []AttributeSource `json:"from,omitzero"`
}

// AttributeSource is one place in an assertion: exactly one of name and nameID.
//
// +kubebuilder:validation:XValidation:rule="has(self.name) != has(self.nameID)",message="exactly one of name, nameID"
type AttributeSource struct {
	// name is the Name of an attribute, matched exactly. A FriendlyName never identifies an attribute.
	// +optional
	Name AttributeName `json:"name,omitempty"`

	// nameID takes the NameID when it has this format.
	// +optional
	NameID NameIDSource `json:"nameID,omitempty"`
}

// AttributeName is the Name of an attribute in an assertion (saml-core 2.7.3.1).
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
type AttributeName string

// NameIDSource is the format that a NameID must have to be used.
//
// +kubebuilder:validation:Enum=EmailAddress;Persistent;Transient;Unspecified;Any
type NameIDSource string

const (
	NameIDSourceEmailAddress NameIDSource = "EmailAddress"
	NameIDSourcePersistent   NameIDSource = "Persistent"
	NameIDSourceTransient    NameIDSource = "Transient"
	NameIDSourceUnspecified  NameIDSource = "Unspecified"
	NameIDSourceAny          NameIDSource = "Any"
)

// GroupSources is where groups come from.
type GroupSources struct {
	// from are tried in order; the first that has a value counts. An empty list takes groups from nowhere.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	From []AttributeSource `json:"from,omitzero"`

	// whenAbsent says what happens to the groups of the last sign-in when an assertion carries none.
	// +optional
	// +default="Revoke"
	WhenAbsent WhenAbsent `json:"whenAbsent,omitempty"`

	// separator splits each value into several groups. Left out or empty: nothing is split.
	// +optional
	// +kubebuilder:validation:MaxLength=8
	Separator string `json:"separator,omitempty"`
}

// WhenAbsent says what happens to the groups of the last sign-in when an assertion carries none.
//
// +kubebuilder:validation:Enum=Revoke;Keep
type WhenAbsent string

const (
	WhenAbsentRevoke WhenAbsent = "Revoke"
	WhenAbsentKeep   WhenAbsent = "Keep"
)

// ProfileSource fills one profile attribute.
type ProfileSource struct {
	// attribute is the name of a profile attribute. Example: department
	// +required
	Attribute ProfileAttributeName `json:"attribute,omitempty"`

	// from are tried in order; the first that has a value counts.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	From []AttributeSource `json:"from,omitempty"`
}

// GroupRule adds groups when its expression is true.
type GroupRule struct {
	// when is a CEL expression over attributes (name to list of values), email, groups and nameID. Example: 'ML' in attributes.department
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	When string `json:"when,omitempty"`

	// addGroups are added to the person's groups.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	AddGroups []Group `json:"addGroups,omitempty"`
}

// Group is the name of a group.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
// +kubebuilder:validation:XValidation:rule="self.matches('^[^\\\\x00-\\\\x1f\\\\x7f,]+$')",message="must be one group without commas or control characters: Remote-Groups lists groups with commas between them"
type Group string

// MappingExample is a person as the IdP would assert them, and what must come out.
type MappingExample struct {
	// attributes of the assertion: name to list of values.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Attributes map[string]AttributeValues `json:"attributes,omitempty"`

	// nameID of the assertion.
	// +optional
	NameID *ExampleNameID `json:"nameID,omitempty"`

	// expect is what must come out. What is left out is not compared.
	// +required
	Expect MappingExpectation `json:"expect,omitzero"`
}

// AttributeValues are the values of one attribute.
//
// +listType=atomic
// +kubebuilder:validation:MaxItems=64
// +kubebuilder:validation:items:MaxLength=1024
type AttributeValues []string

// ExampleNameID is a NameID.
type ExampleNameID struct {
	// format of the NameID.
	// +optional
	// +default="Unspecified"
	Format NameIDFormat `json:"format,omitempty"`

	// value of the NameID.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Value string `json:"value,omitempty"`
}

// MappingExpectation is what must come out of an example.
//
// +kubebuilder:validation:MinProperties=1
type MappingExpectation struct {
	// email that must come out.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=320
	Email string `json:"email,omitempty"`

	// firstName that must come out.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	FirstName string `json:"firstName,omitempty"`

	// lastName that must come out.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	LastName string `json:"lastName,omitempty"`

	// groups that must come out, in any order; an empty list expects none.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Groups []Group `json:"groups,omitzero"`

	// profile values that must come out: attribute to value.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Profile map[string]ProfileValue `json:"profile,omitempty"`
}

// ProfileValue is the value of a profile attribute.
//
// +kubebuilder:validation:MaxLength=1024
type ProfileValue string

// AttributeMappingStatus is the observed state of an AttributeMapping.
type AttributeMappingStatus struct {
	// conditions are Accepted, ExamplesPassed, Programmed and Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of spec that this status is about; -1 before the operator's first visit.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// examples that failed.
	// +optional
	// +listType=map
	// +listMapKey=index
	// +kubebuilder:validation:MaxItems=32
	Examples []ExampleResult `json:"examples,omitempty"`
}

// ExampleResult says why an example failed.
type ExampleResult struct {
	// index of the example in spec.examples, from 0.
	// +required
	// +kubebuilder:validation:Minimum=0
	Index *int32 `json:"index,omitempty"`

	// message says what came out instead.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}
