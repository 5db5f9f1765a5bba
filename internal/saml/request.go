package saml

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"

	"sallyport.dev/sallyport/internal/saml/xmldsig"
	"sallyport.dev/sallyport/internal/snapshot"
)

// RequestOptions vary one AuthnRequest.
type RequestOptions struct {
	// ForceAuthn asks for a fresh sign-in even when the connection does not.
	ForceAuthn bool
	// LoginHint is the address that the person typed; it is sent as login_hint to the IdPs that read it there.
	LoginHint string
}

// AuthnRequest is a request that is ready to be sent through the browser.
type AuthnRequest struct {
	ID string
	// Binding is snapshot.BindingRedirect or snapshot.BindingPOST.
	Binding string
	// RedirectURL is complete and signed; empty with POST.
	RedirectURL string
	// PostURL is the form's action, SAMLRequest and RelayState its two fields; empty with Redirect.
	PostURL, SAMLRequest, RelayState string

	pending Pending
}

// Pending is what must be stored until the response comes.
func (r *AuthnRequest) Pending() Pending { return r.pending }

// newID is a message ID: 160 random bits, an NCName (saml-core 1.3.4).
func newID() string {
	var b [20]byte
	rand.Read(b[:]) // never fails: crypto/rand.Read crashes the program instead
	return "_" + hex.EncodeToString(b[:])
}

// NewAuthnRequest makes a request (saml-core 3.4.1). relayState is at most 80 bytes and is sent as it is. The error names what
// the connection lacks.
func (c *Connection) NewAuthnRequest(now time.Time, relayState string, o RequestOptions) (*AuthnRequest, error) {
	if c.conf.Trust == nil {
		return nil, fmt.Errorf("connection %s: trust is not established: no sign-in URL is known", c.conf.Name)
	}
	if len(relayState) > maxRelayState {
		return nil, fmt.Errorf("connection %s: the relay state has %d bytes; %d are allowed", c.conf.Name, len(relayState), maxRelayState)
	}
	endpoint, err := c.ssoEndpoint()
	if err != nil {
		return nil, err
	}
	r := &AuthnRequest{ID: newID(), Binding: endpoint.Binding}
	policy := c.conf.Request
	force := policy.ForceAuthn || o.ForceAuthn
	r.pending = Pending{
		RequestID: r.ID, Connection: c.conf.Name, IssuedAt: now.UTC(), ForceAuthn: force,
		Classes: policy.AuthnContextClasses, Comparison: comparison(policy),
	}
	var signer *xmldsig.Signer
	if policy.Sign || c.conf.Trust.WantAuthnRequestsSigned {
		if signer = c.signer; signer == nil {
			return nil, fmt.Errorf("connection %s: no current key to sign requests with", c.conf.Name)
		}
	}
	el := c.authnRequestElement(r, endpoint.URL, now, force)
	if r.Binding == snapshot.BindingPOST {
		xml, err := serialize(el, signer)
		if err != nil {
			return nil, err
		}
		r.PostURL, r.SAMLRequest, r.RelayState = endpoint.URL, base64.StdEncoding.EncodeToString(xml), relayState
		return r, nil
	}
	xml, err := serialize(el, nil)
	if err != nil {
		return nil, err
	}
	r.RedirectURL, err = redirectURL(c.withLoginHint(endpoint.URL, o.LoginHint), "SAMLRequest", xml, relayState, signer)
	return r, err
}

// comparison is what the request says; exact is the standard's default.
func comparison(p snapshot.RequestPolicy) string {
	switch {
	case len(p.AuthnContextClasses) == 0:
		return ""
	case p.AuthnContextComparison == "":
		return "exact"
	}
	return strings.ToLower(p.AuthnContextComparison)
}

// ssoEndpoint picks the endpoint of the configured binding, else Redirect before POST.
func (c *Connection) ssoEndpoint() (snapshot.Endpoint, error) {
	bindings := []string{snapshot.BindingRedirect, snapshot.BindingPOST}
	if b := c.conf.Request.Binding; b != "" {
		bindings = []string{b}
	}
	if e, ok := pickEndpoint(c.conf.Trust.SSO, bindings); ok {
		return e, nil
	}
	return snapshot.Endpoint{}, fmt.Errorf("connection %s: the IdP has no single sign-on URL for %s: set spec.saml.request.binding to one it has",
		c.conf.Name, strings.Join(bindings, " or "))
}

func pickEndpoint(endpoints []snapshot.Endpoint, bindings []string) (snapshot.Endpoint, bool) {
	for _, b := range bindings {
		for _, e := range endpoints {
			if e.Binding == b && absoluteURL(e.URL) == nil && !strings.Contains(e.URL, "#") {
				return e, true
			}
		}
	}
	return snapshot.Endpoint{}, false
}

// withLoginHint adds login_hint for the IdPs that document it as a query parameter of their SAML endpoint. It is outside of
// what the Redirect binding signs.
func (c *Connection) withLoginHint(endpoint, hint string) string {
	if hint == "" || (c.conf.Type != "Okta" && c.conf.Type != "EntraID") {
		return endpoint
	}
	separator := "?"
	if strings.Contains(endpoint, "?") {
		separator = "&"
	}
	return endpoint + separator + "login_hint=" + url.QueryEscape(hint)
}

func (c *Connection) authnRequestElement(r *AuthnRequest, destination string, now time.Time, force bool) *etree.Element {
	req := crewjam.AuthnRequest{
		ID: r.ID, Version: "2.0", IssueInstant: now.UTC(), Destination: destination,
		Issuer:                      &crewjam.Issuer{Value: c.conf.EntityID},
		AssertionConsumerServiceURL: c.conf.ACSURL, ProtocolBinding: snapshot.BindingPOST,
	}
	if force {
		req.ForceAuthn = &force
	}
	if format := c.conf.Request.NameIDFormat; format != "" {
		create := true
		req.NameIDPolicy = &crewjam.NameIDPolicy{Format: &format, AllowCreate: &create}
	}
	el := req.Element()
	// crewjam's RequestedAuthnContext holds one class only.
	if len(r.pending.Classes) > 0 {
		rac := el.CreateElement("samlp:RequestedAuthnContext")
		rac.CreateAttr("Comparison", r.pending.Comparison)
		for _, class := range r.pending.Classes {
			rac.CreateElement("saml:AuthnContextClassRef").SetText(class)
		}
	}
	return el
}
