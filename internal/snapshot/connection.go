package snapshot

import "time"

// Connection is one IdentityProvider as the service provider serves it.
type Connection struct {
	Name        string `json:"name"`
	UID         string `json:"uid,omitempty"`
	Generation  int64  `json:"generation,omitempty"`
	DisplayName string `json:"displayName,omitempty"`
	// Type is Okta, EntraID, GoogleWorkspace, ADFS, Keycloak or Generic: it picks set-up hints and diagnosis, never how a message is verified.
	Type string `json:"type"`
	// Enabled is false for a Disabled IdentityProvider: no sign-in, its sessions end, its metadata and trust page stay.
	Enabled bool `json:"enabled"`
	// CatchAll lets the connection serve and assert addresses of domains that are not bound.
	CatchAll bool `json:"catchAll,omitempty"`

	// EntityID, ACSURL, SLOURL, MetadataURL and TrustPageURL are our side's, derived from the ServiceProvider's URL and the name.
	EntityID     string `json:"entityID"`
	ACSURL       string `json:"acsURL"`
	SLOURL       string `json:"sloURL"`
	MetadataURL  string `json:"metadataURL"`
	TrustPageURL string `json:"trustPageURL"`

	// Trust is nil until trust is established: then only the metadata and trust pages are served.
	Trust *Trust  `json:"trust,omitempty"`
	Keys  []SPKey `json:"keys,omitempty"`

	Request  RequestPolicy  `json:"request"`
	Response ResponsePolicy `json:"response"`
	Logout   LogoutPolicy   `json:"logout"`

	Mapping      Mapping      `json:"mapping"`
	Provisioning Provisioning `json:"provisioning"`
	// VerboseUntil records successful responses in the debug log too, until then.
	VerboseUntil time.Time `json:"verboseUntil,omitzero"`
	// ScrubOnDelete clears mirrored profile values when the IdentityProvider is deleted.
	ScrubOnDelete bool `json:"scrubOnDelete,omitempty"`
}

// SAML bindings (saml-bindings 3.4 and 3.5).
const (
	BindingRedirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	BindingPOST     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
)

// Trust is what we know of the IdP: the only keys and endpoints that are ever used for it.
type Trust struct {
	EntityID string     `json:"entityID"`
	SSO      []Endpoint `json:"sso"`
	SLO      []Endpoint `json:"slo,omitempty"`
	// SigningCertificates are DER. Each one's public key is trusted to verify signatures, whatever its validity dates say.
	SigningCertificates [][]byte `json:"signingCertificates"`
	// EncryptionCertificates are DER; the NameID of a LogoutRequest may be encrypted to them.
	EncryptionCertificates [][]byte `json:"encryptionCertificates,omitempty"`
	// WantAuthnRequestsSigned is what the IdP's metadata asks for.
	WantAuthnRequestsSigned bool `json:"wantAuthnRequestsSigned,omitempty"`
	// NameIDFormats and Attributes are what the metadata advertises, for people who write a mapping.
	NameIDFormats []string              `json:"nameIDFormats,omitempty"`
	Attributes    []AdvertisedAttribute `json:"attributes,omitempty"`
	ValidUntil    time.Time             `json:"validUntil,omitzero"`
}

// Endpoint is one URL of the IdP and the SAML binding that it speaks.
type Endpoint struct {
	Binding string `json:"binding"`
	URL     string `json:"url"`
	// ResponseURL takes logout responses where it differs from URL (saml-metadata 2.2.2).
	ResponseURL string `json:"responseURL,omitempty"`
}

// AdvertisedAttribute is a saml:Attribute in the IdP's metadata.
type AdvertisedAttribute struct {
	Name         string `json:"name"`
	FriendlyName string `json:"friendlyName,omitempty"`
}

// KeyPhase says where an SP key is in its life.
type KeyPhase string

