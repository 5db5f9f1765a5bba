package samltest

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"sallyport.dev/sallyport/internal/saml/xmldsig"
)

// SP is what an IdP knows of a service provider from its metadata: the certificates in their order.
type SP struct{ Signing, Encryption []*x509.Certificate }

// ReadSP reads a service provider's metadata.
func ReadSP(metadata io.Reader) (*SP, error) {
	var read struct {
		Keys []struct {
			Use         string `xml:"use,attr"`
			Certificate string `xml:"KeyInfo>X509Data>X509Certificate"`
		} `xml:"SPSSODescriptor>KeyDescriptor"`
	}
	if err := xml.NewDecoder(metadata).Decode(&read); err != nil {
		return nil, fmt.Errorf("samltest: the service provider's metadata: %w", err)
	}
	sp := &SP{}
	for _, key := range read.Keys {
		der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key.Certificate))
		if err != nil {
			return nil, fmt.Errorf("samltest: a certificate of the service provider is not base64")
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		if key.Use == "encryption" {
			sp.Encryption = append(sp.Encryption, certificate)
		} else {
			sp.Signing = append(sp.Signing, certificate)
		}
	}
	return sp, nil
}

// Verifies is how the IdP verifies requests.
func (s *SP) Verifies() *xmldsig.Policy {
	policy := &xmldsig.Policy{}
	for _, certificate := range s.Signing {
		policy.Keys = append(policy.Keys, certificate.PublicKey)
	}
	return policy
}

// EncryptsTo is the first key for encryption, as most IdPs take it; nil where there is none.
func (s *SP) EncryptsTo() []*rsa.PublicKey {
	if len(s.Encryption) == 0 {
		return nil
	}
	key, ok := s.Encryption[0].PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil
	}
	return []*rsa.PublicKey{key}
}
