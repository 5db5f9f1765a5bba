package v1alpha1

// State switches something on or off.
//
// +kubebuilder:validation:Enum=Enabled;Disabled
type State string

const (
	StateEnabled  State = "Enabled"
	StateDisabled State = "Disabled"
)

// ObjectName is the name of a Kubernetes object in the same namespace.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
type ObjectName string

// DataKey is a key in the data of a ConfigMap or Secret.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
type DataKey string

// ServiceProviderReference names a ServiceProvider in the same namespace.
type ServiceProviderReference struct {
	// name is the name of the ServiceProvider.
	// +required
	Name ObjectName `json:"name,omitempty"`
}

// IdentityProviderReference names an IdentityProvider in the same namespace.
type IdentityProviderReference struct {
	// name is the name of the IdentityProvider.
	// +required
	Name ObjectName `json:"name,omitempty"`
}

// SecretKeyReference names one key of a Secret in the same namespace.
type SecretKeyReference struct {
	// name is the name of the Secret.
	// +required
	Name ObjectName `json:"name,omitempty"`

	// key is the key in the Secret's data; where it is left out, the field that holds the reference says which one is read.
	// +optional
	Key DataKey `json:"key,omitempty"`
}

// KeyOr returns the key, or fallback where the reference names none.
func (r SecretKeyReference) KeyOr(fallback string) string {
	if r.Key == "" {
		return fallback
	}
	return string(r.Key)
}

// ConfigMapKeyReference names one key of a ConfigMap in the same namespace.
type ConfigMapKeyReference struct {
	// name is the name of the ConfigMap.
	// +required
	Name ObjectName `json:"name,omitempty"`

	// key is the key in the ConfigMap's data; where it is left out, the field that holds the reference says which one is read.
	// +optional
	Key DataKey `json:"key,omitempty"`
}

// KeyOr returns the key, or fallback where the reference names none.
func (r ConfigMapKeyReference) KeyOr(fallback string) string {
	if r.Key == "" {
		return fallback
	}
	return string(r.Key)
}