const (
	// KeyNext is published and signs nothing yet.
	KeyNext KeyPhase = "Next"
	// KeyCurrent signs and decrypts.
	KeyCurrent KeyPhase = "Current"
	// KeyPrevious signs nothing any more and still decrypts.
	KeyPrevious KeyPhase = "Previous"
)

// SPKey is one key pair of a connection, or of the signed header.
type SPKey struct {
	Phase KeyPhase `json:"phase"`
	// Certificate is DER.
	Certificate []byte `json:"certificate"`
	// PrivateKey is PKCS #8 DER.
	PrivateKey []byte `json:"privateKey"`
}

// RequestPolicy says how AuthnRequests are made.
type RequestPolicy struct {
	Sign bool `json:"sign"`
	// Binding is BindingRedirect or BindingPOST; empty takes Redirect where the IdP has it, else POST.
	Binding string `json:"binding,omitempty"`
	// NameIDFormat is a URN; empty sends no NameIDPolicy at all.
	NameIDFormat string `json:"nameIDFormat,omitempty"`
	ForceAuthn   bool   `json:"forceAuthn,omitempty"`
	// AuthnContextComparison is exact, minimum, maximum or better; AuthnContextClasses empty asks for nothing.
	AuthnContextComparison string   `json:"authnContextComparison,omitempty"`
	AuthnContextClasses    []string `json:"authnContextClasses,omitempty"`
}

// ResponsePolicy says what a response must be like.
type ResponsePolicy struct {
	RequireEncryption        bool          `json:"requireEncryption,omitempty"`
	RequireResponseSignature bool          `json:"requireResponseSignature,omitempty"`
	AllowUnsolicited         bool          `json:"allowUnsolicited,omitempty"`
	AllowSHA1                bool          `json:"allowSHA1,omitempty"`
	ClockSkew                time.Duration `json:"clockSkew"`
}

// LogoutPolicy says whether and how single logout is spoken.
type LogoutPolicy struct {
	Enabled bool `json:"enabled"`
	// URL overrides the endpoint of the metadata.
	URL string `json:"url,omitempty"`
}

// Provisioning says what happens to people at sign-in.
type Provisioning struct {
	JIT                 bool `json:"jit"`
	RequireSecondFactor bool `json:"requireSecondFactor,omitempty"`
}

// Mapping turns attributes of an assertion into a person.
type Mapping struct {
	// Name is the AttributeMapping's; empty when the type's preset is in use.
	Name       string            `json:"name,omitempty"`
	UID        string            `json:"uid,omitempty"`
	Generation int64             `json:"generation,omitempty"`
	Email      []AttributeSource `json:"email,omitempty"`
	FirstName  []AttributeSource `json:"firstName,omitempty"`
	LastName   []AttributeSource `json:"lastName,omitempty"`
	Groups     GroupsMapping     `json:"groups"`
	Profile    []ProfileMapping  `json:"profile,omitempty"`
	Rules      []Rule            `json:"rules,omitempty"`
}

// AttributeSource is exactly one of Name (an Attribute's Name, matched exactly) and NameID (the format that the NameID must have).
type AttributeSource struct {
	Name string `json:"name,omitempty"`
	// NameID is EmailAddress, Persistent, Transient, Unspecified or Any.
	NameID string `json:"nameID,omitempty"`
}

// GroupsMapping says where groups come from.
type GroupsMapping struct {
	From []AttributeSource `json:"from,omitempty"`
	// KeepWhenAbsent keeps stored groups when the assertion carries none; otherwise they are revoked.
	KeepWhenAbsent bool `json:"keepWhenAbsent,omitempty"`
	// Separator splits each value; empty splits nothing.
	Separator string `json:"separator,omitempty"`
}

// ProfileMapping fills one profile attribute.
type ProfileMapping struct {
	Attribute string            `json:"attribute"`
	From      []AttributeSource `json:"from"`
}

// Rule adds groups when its CEL expression is true.
type Rule struct {
	When      string   `json:"when"`
	AddGroups []string `json:"addGroups"`
}
