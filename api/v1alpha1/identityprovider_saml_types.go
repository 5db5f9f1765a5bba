package v1alpha1

// SAMLSettings is how a SAML 2.0 IdP is spoken to.
type SAMLSettings struct {
	// metadata is where the IdP's entity ID, endpoints and certificates come from.
	// +required
	Metadata MetadataSource `json:"metadata,omitzero"`

	// request configures the AuthnRequests that are sent.
	// +optional
	// +default={}
	Request RequestSettings `json:"request,omitzero"`

	// response says what a response must be like.
	// +optional
	// +default={}
	Response ResponseSettings `json:"response,omitzero"`

	// logout configures single logout.
	// +optional
	// +default={}
	Logout LogoutSettings `json:"logout,omitzero"`

	// keys configures the SP key pair of this connection and its rotation.
	// +optional
	// +default={}
	Keys KeySettings `json:"keys,omitzero"`
}

// MetadataSource is where trust comes from: exactly one of url, inline, fromConfigMap, fromSecret and manual.
//
// +structType=atomic
// +kubebuilder:validation:XValidation:rule="[has(self.url), has(self.inline), has(self.fromConfigMap), has(self.fromSecret), has(self.manual)].filter(x, x).size() == 1",message="exactly one of url, inline, fromConfigMap, fromSecret, manual"
// +kubebuilder:validation:XValidation:rule="has(self.url) || (!has(self.refreshInterval) && !has(self.caBundle))",message="refreshInterval and caBundle belong to url: set url, or remove them"
// +kubebuilder:validation:XValidation:rule="!has(self.manual) || (!has(self.signatureCertificate) && !has(self.entityID))",message="signatureCertificate and entityID do not go with manual: remove them, and write the entity ID into manual.entityID"
type MetadataSource struct {
	// url is fetched and refreshed: conditional requests, cacheDuration and validUntil are honoured, the last good copy is kept on any failure.
	// Example: https://acme.okta.com/app/abc/sso/saml/metadata
	// +optional
	URL HTTPSURL `json:"url,omitempty"`

	// refreshInterval is the time between two fetches of url, jittered. Between 1m and 168h. Left out: 1h.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}[hms]){1,3}$') && duration(self) >= duration('1m') && duration(self) <= duration('168h')",message="refreshInterval must be between 1m and 168h: write hours, minutes and seconds, such as 12h or 1h30m"
	RefreshInterval Duration `json:"refreshInterval,omitempty"`

	// caBundle verifies the server of url. Left out: the system's roots.
	// +optional
	CABundle *CABundleSource `json:"caBundle,omitempty"`

	// inline is the IdP's metadata as XML.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=524288
	Inline string `json:"inline,omitempty"`

	// fromConfigMap is a ConfigMap with the IdP's metadata as XML. The key left out: metadata.xml.
	// +optional
	FromConfigMap *ConfigMapKeyReference `json:"fromConfigMap,omitempty"`

	// fromSecret is a Secret with the IdP's metadata as XML. The key left out: metadata.xml.
	// +optional
	FromSecret *SecretKeyReference `json:"fromSecret,omitempty"`

	// manual is the IdP's entity ID, endpoints and certificates, typed in.
	// +optional
	Manual *ManualTrust `json:"manual,omitempty"`

	// signatureCertificate must have signed the metadata. Left out: a signature is not asked for.
	// +optional
	SignatureCertificate *SecretSource `json:"signatureCertificate,omitempty"`

	// entityID selects one entity from an aggregate, and pins it: metadata with another entity ID is refused. Left out: the entity ID that was trusted first stays,
	// until another one is written here.
	// +optional
	EntityID EntityID `json:"entityID,omitempty"`
}

// EntityID is the entity ID of an IdP, a URI of at most 1024 characters (saml-core 8.3.6).
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=1024
// +kubebuilder:validation:XValidation:rule="self.matches('^\\\\S+$')",message="must be the entity ID alone, without spaces or line breaks"
type EntityID string

// HTTPSURL is an absolute URL over TLS, without a user name.
//
// +kubebuilder:validation:MinLength=9
// +kubebuilder:validation:MaxLength=2048
// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() == 'https' && size(url(self).getHostname()) > 0",message="must be an absolute https:// URL: what comes over http could be replaced on the way"
// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-zA-Z]+://[^/?#]*@')",message="must not contain a user name or password: anybody who may read the object would see them"
type HTTPSURL string

