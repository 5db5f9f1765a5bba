package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// IdentityProviderStatus is the observed state of an IdentityProvider.
type IdentityProviderStatus struct {
	// conditions are Accepted, TrustEstablished, MetadataFresh, CertificatesValid, Programmed and Ready; DeletionBlocked and GroupOverage only while they hold.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of spec that this status is about; -1 before the operator's first visit.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// entityID of the IdP, as trusted now.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	EntityID string `json:"entityID,omitempty"`

	// ssoURL is where AuthnRequests go.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	SSOURL string `json:"ssoURL,omitempty"`

	// ssoBinding carries AuthnRequests.
	// +optional
	SSOBinding SAMLBinding `json:"ssoBinding,omitempty"`

	// sloURL is where logout requests go.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	SLOURL string `json:"sloURL,omitempty"`

	// certificateExpiry is the day (UTC, 2006-01-02) on which this connection runs out of certificates that have not expired:
	// the IdP's last signing certificate or the current SP certificate, whichever ends first.
	// +optional
	// +kubebuilder:validation:MaxLength=10
	CertificateExpiry string `json:"certificateExpiry,omitempty"`

	// certificates of the IdP, as trusted now.
	// +optional
	// +listType=map
	// +listMapKey=sha256
	// +kubebuilder:validation:MaxItems=32
	Certificates []IdentityProviderCertificate `json:"certificates,omitempty"`

	// serviceProvider is the service provider's side of the connection: what the IdP's admin needs.
	// +optional
	ServiceProvider *ConnectionEndpoints `json:"serviceProvider,omitempty"`

	// metadata is where trust came from, and when.
	// +optional
	Metadata *MetadataStatus `json:"metadata,omitempty"`

	// domains are the DomainBindings of this IdP.
	// +optional
	Domains *BoundDomains `json:"domains,omitempty"`

	// users is the number of users who signed in through this IdP, as of the last count.
	// +optional
	Users *int64 `json:"users,omitempty"`

	// lastSignIn through this IdP, as of the last count.
	// +optional
	LastSignIn *metav1.Time `json:"lastSignIn,omitempty"`
}

// IdentityProviderCertificate is one certificate of the IdP.
type IdentityProviderCertificate struct {
	// sha256 is the fingerprint of the DER form: lower-case hexadecimal.
	// +required
	// +kubebuilder:validation:MinLength=64
	// +kubebuilder:validation:MaxLength=64
	SHA256 string `json:"sha256,omitempty"`

	// subject is the distinguished name.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Subject string `json:"subject,omitempty"`

	// notBefore is when it becomes valid.
	// +optional
	NotBefore metav1.Time `json:"notBefore,omitzero"`

	// notAfter is when it expires. An expired certificate is still trusted as long as the metadata lists it (saml-metadata 2.4.1.1), and reported.
	// +optional
	NotAfter metav1.Time `json:"notAfter,omitzero"`

	// use is what the metadata allows its key for.
	// +optional
	Use CertificateUse `json:"use,omitempty"`

	// expiry is how near notAfter is, as long as nothing has replaced the certificate. Left out: more than 90 days, or it is replaced.
	// +optional
	Expiry CertificateExpiry `json:"expiry,omitempty"`
}

// CertificateExpiry is the last threshold that a certificate has passed on the way to its end.
//
// +kubebuilder:validation:Enum=Within90Days;Within30Days;Within7Days;Expired
type CertificateExpiry string

const (
	CertificateExpiryWithin90Days CertificateExpiry = "Within90Days"
	CertificateExpiryWithin30Days CertificateExpiry = "Within30Days"
	CertificateExpiryWithin7Days  CertificateExpiry = "Within7Days"
	CertificateExpiryExpired      CertificateExpiry = "Expired"
)

// CertificateUse is what a key in metadata is for; a key without use is for both (saml-metadata 2.4.1.1).
//
// +kubebuilder:validation:Enum=Signing;Encryption;Both
type CertificateUse string

const (
	CertificateUseSigning    CertificateUse = "Signing"
	CertificateUseEncryption CertificateUse = "Encryption"
	CertificateUseBoth       CertificateUse = "Both"
)

