package v1alpha1

// TracingSettings say where OpenTelemetry traces of sign-ins go. Spans hold no assertion and nothing about a person; forward-auth checks are not traced.
type TracingSettings struct {
	// endpoint is the base URL of a collector that takes OTLP over HTTP; /v1/traces is added to it. Inside the cluster, http is enough.
	// Example: http://otel-collector.observability:4318
	// +required
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[1-9][0-9]{0,4})?(/[-._~a-zA-Z0-9/]*)?$')",message="endpoint must be an http or https URL of a lower-case host, without user name, query or fragment: write http://otel-collector.observability:4318"
	Endpoint string `json:"endpoint,omitempty"`

	// samplePercent is how many of a hundred sign-ins are traced.
	// +optional
	// +default=100
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	SamplePercent int32 `json:"samplePercent,omitempty"`
}
