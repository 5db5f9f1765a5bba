package interop

import (
	"net/http"
	"slices"
	"testing"

	"sallyport.dev/sallyport/test/interop/pysaml2"
	"sallyport.dev/sallyport/test/interop/samlp"
)

const (
	aes256GCM = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
	aes256CBC = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
)

// withPysaml2 signs in at pysaml2.
func withPysaml2(o options, environment ...string) options {
	o.peer = func(t *testing.T, baseURL string) peer {
		idp := pysaml2.Start(t, baseURL, environment...)
		return peer{idp.Address, idp.Metadata, idp.Register}
	}
	return o
}

// withSamlp signs in at Auth0's samlp.
func withSamlp(o options, sends samlp.Options) options {
	o.peer = func(t *testing.T, baseURL string) peer {
		idp := samlp.Start(t, baseURL, sends)
		return peer{idp.Address, func() []byte { return idp.Metadata(idpHost) }, idp.Register}
	}
	return o
}

// TestOtherIdentityProvidersSignPeopleIn lets the browser sign in at IdPs that share no line of code with us or with SimpleSAMLphp.
func TestOtherIdentityProvidersSignPeopleIn(t *testing.T) {
	// No commas: xmlsec1 takes one in the path of a key for a separator, and the path has the name of the test.
	tests := map[string]options{
		"pysaml2":                                withPysaml2(options{}),
		"pysaml2 with request by POST":           withPysaml2(options{saml: "request: {binding: POST}"}),
		"pysaml2 with SIGNR=1":                   withPysaml2(options{saml: "response: {responseSignature: Required}"}, "SIGNR=1"),
		"pysaml2 with ENC=1":                     withPysaml2(options{saml: "response: {encryption: Required}"}, "ENC=1"),
		"pysaml2 with ENC=1 SIGNR=1":             withPysaml2(options{saml: "response: {encryption: Required, responseSignature: Required}"}, "ENC=1", "SIGNR=1"),
		"samlp":                                  withSamlp(options{}, samlp.Options{Signing: "assertion"}),
		"samlp with request by POST":             withSamlp(options{saml: "request: {binding: POST}"}, samlp.Options{Signing: "assertion"}),
		"samlp with response signed":             withSamlp(options{saml: "response: {responseSignature: Required}"}, samlp.Options{Signing: "response"}),
		"samlp with both signed":                 withSamlp(options{}, samlp.Options{Signing: "both"}),
		"samlp with AES-256-GCM":                 withSamlp(options{saml: "response: {encryption: Required}"}, samlp.Options{Signing: "assertion", Encryption: aes256GCM}),
		"samlp with AES-256-CBC and both signed": withSamlp(options{saml: "response: {encryption: Required}"}, samlp.Options{Signing: "both", Encryption: aes256CBC}),
	}
	for name, o := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, o)
			tab := r.signIn(appURL+"/deep?x=1&y=2", "alice@acme.example", "alice")
			tab.WaitURL(appURL + "/deep?x=1&y=2")
			tab.WaitText("Hello Alice Adams")
			got := r.get(appURL+"/api", r.cookies(tab)).headers(t)
			for name, want := range map[string]string{"Remote-User": "alice@acme.example", "Remote-Groups": "dev,oncall"} {
				if values := got[name]; !slices.Equal(values, []string{want}) {
					t.Errorf("the application got %s %q, want %q", name, values, want)
				}
			}
		})
	}
}

// TestOtherIdentityProvidersBelowTheDemand: what these IdPs can send and must not be accepted.
func TestOtherIdentityProvidersBelowTheDemand(t *testing.T) {
	tests := map[string]options{
		"samlp with AES-256-CBC without a signature over the encrypted data": withSamlp(options{}, samlp.Options{Signing: "assertion", Encryption: aes256CBC}),
		"pysaml2 with plain where encryption is required":                    withPysaml2(options{saml: "response: {encryption: Required}"}),
	}
	for name, o := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, o)
			tab := r.signIn(appURL+"/", "alice@acme.example", "alice")
			tab.WaitText("Reference")
			if got := r.get(appURL+"/api", r.cookies(tab)); got.status != http.StatusUnauthorized {
				t.Errorf("refused, and the application answers %d", got.status)
			}
		})
	}
}
