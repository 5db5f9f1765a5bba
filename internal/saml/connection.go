package saml

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"net/url"
	"time"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
	"sallyport.dev/sallyport/internal/snapshot"
)

// Connection is one IdP as the protocol sees it: its trusted keys, our keys and our policy, parsed once. It is immutable and
// safe for concurrent use.
type Connection struct {
	conf   snapshot.Connection
	limits Limits
	// namespace is where the IdentityProvider is, for the commands in our advice; "" names none there.
	namespace string

	// trusted are the IdP's verification keys, each once; trustedCertificates are the certificates as they were given.
	trusted             []crypto.PublicKey
	trustedCertificates [][]byte

	signer *xmldsig.Signer
	// decrypters are the Current and Previous keys that can unwrap a session key.
	decrypters []*rsa.PrivateKey
}

// MaxClockSkew is how far the two clocks may differ at most, whatever the connection says. No difference at all may be asked for too.
const MaxClockSkew = 10 * time.Minute

// NewConnection parses the keys and endpoints of a connection. A connection without trust has metadata and nothing else:
// every message of it is refused. The error names the field of the snapshot.
func NewConnection(c snapshot.Connection, limits Limits) (*Connection, error) {
	limits.XML.MaxBytes = limits.MaxMessage
	conn := &Connection{conf: c, limits: limits}
	if c.Name == "" || c.EntityID == "" {
		return nil, fmt.Errorf("connection %q: name and entityID must be set", c.Name)
	}
	if err := absoluteURL(c.ACSURL); err != nil {
		return nil, fmt.Errorf("connection %s: acsURL: %w", c.Name, err)
	}
	conn.conf.Response.ClockSkew = min(max(0, conn.conf.Response.ClockSkew), MaxClockSkew)
	if err := conn.loadKeys(); err != nil {
		return nil, fmt.Errorf("connection %s: %w", c.Name, err)
	}
	if err := conn.loadTrust(); err != nil {
		return nil, fmt.Errorf("connection %s: %w", c.Name, err)
	}
	return conn, nil
}

// WithNamespace is the same connection with the namespace of its IdentityProvider, which the commands in its advice then name.
func (c *Connection) WithNamespace(namespace string) *Connection {
	named := *c
	named.namespace = namespace
	return &named
}

func absoluteURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return fmt.Errorf("%q is not an absolute http or https URL", s)
	}
	return nil
}

// loadKeys parses our own key pairs. What IdPs may still encrypt to decrypts: Current and Previous. Next is published for signing only.
func (c *Connection) loadKeys() error {
	for _, phase := range []snapshot.KeyPhase{snapshot.KeyCurrent, snapshot.KeyPrevious, snapshot.KeyNext} {
		for i, k := range c.conf.Keys {
			if k.Phase != phase {
				continue
			}
			parsed, err := x509.ParsePKCS8PrivateKey(k.PrivateKey)
			if err != nil {
				return fmt.Errorf("keys[%d]: not a PKCS #8 private key", i)
			}
			signer, ok := parsed.(crypto.Signer)
			if !ok {
				return fmt.Errorf("keys[%d]: a key of type %T cannot sign", i, parsed)
			}
			if err := xmldsig.CheckKey(signer.Public()); err != nil {
				return fmt.Errorf("keys[%d]: %w", i, err)
			}
			if phase == snapshot.KeyCurrent && c.signer == nil {
				c.signer = &xmldsig.Signer{Key: signer, Certificate: k.Certificate}
			}
			if rsaKey, ok := parsed.(*rsa.PrivateKey); ok && phase != snapshot.KeyNext {
				c.decrypters = append(c.decrypters, rsaKey)
			}
		}
	}
	return nil
}

// loadTrust parses the IdP's certificates. Dates are not looked at and one public key counts once, so that an expired or
// re-issued certificate goes on working (SAML2Int SDP-MD06). Keys too weak to trust are left out; none left is an error.
func (c *Connection) loadTrust() error {
	t := c.conf.Trust
	if t == nil {
		return nil
	}
	if t.EntityID == "" {
		return fmt.Errorf("trust.entityID must be set")
	}
	var weak error
	for i, der := range t.SigningCertificates {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("trust.signingCertificates[%d]: not a certificate", i)
		}
		if err := xmldsig.CheckKey(cert.PublicKey); err != nil {
			weak = fmt.Errorf("trust.signingCertificates[%d]: %w", i, err)
			continue
		}
		c.trustedCertificates = append(c.trustedCertificates, der)
		if !containsKey(c.trusted, cert.PublicKey) {
			c.trusted = append(c.trusted, cert.PublicKey)
		}
	}
	if len(c.trusted) == 0 {
		if weak != nil {
			return weak
		}
		return fmt.Errorf("trust.signingCertificates is empty: no response could be verified")
	}
	return nil
}

func containsKey(keys []crypto.PublicKey, key crypto.PublicKey) bool {
	for _, k := range keys {
		if eq, ok := k.(interface{ Equal(crypto.PublicKey) bool }); ok && eq.Equal(key) {
			return true
		}
	}
	return false
}

// Name is the IdentityProvider's name.
func (c *Connection) Name() string { return c.conf.Name }

func (c *Connection) policy() xmldsig.Policy {
	return xmldsig.Policy{Keys: c.trusted, AllowSHA1: c.conf.Response.AllowSHA1, Limits: c.limits.XML}
}

func (c *Connection) skew() time.Duration { return c.conf.Response.ClockSkew }

// parse reads an unverified message within the limits.
func (c *Connection) parse(data []byte) (*xmldoc.Node, error) {
	return xmldoc.Parse(data, c.limits.XML)
}