// CABundleSource is PEM certificates of authorities: exactly one of configMapRef and secretRef.
//
// +kubebuilder:validation:XValidation:rule="has(self.configMapRef) != has(self.secretRef)",message="exactly one of configMapRef, secretRef"
type CABundleSource struct {
	// configMapRef names a ConfigMap. The key left out: ca.crt.
	// +optional
	ConfigMapRef *ConfigMapKeyReference `json:"configMapRef,omitempty"`

	// secretRef names a Secret. The key left out: ca.crt.
	// +optional
	SecretRef *SecretKeyReference `json:"secretRef,omitempty"`
}

// SecretSource is PEM certificates in a Secret.
type SecretSource struct {
	// secretRef names a Secret. The key left out: tls.crt.
	// +required
	SecretRef SecretKeyReference `json:"secretRef,omitzero"`
}

// ManualTrust is what the IdP's metadata would say.
//
// +kubebuilder:validation:XValidation:rule="has(self.certificates) != has(self.certificatesFrom)",message="exactly one of certificates, certificatesFrom: write the IdP's signing certificates as PEM, or name the Secret that holds them"
type ManualTrust struct {
	// entityID of the IdP. Example: https://idp.example.com/metadata
	// +required
	EntityID EntityID `json:"entityID,omitempty"`

	// ssoURL is where AuthnRequests go. Example: https://idp.example.com/sso
	// +required
	SSOURL HTTPSURL `json:"ssoURL,omitempty"`

	// ssoBinding is the SAML binding that ssoURL speaks.
	// +optional
	// +default="Redirect"
	SSOBinding SAMLBinding `json:"ssoBinding,omitempty"`

	// sloURL is where single logout goes. Left out: no single logout.
	// +optional
	SLOURL HTTPSURL `json:"sloURL,omitempty"`

	// certificates are the IdP's signing certificates as PEM; each one's key is trusted.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=32768
	Certificates []string `json:"certificates,omitempty"`

	// certificatesFrom names a Secret with the IdP's signing certificates as PEM.
	// +optional
	CertificatesFrom *SecretSource `json:"certificatesFrom,omitempty"`
}

// SAMLBinding is how a SAML message travels (saml-bindings 3.4 and 3.5).
//
// +kubebuilder:validation:Enum=Redirect;POST
type SAMLBinding string

const (
	BindingRedirect SAMLBinding = "Redirect"
	BindingPOST     SAMLBinding = "POST"
)

// RequestSettings configures the AuthnRequests that are sent.
type RequestSettings struct {
	// signing signs every AuthnRequest.
	// +optional
	// +default="Enabled"
	Signing State `json:"signing,omitempty"`

	// binding carries AuthnRequests. Left out: Redirect where the IdP has it, else POST.
	// +optional
	Binding SAMLBinding `json:"binding,omitempty"`

	// nameIDFormat is asked for. Left out: no NameIDPolicy is sent and the IdP decides.
	// +optional
	NameIDFormat NameIDFormat `json:"nameIDFormat,omitempty"`

	// forceAuthn Enabled asks the IdP to authenticate people anew at every sign-in.
	// +optional
	// +default="Disabled"
	ForceAuthn State `json:"forceAuthn,omitempty"`

	// authnContext asks for a way of authentication, and the response is checked against it.
	// +optional
	AuthnContext *AuthnContext `json:"authnContext,omitempty"`
}

// NameIDFormat is a NameID format that can be asked for (saml-core 8.3).
//
// +kubebuilder:validation:Enum=EmailAddress;Persistent;Transient;Unspecified
type NameIDFormat string

const (
	NameIDEmailAddress NameIDFormat = "EmailAddress"
	NameIDPersistent   NameIDFormat = "Persistent"
	NameIDTransient    NameIDFormat = "Transient"
	NameIDUnspecified  NameIDFormat = "Unspecified"
)

// AuthnContext asks for a way of authentication (saml-core 3.3.2.2.1).
type AuthnContext struct {
	// comparison says how the way in which the IdP authenticated the person is compared with classes.
	// +optional
	// +default="Exact"
	Comparison AuthnContextComparison `json:"comparison,omitempty"`

	// classes are authentication context class URIs. Example: urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:Pattern=`^\S+$`
	Classes []string `json:"classes,omitempty"`
}

// AuthnContextComparison compares authentication contexts (saml-core 3.3.2.2.1).
//
// +kubebuilder:validation:Enum=Exact;Minimum;Maximum;Better
type AuthnContextComparison string

const (
	ComparisonExact   AuthnContextComparison = "Exact"
	ComparisonMinimum AuthnContextComparison = "Minimum"
	ComparisonMaximum AuthnContextComparison = "Maximum"
	ComparisonBetter  AuthnContextComparison = "Better"
)

// Demand says whether something must be there.
//
// +kubebuilder:validation:Enum=Optional;Required
type Demand string

const (
	DemandOptional Demand = "Optional"
	DemandRequired Demand = "Required"
)

