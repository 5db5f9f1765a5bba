package v1alpha1

// Annotations that people set.
const (
	// AnnotationRefresh fetches the metadata of an IdentityProvider now; any new value counts.
	AnnotationRefresh = "sso.sallyport.dev/refresh"
	// AnnotationRotateKeys starts a rotation now, of an IdentityProvider's SP key or of the key of a ServiceProvider's signed header; any new value counts.
	AnnotationRotateKeys = "sso.sallyport.dev/rotate-keys"
	// AnnotationRotateAuditKey replaces the key that signs a ServiceProvider's audit log; any new value counts.
	AnnotationRotateAuditKey = "sso.sallyport.dev/rotate-audit-key"
	// AnnotationAllowDelete lets the deletion of an IdentityProvider with domain bindings past the admission policy.
	// The finalizer still holds the object until its last binding is gone.
	AnnotationAllowDelete = "sso.sallyport.dev/allow-delete"
	// AnnotationChangedBy is stamped by the admission policy with the name of the user who made the last change.
	AnnotationChangedBy = "sso.sallyport.dev/changed-by"
)

// Finalizers.
const (
	// FinalizerDomainBindings holds an IdentityProvider until its last DomainBinding is gone and its sessions have ended.
	FinalizerDomainBindings = "sso.sallyport.dev/domain-bindings"
)

// Default keys of referenced ConfigMaps and Secrets, where a reference names none.
const (
	DefaultMetadataKey    = "metadata.xml"
	DefaultCAKey          = "ca.crt"
	DefaultCertificateKey = "tls.crt"
	DefaultConnectionKey  = "uri"
	DefaultSignatureKey   = "key"
	DefaultTokenKey       = "token"
)