// ConnectionEndpoints is the service provider's side of a connection.
type ConnectionEndpoints struct {
	// entityID of the service provider for this connection.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	EntityID string `json:"entityID,omitempty"`

	// acsURL is the assertion consumer service.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	ACSURL string `json:"acsURL,omitempty"`

	// sloURL is the single logout service.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	SLOURL string `json:"sloURL,omitempty"`

	// metadataURL serves the SP metadata.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	MetadataURL string `json:"metadataURL,omitempty"`

	// trustPageURL explains all this to the IdP's admin, in the words of that IdP's console.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	TrustPageURL string `json:"trustPageURL,omitempty"`

	// certificates of the SP keys.
	// +optional
	// +listType=map
	// +listMapKey=sha256
	// +kubebuilder:validation:MaxItems=8
	Certificates []ConnectionCertificate `json:"certificates,omitempty"`
}

// ConnectionCertificate is the certificate of one SP key.
type ConnectionCertificate struct {
	// sha256 is the fingerprint of the DER form: lower-case hexadecimal.
	// +required
	// +kubebuilder:validation:MinLength=64
	// +kubebuilder:validation:MaxLength=64
	SHA256 string `json:"sha256,omitempty"`

	// notAfter is when it expires.
	// +optional
	NotAfter metav1.Time `json:"notAfter,omitzero"`

	// phase is where the key is in its life.
	// +optional
	Phase KeyPhase `json:"phase,omitempty"`

	// expiry is how near notAfter is, as long as nothing has replaced the certificate. Left out: more than 90 days, or it is replaced.
	// +optional
	Expiry CertificateExpiry `json:"expiry,omitempty"`
}

// KeyPhase is where an SP key is in its life.
//
// +kubebuilder:validation:Enum=Next;Current;Previous
type KeyPhase string

const (
	// KeyPhaseNext is published and signs nothing yet.
	KeyPhaseNext KeyPhase = "Next"
	// KeyPhaseCurrent signs and decrypts.
	KeyPhaseCurrent KeyPhase = "Current"
	// KeyPhasePrevious signs nothing any more and still decrypts.
	KeyPhasePrevious KeyPhase = "Previous"
)

// MetadataSourceKind is how trust was established.
//
// +kubebuilder:validation:Enum=URL;Inline;ConfigMap;Secret;Manual
type MetadataSourceKind string

const (
	MetadataSourceURL       MetadataSourceKind = "URL"
	MetadataSourceInline    MetadataSourceKind = "Inline"
	MetadataSourceConfigMap MetadataSourceKind = "ConfigMap"
	MetadataSourceSecret    MetadataSourceKind = "Secret"
	MetadataSourceManual    MetadataSourceKind = "Manual"
)

// MetadataStatus is where trust came from, and when.
type MetadataStatus struct {
	// source is how trust was established.
	// +optional
	Source MetadataSourceKind `json:"source,omitempty"`

	// lastFetched is when the source was last read successfully.
	// +optional
	LastFetched *metav1.Time `json:"lastFetched,omitempty"`

	// lastChanged is when what it says last changed.
	// +optional
	LastChanged *metav1.Time `json:"lastChanged,omitempty"`

	// nextRefresh is when the source is read next.
	// +optional
	NextRefresh *metav1.Time `json:"nextRefresh,omitempty"`

	// validUntil is the metadata's own expiry; after it the metadata is refused.
	// +optional
	ValidUntil *metav1.Time `json:"validUntil,omitempty"`

	// digest of what is trusted.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Digest string `json:"digest,omitempty"`

	// nameIDFormats that the metadata advertises.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=256
	NameIDFormats []string `json:"nameIDFormats,omitempty"`

	// attributes that the metadata advertises: the names to write into an AttributeMapping.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Attributes []AdvertisedAttribute `json:"attributes,omitempty"`
}

// AdvertisedAttribute is an attribute in the IdP's metadata.
type AdvertisedAttribute struct {
	// name is what an AttributeMapping matches.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Name string `json:"name,omitempty"`

	// friendlyName is for people only; nothing is ever matched by it.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	FriendlyName string `json:"friendlyName,omitempty"`
}

// BoundDomains are the DomainBindings of an IdP.
type BoundDomains struct {
	// count of DomainBindings that refer to the IdP.
	// +required
	// +kubebuilder:validation:Minimum=0
	Count *int32 `json:"count,omitempty"`

	// names of the first ten DomainBindings, sorted.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:MaxLength=253
	Names []string `json:"names,omitempty"`
}
