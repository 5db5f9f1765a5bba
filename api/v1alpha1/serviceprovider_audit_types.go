package v1alpha1

// AuditSettings says how long audit records are kept, and where else they go.
type AuditSettings struct {
	// retention is how many days audit records stay in the store. Between 1d and 3650d. What a sink still waits for stays longer.
	// +optional
	// +default="365d"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]{1,5}d$') && int(self.substring(0, self.size() - 1)) >= 1 && int(self.substring(0, self.size() - 1)) <= 3650",message="retention must be between 1d and 3650d: write whole days, such as 365d"
	Retention Days `json:"retention,omitempty"`

	// sinks are where records are delivered to besides standard output, in order and at least once. A sink gets what is recorded from the
	// time on that it is named here.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Sinks []AuditSink `json:"sinks,omitempty"`
}

// AuditSink is one receiver of audit records: exactly one of webhook, syslog and otlp.
//
// +kubebuilder:validation:XValidation:rule="[has(self.webhook), has(self.syslog), has(self.otlp)].filter(x, x).size() == 1",message="exactly one of webhook, syslog, otlp"
type AuditSink struct {
	// name tells the sink from others. A sink of another name starts anew; under the same name it goes on where it was, whatever else changes.
	// +required
	Name AuditSinkName `json:"name,omitempty"`

	// format of the records: Native is the record itself, whose hash can be checked at the receiver too; OCSF is an event of the Open
	// Cybersecurity Schema Framework; CEF is ArcSight's Common Event Format.
	// +optional
	// +default="Native"
	Format AuditFormat `json:"format,omitempty"`

	// webhook posts batches of records as lines over HTTPS, signed with a shared key.
	// +optional
	Webhook *WebhookSink `json:"webhook,omitempty"`

	// syslog sends RFC 5424 messages over TLS (RFC 5425).
	// +optional
	Syslog *SyslogSink `json:"syslog,omitempty"`

	// otlp sends OpenTelemetry log records by OTLP over HTTP.
	// +optional
	OTLP *OTLPSink `json:"otlp,omitempty"`
}

// AuditSinkName is a lower-case name of at most 32 characters.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
type AuditSinkName string

// AuditFormat is how records are written.
//
// +kubebuilder:validation:Enum=Native;OCSF;CEF
type AuditFormat string

const (
	AuditFormatNative AuditFormat = "Native"
	AuditFormatOCSF   AuditFormat = "OCSF"
	AuditFormatCEF    AuditFormat = "CEF"
)

// WebhookSink is a receiver of HTTPS requests.
type WebhookSink struct {
	// url that batches are posted to. Example: https://siem.example.com/ingest/sallyport
	// +required
	URL HTTPSURL `json:"url,omitempty"`

	// keySecretRef names the Secret with the key that the requests are signed with, by HMAC-SHA256. The key left out: key.
	// +required
	KeySecretRef SecretKeyReference `json:"keySecretRef,omitzero"`

	// caBundle verifies the server of url. Left out: the system's roots.
	// +optional
	CABundle *CABundleSource `json:"caBundle,omitempty"`
}

// SyslogSink is a receiver of RFC 5424 messages over TLS.
type SyslogSink struct {
	// address is host:port of the receiver, whose certificate must be for the host. Example: syslog.example.com:6514
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=262
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?|\\\\[[0-9a-fA-F:.]+\\\\]):[1-9][0-9]{0,4}$')",message="must be a host and a port: write syslog.example.com:6514"
	Address string `json:"address,omitempty"`

	// caBundle verifies the receiver. Left out: the system's roots.
	// +optional
	CABundle *CABundleSource `json:"caBundle,omitempty"`
}

// OTLPSink is an OpenTelemetry collector.
type OTLPSink struct {
	// url of the collector's log endpoint. Example: https://otel-collector.example.com:4318/v1/logs
	// +required
	URL HTTPSURL `json:"url,omitempty"`

	// tokenSecretRef names the Secret with a bearer token for the collector. Left out: none is sent. The key left out: token.
	// +optional
	TokenSecretRef *SecretKeyReference `json:"tokenSecretRef,omitempty"`

	// caBundle verifies the server of url. Left out: the system's roots.
	// +optional
	CABundle *CABundleSource `json:"caBundle,omitempty"`
}
