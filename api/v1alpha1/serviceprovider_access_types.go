package v1alpha1

// AccessSettings says who may enter which host and path. Rules are asked in their order and the first one that matches decides.
// A request that no rule matches is denied, so a host that no rule names is closed.
type AccessSettings struct {
	// rules are evaluated in this order.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Rules []AccessRule `json:"rules,omitempty"`
}

// AccessRule matches requests by host, path and method, and says who may pass.
//
// +kubebuilder:validation:XValidation:rule="has(self.allow) != (has(self.groups) || has(self.users) || has(self.identityProviders))",message="either allow (Public or SignedIn), or at least one of groups, users and identityProviders"
type AccessRule struct {
	// hosts are hosts such as app.example.com, or *.example.com for every host below example.com. The port does not count.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Hosts []AllowedHost `json:"hosts,omitempty"`

	// pathPrefixes match whole path segments: /admin matches /admin and /admin/users, not /administrator. Left out: every path.
	// A path that programs read in different ways (dots, doubled slashes, encoded slashes, semicolons) matches no rule with prefixes,
	// and no rule after it. Nor does another spelling of a prefix (another case, something added that is no letter, digit, - or _), unless allow is Public.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	PathPrefixes []PathPrefix `json:"pathPrefixes,omitempty"`

	// methods are HTTP methods such as GET. Left out: every method.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Methods []HTTPMethod `json:"methods,omitempty"`

	// allow lets everybody pass (Public), or everybody who is signed in (SignedIn).
	// +optional
	Allow AccessMode `json:"allow,omitempty"`

	// groups let their members pass: one of them is enough, and so is being one of users. Names are compared exactly.
	// Groups of different IdPs may share a name: name the IdP too where that matters.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Groups []Group `json:"groups,omitempty"`

	// users let single people pass, by their e-mail address.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Users []UserAddress `json:"users,omitempty"`

	// identityProviders narrow the rule to people who signed in through one of these IdentityProviders, by name. Without groups and users, all of those pass.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	IdentityProviders []ObjectName `json:"identityProviders,omitempty"`
}

// AccessMode lets whole audiences pass.
//
// +kubebuilder:validation:Enum=Public;SignedIn
type AccessMode string

const (
	// AccessPublic lets everybody pass; who is signed in is still told to the application.
	AccessPublic AccessMode = "Public"
	// AccessSignedIn lets everybody pass who is signed in.
	AccessSignedIn AccessMode = "SignedIn"
)

// PathPrefix is the beginning of a decoded path.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
// +kubebuilder:validation:XValidation:rule="self.matches('^(/[^/?#%;\\\\\\\\\\\\s]+)*/?$') && !self.matches('/\\\\.{1,2}(/|$)')",message="must start with / and be a plain path such as /admin: no query, no %-escapes, no empty, . or .. segments, no semicolons or backslashes"
type PathPrefix string

// HTTPMethod is an HTTP method, in upper case.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Z][A-Z-]*$')",message="must be a method in upper case: write GET"
type HTTPMethod string

// UserAddress is the e-mail address of one person. Case does not count.
//
// +kubebuilder:validation:MinLength=3
// +kubebuilder:validation:MaxLength=254
// +kubebuilder:validation:XValidation:rule="self.matches('^[^@\\\\s]+@[^@\\\\s]+$')",message="must be an e-mail address such as alice@example.com"
type UserAddress string
