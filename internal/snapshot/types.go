// Package snapshot is the contract between the operator, which compiles it, and the service provider, which serves it.
//
// A Snapshot holds everything that one ServiceProvider needs to sign people in: no reference in it has to be resolved.
// It carries private keys, so it only ever lives in Secrets, in memory, and in files that are readable by their owner alone.
// The package is pure: it knows neither the API server nor the network.
package snapshot

import "time"

// Snapshot is what one ServiceProvider serves at one revision.
// Connections are sorted by name and Domains by domain, so that equal input gives equal bytes.
type Snapshot struct {
	ServiceProvider ServiceProvider `json:"serviceProvider"`
	Connections     []Connection    `json:"connections,omitempty"`
	Domains         []Domain        `json:"domains,omitempty"`
}

// ServiceProvider holds the settings that hold for every connection.
type ServiceProvider struct {
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
	UID        string `json:"uid,omitempty"`
	Generation int64  `json:"generation,omitempty"`
	// URL is the external base URL: https, no path, no trailing slash.
	URL string `json:"url"`

	Session           Session            `json:"session"`
	AllowedHosts      []string           `json:"allowedHosts,omitempty"`
	TrustedProxies    []string           `json:"trustedProxies,omitempty"`
	ProfileAttributes []ProfileAttribute `json:"profileAttributes,omitempty"`
	DebugLog          DebugLog           `json:"debugLog"`
	AuditRetention    time.Duration      `json:"auditRetention,omitempty"`
	// AuditSinks are delivered to besides standard output, which is always on.
	AuditSinks []AuditSink `json:"auditSinks,omitempty"`
	// Access is nil when the ServiceProvider has no access section: then every signed-in person may enter every allowed host.
	Access *Access `json:"access,omitempty"`
	// AdminGroups may open the admin view in the browser, where one of AdminIdentityProviders (names) vouches for them. Empty: nobody may.
	AdminGroups            []string `json:"adminGroups,omitempty"`
	AdminIdentityProviders []string `json:"adminIdentityProviders,omitempty"`
	// SignedHeader is nil when there is none.
	SignedHeader *SignedHeader `json:"signedHeader,omitempty"`
	// MaxResponseBytes is the largest response that is read. 0 is 256 KiB.
	MaxResponseBytes int `json:"maxResponseBytes,omitempty"`
}

// SignedHeader has the keys that tell applications who sends a request: ECDSA P-256 keys, of which the current one signs and all are published.
type SignedHeader struct {
	Keys []SPKey `json:"keys"`
}

// Session bounds every session that the service provider opens.
type Session struct {
	Lifetime    time.Duration `json:"lifetime"`
	IdleTimeout time.Duration `json:"idleTimeout"`
	// CookieDomain is empty for a host-only cookie.
	CookieDomain string `json:"cookieDomain,omitempty"`
	// SameSite is Lax, Strict or None.
	SameSite string `json:"sameSite"`
}

// ProfileAttribute is an attribute of the canonical profile that the ServiceProvider has switched on.
type ProfileAttribute struct {
	// Name is the API name in camel case, such as jobTitle.
	Name string `json:"name"`
	// Mirror copies the value from the assertion to the canonical profile; without it the value is only recorded.
	Mirror bool `json:"mirror"`
}

// DebugLog bounds the debug log.
type DebugLog struct {
	Retention  time.Duration `json:"retention"`
	MaxEntries int           `json:"maxEntries"`
}

// AuditSink is one place besides standard output that audit records are delivered to.
type AuditSink struct {
	Name string `json:"name"`
	// Type is Webhook, Syslog or OTLP.
	Type string `json:"type"`
	// Format is Native, OCSF or CEF.
	Format   string `json:"format"`
	Endpoint string `json:"endpoint"`
	// Secret is the HMAC key of a webhook or the bearer token of an OTLP endpoint.
	Secret []byte `json:"secret,omitempty"`
	// CABundle is PEM; empty means the system's roots.
	CABundle []byte `json:"caBundle,omitempty"`
}

// Access decides who may enter which host and path. The first rule that matches decides; a host that no rule names is denied.
type Access struct {
	Rules []AccessRule `json:"rules"`
}

// AccessRule matches a request by host, path prefix and method, and says who may pass.
type AccessRule struct {
	Hosts        []string `json:"hosts"`
	PathPrefixes []string `json:"pathPrefixes,omitempty"`
	Methods      []string `json:"methods,omitempty"`
	// Allow is Public, SignedIn or Matching (any of Groups, IdentityProviders, Users).
	Allow             string   `json:"allow"`
	Groups            []string `json:"groups,omitempty"`
	IdentityProviders []string `json:"identityProviders,omitempty"`
	Users             []string `json:"users,omitempty"`
}

// Domain binds an e-mail domain to a connection.
type Domain struct {
	// Domain is a lower-case A-label such as example.com.
	Domain string `json:"domain"`
	// Subdomains extends the binding to every subdomain that has no binding of its own.
	Subdomains bool `json:"subdomains,omitempty"`
	// Connection is the name of the IdentityProvider. Empty: the domain is held, because its IdentityProvider is missing or the domain is not
	// verified: an address of it is sent nowhere, and nobody may assert it, the catch-all included.
	Connection string `json:"connection"`
	// Binding is the name of the DomainBinding, for people.
	Binding    string `json:"binding"`
	UID        string `json:"uid,omitempty"`
	Generation int64  `json:"generation,omitempty"`
}
