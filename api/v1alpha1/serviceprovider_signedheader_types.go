package v1alpha1

// SignedHeaderSettings is the header X-Auth-Request-Jwt: a token (JWT, ES256) that says who sends the request, for one application's host and for 60 seconds.
// Applications verify it with the keys at /.well-known/jwks.json below url.
type SignedHeaderSettings struct {
	// state turns the signed header on or off.
	// +optional
	// +default="Enabled"
	State State `json:"state,omitempty"`

	// keyLifetime is the age at which a key's successor is created. An hour later the successor signs, and the old key stays published for another hour. Between 24h and 26280h.
	// +optional
	// +default="2160h"
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}[hms]){1,3}$') && duration(self) >= duration('24h') && duration(self) <= duration('26280h')",message="keyLifetime must be between 24h and 26280h: write hours, minutes and seconds, such as 2160h"
	KeyLifetime Duration `json:"keyLifetime,omitempty"`
}
