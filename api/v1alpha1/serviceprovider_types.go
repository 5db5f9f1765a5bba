package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ServiceProvider is one SAML 2.0 service provider: the pods that sign people in and answer the proxies.
//
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=serviceproviders,scope=Namespaced,shortName=sp,categories=sso
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.url`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Replicas",type=string,JSONPath=`.status.replicaSummary`
// +kubebuilder:printcolumn:name="IdPs",type=integer,JSONPath=`.status.identityProviders`
// +kubebuilder:printcolumn:name="Domains",type=integer,JSONPath=`.status.domainBindings`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')",message="metadata.name must be at most 40 characters of a-z, 0-9 and -, starting with a letter: Services and Secrets are named after it"
type ServiceProvider struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the desired state of the ServiceProvider.
	// +required
	Spec ServiceProviderSpec `json:"spec,omitzero"`

	// status is the observed state of the ServiceProvider.
	// +optional
	// +default={"observedGeneration":-1,"conditions":[{"type":"Accepted","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"},{"type":"StoreReady","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"},{"type":"Available","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"},{"type":"Programmed","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"},{"type":"Ready","status":"Unknown","reason":"Pending","message":"Waiting for the operator.","lastTransitionTime":"1970-01-01T00:00:00Z"}]}
	Status ServiceProviderStatus `json:"status,omitzero"`
}

// ServiceProviderList is a list of ServiceProviders.
//
// +kubebuilder:object:root=true
type ServiceProviderList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	// items are the ServiceProviders.
	Items []ServiceProvider `json:"items"`
}

// ServiceProviderSpec is the desired state of a ServiceProvider.
//
// +kubebuilder:validation:XValidation:rule="!has(self.replicas) || self.replicas <= 1 || (has(self.store) && has(self.store.postgres))",message="replicas > 1 requires store.postgres: SQLite lives on the volume of one pod. Set store.postgres, or replicas: 1"
// +kubebuilder:validation:XValidation:rule="!has(self.session) || !has(self.session.cookie) || !has(self.session.cookie.domain) || !isURL(self.url) || url(self.url).getHostname() == self.session.cookie.domain || url(self.url).getHostname().endsWith('.' + self.session.cookie.domain)",message="session.cookie.domain must be the host of url or a parent domain of it: a browser refuses the cookie otherwise"
type ServiceProviderSpec struct {
	// url is the external base URL that browsers and proxies use: https, a host, an optional port, nothing else.
	// The entity ID, ACS and metadata URL of every connection derive from it: changing it means registering every connection anew at its IdP.
	// Example: https://sso.example.com
	// +required
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=267
	// +kubebuilder:validation:XValidation:rule="self.startsWith('https://')",message="url must start with https://: session cookies are only ever sent over TLS"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z]+://[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*(:[1-9][0-9]{0,4})?$')",message="url must be a lower-case host with an optional port and nothing after it (no user name, path, trailing slash, query or fragment): write https://sso.example.com"
	URL string `json:"url,omitempty"`

	// replicas is the number of pods. More than one requires store.postgres.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=500
	Replicas int32 `json:"replicas,omitempty"`

	// store is where sessions, users and audit records live. Left out: SQLite on a volume of 1Gi.
	// +optional
	Store *Store `json:"store,omitempty"`

	// session bounds every session.
	// +optional
	// +default={}
	Session SessionSettings `json:"session,omitzero"`

	// redirects says where a sign-in may return to.
	// +optional
	Redirects *RedirectSettings `json:"redirects,omitempty"`

	// access says who may enter which host and path. Left out: everybody who is signed in may enter every host that asks; the proxy may still
	// ask for groups and IdPs.
	// +optional
	Access *AccessSettings `json:"access,omitempty"`

	// signedHeader tells applications who sends a request in a form that they can verify, besides the plain identity headers. Left out: there is none.
	// +optional
	SignedHeader *SignedHeaderSettings `json:"signedHeader,omitempty"`

	// admins may open the admin view in the browser. Left out: nobody.
	// +optional
	Admins *AdminSettings `json:"admins,omitempty"`

	// profileAttributes are the attributes of the canonical profile. Standard names: phoneWork, phoneMobile, displayName, jobTitle,
	// department, organization, employeeId, streetAddress, city, state, postalCode, country, preferredLanguage, description; any
	// other name is your own.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	ProfileAttributes []ProfileAttribute `json:"profileAttributes,omitempty"`

	// audit says how long audit records are kept in the store, and where else they go. They always go to standard output too, as JSON lines.
	// +optional
	// +default={}
	Audit AuditSettings `json:"audit,omitzero"`

	// responses bounds the responses of identity providers. Left out: 256 KiB.
	// +optional
	Responses *ResponseBounds `json:"responses,omitempty"`

	// debugLog bounds the log of refused responses.
	// +optional
	// +default={}
	DebugLog DebugLogSettings `json:"debugLog,omitzero"`

	// expose makes the ServiceProvider reachable from outside of the cluster. Left out: a Service only.
	// +optional
	Expose *Exposure `json:"expose,omitempty"`

	// proxies says whose X-Forwarded-* headers are trusted.
	// +optional
	Proxies *ProxySettings `json:"proxies,omitempty"`

	// tracing sends OpenTelemetry traces of sign-ins to a collector. Left out: nothing is traced.
	// +optional
	Tracing *TracingSettings `json:"tracing,omitempty"`

	// pods configures the pods.
	// +optional
	Pods *PodSettings `json:"pods,omitempty"`
}

// Store is where state lives: exactly one of sqlite and postgres.
//
// +structType=atomic
// +kubebuilder:validation:XValidation:rule="has(self.sqlite) != has(self.postgres)",message="exactly one of sqlite, postgres: leave store out for SQLite with its defaults"
type Store struct {
	// sqlite keeps everything in one file on a volume; one replica.
	// +optional
	SQLite *SQLiteStore `json:"sqlite,omitempty"`

	// postgres keeps everything in PostgreSQL, or in anything that speaks its protocol; any number of replicas.
	// +optional
	Postgres *PostgresStore `json:"postgres,omitempty"`
}

// SQLiteStore is a SQLite file on a PersistentVolumeClaim.
type SQLiteStore struct {
	// size of the volume. Left out: 1Gi. Example: 10Gi
	// +optional
	Size *resource.Quantity `json:"size,omitempty"`

	// storageClassName of the volume. Left out: the cluster's default class.
	// +optional
	StorageClassName *ObjectName `json:"storageClassName,omitempty"`

	// reclaim says what happens to the volume when the ServiceProvider is deleted. Left out: Retain.
	// +optional
	Reclaim ReclaimPolicy `json:"reclaim,omitempty"`
}

// ReclaimPolicy says what happens to a volume when its ServiceProvider is deleted.
//
// +kubebuilder:validation:Enum=Retain;Delete
type ReclaimPolicy string

const (
	// ReclaimRetain keeps the volume: a ServiceProvider of the same name finds its users and audit records again.
	ReclaimRetain ReclaimPolicy = "Retain"
	// ReclaimDelete deletes the volume and everything in it.
	ReclaimDelete ReclaimPolicy = "Delete"
)

// PostgresStore is a PostgreSQL database.
type PostgresStore struct {
	// connectionSecretRef names the Secret with the connection URI, postgres://USER:PASSWORD@HOST:PORT/DATABASE. The key left out: uri.
	// +required
	ConnectionSecretRef SecretKeyReference `json:"connectionSecretRef,omitzero"`

	// caBundle verifies the server, instead of the system's roots, and is read again for each new connection. With it every connection has TLS and is verified as sslmode=verify-full
	// says, whatever the URI says: only sslmode=verify-ca is kept, which takes any host name. Left out: sslmode decides, and verify-full takes the system's roots.
	// +optional
	CABundle *CABundleSource `json:"caBundle,omitempty"`
}

// SessionSettings bounds every session.
//
// +kubebuilder:validation:XValidation:rule="!has(self.lifetime) || !has(self.idleTimeout) || duration(self.idleTimeout) <= duration(self.lifetime) || !self.idleTimeout.matches('^([0-9]{1,6}[hms]){1,3}$') || !self.lifetime.matches('^([0-9]{1,6}[hms]){1,3}$')",message="idleTimeout must not be longer than lifetime"
type SessionSettings struct {
	// lifetime ends a session however busy it is. Between 1m and 720h.
	// +optional
	// +default="12h"
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}[hms]){1,3}$') && duration(self) >= duration('1m') && duration(self) <= duration('720h')",message="lifetime must be between 1m and 720h: write hours, minutes and seconds, such as 12h or 1h30m"
	Lifetime Duration `json:"lifetime,omitempty"`

	// idleTimeout ends a session that was not used for so long. Between 1m and 720h, and not longer than lifetime.
	// +optional
	// +default="1h"
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}[hms]){1,3}$') && duration(self) >= duration('1m') && duration(self) <= duration('720h')",message="idleTimeout must be between 1m and 720h: write hours, minutes and seconds, such as 12h or 1h30m"
	IdleTimeout Duration `json:"idleTimeout,omitempty"`

	// cookie configures the session cookie.
	// +optional
	// +default={}
	Cookie CookieSettings `json:"cookie,omitzero"`
}

// CookieSettings configures the session cookie.
type CookieSettings struct {
	// domain whose hosts share the session, a parent domain of url's host. Left out: the host of url alone.
	// Example: example.com
	// +optional
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$')",message="domain must be a lower-case domain with at least two labels and no leading dot: write example.com"
	Domain string `json:"domain,omitempty"`

	// sameSite is the cookie's SameSite attribute.
	// +optional
	// +default="Lax"
	SameSite SameSite `json:"sameSite,omitempty"`
}

// SameSite is the SameSite attribute of a cookie.
//
// +kubebuilder:validation:Enum=Lax;Strict;None
type SameSite string

const (
	SameSiteLax    SameSite = "Lax"
	SameSiteStrict SameSite = "Strict"
	SameSiteNone   SameSite = "None"
)

// RedirectSettings says where a sign-in may return to.
type RedirectSettings struct {
	// allowedHosts are hosts such as app.example.com, or *.example.com for every host below example.com. The host of url always counts.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=128
	AllowedHosts []AllowedHost `json:"allowedHosts,omitempty"`
}

// AllowedHost is a lower-case host, or *. and a domain.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="self.matches('^(\\\\*\\\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must be a lower-case host such as app.example.com, or *.example.com for every host below it: no scheme, port or path"
// +kubebuilder:validation:XValidation:rule="!self.startsWith('*.') || self.substring(2).contains('.')",message="a wildcard must have at least two labels after it: write *.example.com"
type AllowedHost string

// ProfileAttribute is one attribute of the canonical profile.
type ProfileAttribute struct {
	// name in camel case. Example: jobTitle
	// +required
	Name ProfileAttributeName `json:"name,omitempty"`

	// mirror copies the value of each sign-in to the canonical profile; Disabled only records it.
	// +optional
	// +default="Enabled"
	Mirror State `json:"mirror,omitempty"`
}

// ProfileAttributeName is the name of a profile attribute, in camel case.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z][a-zA-Z0-9]*$')",message="must be a name in camel case, of letters and digits: write jobTitle for job_title"
type ProfileAttributeName string

// ResponseBounds bounds the responses of identity providers.
type ResponseBounds struct {
	// maxBytes is the largest response that is read, in base64 as it is posted. Between 262144 (256 KiB) and 2097152 (2 MiB). How many elements and attributes it
	// may have grows with it, and so does what a hostile one costs: raise it for people who are in thousands of groups, and no further than they need.
	// Left out: 262144.
	// +optional
	// +kubebuilder:validation:Minimum=262144
	// +kubebuilder:validation:Maximum=2097152
	MaxBytes int32 `json:"maxBytes,omitempty"`
}

// DebugLogSettings bounds the log of refused responses.
type DebugLogSettings struct {
	// retention is how long an entry is kept. Between 1m and 720h.
	// +optional
	// +default="24h"
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}[hms]){1,3}$') && duration(self) >= duration('1m') && duration(self) <= duration('720h')",message="retention must be between 1m and 720h: write hours, minutes and seconds, such as 12h or 1h30m"
	Retention Duration `json:"retention,omitempty"`

	// maxEntries is how many entries are kept. Between 10 and 100000. The last one of each IdP and type of error stays, up to twice as many in all.
	// +optional
	// +default=500
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=100000
	MaxEntries int32 `json:"maxEntries,omitempty"`
}
