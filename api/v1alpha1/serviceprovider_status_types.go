package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ServiceProviderStatus is the observed state of a ServiceProvider.
type ServiceProviderStatus struct {
	// conditions are Accepted, StoreReady, Available, Programmed and Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of spec that this status is about; -1 before the operator's first visit.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// url is the base URL that the pods serve now.
	// +optional
	// +kubebuilder:validation:MaxLength=267
	URL string `json:"url,omitempty"`

	// replicas is the desired number of pods.
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`

	// readyReplicas is the number of pods that are ready.
	// +optional
	ReadyReplicas *int32 `json:"readyReplicas,omitempty"`

	// replicaSummary is ready pods / desired pods, such as 2/2.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	ReplicaSummary string `json:"replicaSummary,omitempty"`

	// revision is the digest of the snapshot that the operator has written.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Revision string `json:"revision,omitempty"`

	// programmedRevision is the last revision that every ready pod served.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ProgrammedRevision string `json:"programmedRevision,omitempty"`

	// identityProviders is the number of accepted IdentityProviders.
	// +optional
	IdentityProviders *int32 `json:"identityProviders,omitempty"`

	// domainBindings is the number of accepted DomainBindings.
	// +optional
	DomainBindings *int32 `json:"domainBindings,omitempty"`

	// users is the number of users in the store, as of the last count.
	// +optional
	Users *int64 `json:"users,omitempty"`

	// activeSessions is the number of sessions that have not ended, as of the last count.
	// +optional
	ActiveSessions *int64 `json:"activeSessions,omitempty"`

	// auditKey is the public key that verifies the audit log's checkpoints. Keep a copy elsewhere: it verifies what later keys have signed, too.
	// +optional
	AuditKey *AuditKeyStatus `json:"auditKey,omitempty"`

	// headerKeys are the keys of the signed header, as they are published at /.well-known/jwks.json below url. Empty where there is no signed header.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=3
	HeaderKeys []HeaderKeyStatus `json:"headerKeys,omitempty"`
}

// HeaderKeyStatus is one key of the signed header.
type HeaderKeyStatus struct {
	// id is the kid of the key in tokens and in the published keys: its thumbprint (RFC 7638).
	// +kubebuilder:validation:MinLength=43
	// +kubebuilder:validation:MaxLength=43
	// +required
	ID string `json:"id,omitempty"`

	// phase is where the key is in its life: Next is published and signs nothing yet, Current signs, Previous is still published.
	// +optional
	Phase KeyPhase `json:"phase,omitempty"`

	// notAfter is the time by which the key must have been replaced.
	// +optional
	NotAfter metav1.Time `json:"notAfter,omitzero"`
}

// AuditKeyStatus is the public half of an Ed25519 key.
type AuditKeyStatus struct {
	// id names the key in checkpoints: the first 16 hexadecimal digits of the SHA-256 of the public key.
	// +kubebuilder:validation:MinLength=16
	// +kubebuilder:validation:MaxLength=16
	// +required
	ID string `json:"id,omitempty"`

	// publicKey is its 32 bytes in base64.
	// +kubebuilder:validation:MinLength=44
	// +kubebuilder:validation:MaxLength=44
	// +required
	PublicKey []byte `json:"publicKey,omitempty"`
}