// Permission says whether something is let through.
//
// +kubebuilder:validation:Enum=Refused;Allowed
type Permission string

const (
	PermissionRefused Permission = "Refused"
	PermissionAllowed Permission = "Allowed"
)

// ResponseSettings says what a response must be like.
type ResponseSettings struct {
	// encryption Required refuses assertions that are not encrypted.
	// +optional
	// +default="Optional"
	Encryption Demand `json:"encryption,omitempty"`

	// responseSignature Required refuses responses that are signed on the assertion alone.
	// +optional
	// +default="Optional"
	ResponseSignature Demand `json:"responseSignature,omitempty"`

	// unsolicited Allowed accepts responses that nobody asked for (sign-in started at the IdP). What request.authnContext asks for holds for them too, and with
	// request.forceAuthn the person must have signed in at the IdP within the last five minutes.
	// +optional
	// +default="Refused"
	Unsolicited Permission `json:"unsolicited,omitempty"`

	// clockSkew is how far the IdP's clock may be off. Between 0s and 10m.
	// +optional
	// +default="60s"
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}[hms]){1,3}$') && duration(self) >= duration('0s') && duration(self) <= duration('10m')",message="clockSkew must be between 0s and 10m: write it as 60s or 1m30s"
	ClockSkew Duration `json:"clockSkew,omitempty"`

	// sha1 Allowed accepts signatures with SHA-1, which can be forged: only while the IdP cannot do better.
	// +optional
	// +default="Refused"
	SHA1 Permission `json:"sha1,omitempty"`
}

// LogoutSettings configures single logout. The service provider's requests are always signed, and the IdP's must be.
type LogoutSettings struct {
	// state Disabled neither sends nor accepts logout requests.
	// +optional
	// +default="Enabled"
	State State `json:"state,omitempty"`

	// url overrides the endpoint of the metadata.
	// +optional
	URL HTTPSURL `json:"url,omitempty"`
}

// KeySettings is the life of a connection's own key pair: Next (published, signs nothing yet), Current, Previous (still decrypts).
//
// +kubebuilder:validation:XValidation:rule="!has(self.rotationWindow) || !has(self.certificateLifetime) || duration(self.rotationWindow) < duration(self.certificateLifetime) || !self.rotationWindow.matches('^([0-9]{1,6}[hms]){1,3}$') || !self.certificateLifetime.matches('^([0-9]{1,6}[hms]){1,3}$')",message="rotationWindow must be shorter than certificateLifetime"
// +kubebuilder:validation:XValidation:rule="!has(self.rotationWindow) || !has(self.overlap) || duration(self.overlap) <= duration(self.rotationWindow) || !self.overlap.matches('^([0-9]{1,6}[hms]){1,3}$') || !self.rotationWindow.matches('^([0-9]{1,6}[hms]){1,3}$')",message="overlap must not be longer than rotationWindow: the next certificate must sign before the current one expires"
type KeySettings struct {
	// secretRef names a Secret of type kubernetes.io/tls with a key pair of your own: RSA of 2048 bits or more, or ECDSA, which signs and cannot decrypt.
	// A new pair in it goes through the same phases as a generated one. Left out: RSA-3072 key pairs are generated and replaced in time.
	// +optional
	SecretRef *KeyPairReference `json:"secretRef,omitempty"`

	// certificateLifetime of a new generated certificate. Between 24h and 87600h.
	// +optional
	// +default="26280h"
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}[hms]){1,3}$') && duration(self) >= duration('24h') && duration(self) <= duration('87600h')",message="certificateLifetime must be between 24h and 87600h (10 years), in hours"
	CertificateLifetime Duration `json:"certificateLifetime,omitempty"`

	// rotationWindow is how long before its expiry a certificate's rotation starts. Between 1h and 26280h.
	// +optional
	// +default="2160h"
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}[hms]){1,3}$') && duration(self) >= duration('1h') && duration(self) <= duration('26280h')",message="rotationWindow must be between 1h and 26280h: write hours, minutes and seconds, such as 12h or 1h30m"
	RotationWindow Duration `json:"rotationWindow,omitempty"`

	// overlap is how long the next certificate is published before it signs, and how long the previous key still decrypts. Between 1h and 8760h.
	// +optional
	// +default="720h"
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}[hms]){1,3}$') && duration(self) >= duration('1h') && duration(self) <= duration('8760h')",message="overlap must be between 1h and 8760h: write hours, minutes and seconds, such as 12h or 1h30m"
	Overlap Duration `json:"overlap,omitempty"`
}

// KeyPairReference names a Secret with tls.crt and tls.key in the same namespace.
type KeyPairReference struct {
	// name is the name of the Secret.
	// +required
	Name ObjectName `json:"name,omitempty"`
}
