package trust

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"

	"sallyport.dev/sallyport/internal/snapshot"
)

// ManualTrust makes metadata of what somebody typed in. ssoBinding is Redirect or POST. Each of pems may hold one certificate or a chain,
// as PEM or as bare base64. Errors begin with the field, such as certificates[1].
func ManualTrust(entityID, ssoURL, ssoBinding, sloURL string, pems []string) (*Metadata, error) {
	m := &Metadata{}
	m.Trust.EntityID = strings.TrimSpace(entityID)
	if m.Trust.EntityID == "" {
		return nil, fmt.Errorf("entityID: write the IdP's entity ID")
	}
	if err := checkEndpoint(ssoURL, false); err != nil {
		return nil, fmt.Errorf("ssoURL: %w", err)
	}
	binding := snapshot.BindingRedirect
	if ssoBinding == "POST" {
		binding = snapshot.BindingPOST
	}
	m.Trust.SSO = []snapshot.Endpoint{{Binding: binding, URL: ssoURL}}
	if sloURL != "" {
		if err := checkEndpoint(sloURL, false); err != nil {
			return nil, fmt.Errorf("sloURL: %w", err)
		}
		m.Trust.SLO = []snapshot.Endpoint{{Binding: snapshot.BindingRedirect, URL: sloURL}}
	}
	for i, text := range pems {
		certificates, err := certificatesIn(text)
		if err != nil {
			return nil, fmt.Errorf("certificates[%d]: %w", i, err)
		}
		for _, der := range certificates {
			if err := m.addCertificate(der, UseSigning); err != nil {
				return nil, fmt.Errorf("certificates[%d]: %w", i, err)
			}
		}
	}
	if len(m.Trust.SigningCertificates) == 0 {
		return nil, fmt.Errorf("certificates: none of them can be trusted: RSA of at least 2048 bits, or ECDSA with P-256 or larger")
	}
	m.Digest = digest(m.Trust)
	return m, nil
}

// certificatesIn returns the DER form of every certificate in PEM, or of the one in bare base64, as consoles show it.
func certificatesIn(text string) ([][]byte, error) {
	rest := []byte(strings.TrimSpace(text))
	if len(rest) == 0 {
		return nil, fmt.Errorf("it is empty: paste the IdP's signing certificate, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----")
	}
	if !strings.Contains(text, "-----BEGIN") {
		der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			return nil, fmt.Errorf("it is not a certificate in PEM form: paste it from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----")
		}
		return [][]byte{der}, nil
	}
	var all [][]byte
	for len(rest) > 0 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, fmt.Errorf("it is not PEM: there must be nothing but certificates from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----")
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds a %s: only the certificate is needed, and a private key must never be here", clip(block.Type))
		}
		all = append(all, block.Bytes)
		rest = []byte(strings.TrimSpace(string(rest)))
	}
	return all, nil
}
