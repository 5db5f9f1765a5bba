package v1alpha1

import corev1 "k8s.io/api/core/v1"

// Exposure makes the ServiceProvider reachable: exactly one of ingress and httpRoute.
//
// +structType=atomic
// +kubebuilder:validation:XValidation:rule="has(self.ingress) != has(self.httpRoute)",message="exactly one of ingress, httpRoute: leave expose out for a Service only"
type Exposure struct {
	// ingress creates an Ingress for the host of url.
	// +optional
	Ingress *IngressExposure `json:"ingress,omitempty"`

	// httpRoute creates a Gateway API HTTPRoute for the host of url.
	// +optional
	HTTPRoute *HTTPRouteExposure `json:"httpRoute,omitempty"`
}

// IngressExposure configures an Ingress.
type IngressExposure struct {
	// className is the IngressClass. Left out: the cluster's default class.
	// +optional
	ClassName ObjectName `json:"className,omitempty"`

	// tlsSecretName is the TLS Secret for the host. Left out: the ingress controller's own certificate.
	// +optional
	TLSSecretName ObjectName `json:"tlsSecretName,omitempty"`

	// annotations of the Ingress, for the ingress controller and cert-manager.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`
}

// HTTPRouteExposure configures a Gateway API HTTPRoute.
type HTTPRouteExposure struct {
	// parentRefs are the Gateways that the route attaches to.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	ParentRefs []GatewayReference `json:"parentRefs,omitempty"`
}

// GatewayReference names a Gateway, and optionally one listener of it.
type GatewayReference struct {
	// name is the name of the Gateway.
	// +required
	Name ObjectName `json:"name,omitempty"`

	// namespace of the Gateway. Left out: the ServiceProvider's.
	// +optional
	Namespace ObjectName `json:"namespace,omitempty"`

	// sectionName is the name of a listener. Left out: every listener that admits the route.
	// +optional
	SectionName ObjectName `json:"sectionName,omitempty"`
}

// ProxySettings says whose X-Forwarded-* headers are trusted.
type ProxySettings struct {
	// trusted are the address ranges of your proxies. Example: 10.0.0.0/8
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	Trusted []CIDR `json:"trusted,omitempty"`
}

// CIDR is an IPv4 or IPv6 address range.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=49
// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="must be an address range in CIDR form: write 10.0.0.0/8, or 192.0.2.7/32 for one address"
type CIDR string

// PodSettings configures the pods.
type PodSettings struct {
	// resources of the service provider's container; left out, requests of 20m and 64Mi, and a memory limit of 512Mi. The session cache takes an eighth of the memory limit.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// nodeSelector picks nodes by their labels.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// tolerations let the pods run on tainted nodes.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// affinity attracts the pods to, or keeps them from, nodes and other pods.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// topologySpreadConstraints spread the pods over zones and nodes. A labelSelector that is left out selects the ServiceProvider's own pods.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`

	// annotations of the pods.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`

	// priorityClassName of the pods.
	// +optional
	PriorityClassName ObjectName `json:"priorityClassName,omitempty"`

	// imagePullSecrets are Secrets in the same namespace that may pull the image.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []ImagePullSecret `json:"imagePullSecrets,omitempty"`
}

// ImagePullSecret names a Secret that may pull the image.
type ImagePullSecret struct {
	// name is the name of the Secret.
	// +required
	Name ObjectName `json:"name,omitempty"`
}
