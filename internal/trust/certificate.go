package trust

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"strings"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
)

// maxCertificates is how many certificates one IdP may have.
const maxCertificates = 64

// readKey takes every certificate of a KeyDescriptor; one without `use` is for signing and encryption (saml-metadata 2.4.1.1).
func (m *Metadata) readKey(descriptor *xmldoc.Node) error {
	use := UseBoth
	switch descriptor.Value("use") {
	case "signing":
		use = UseSigning
	case "encryption":
		use = UseEncryption
	}
	for info := descriptor.First; info != nil; info = info.Next {
		if !info.Is(xmldsig.Space, "KeyInfo") {
			continue
		}
		for data := info.First; data != nil; data = data.Next {
			if !data.Is(xmldsig.Space, "X509Data") {
				continue
			}
			for node := data.First; node != nil; node = node.Next {
				if !node.Is(xmldsig.Space, "X509Certificate") {
					continue
				}
				der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(node.Text), ""))
				if err != nil {
					return fail(KindBadCertificate, "A certificate in the metadata is not base64.")
				}
				if err := m.addCertificate(der, use); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// addCertificate reports a certificate, and trusts its key when it is strong enough. Its dates decide nothing: the metadata vouches for the key.
func (m *Metadata) addCertificate(der []byte, use Use) error {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return fail(KindBadCertificate, "A certificate in the metadata cannot be read: %v.", err)
	}
	if len(m.Certificates) >= maxCertificates {
		return fail(KindTooLarge, "The metadata has more than %d certificates for one IdP.", maxCertificates)
	}
	shown := Certificate{SHA256: hexSHA256(der), Subject: certificate.Subject.String(), NotBefore: certificate.NotBefore.UTC(), NotAfter: certificate.NotAfter.UTC(),
		Use: use, Key: keyName(certificate.PublicKey)}
	if err := xmldsig.CheckKey(certificate.PublicKey); err != nil {
		shown.Weak = err.Error()
	}
	for i, known := range m.Certificates {
		if known.SHA256 == shown.SHA256 {
			if known.Use == use || known.Use == UseBoth {
				return nil
			}
			m.Certificates[i].Use = UseBoth
			m.trust(der, use, shown.Weak)
			return nil
		}
	}
	m.Certificates = append(m.Certificates, shown)
	m.trust(der, use, shown.Weak)
	return nil
}

func (m *Metadata) trust(der []byte, use Use, weak string) {
	if use != UseEncryption {
		if weak != "" {
			m.Warnings = append(m.Warnings, "The certificate "+hexSHA256(der)[:16]+" is not trusted for signatures: "+weak+".")
		} else {
			m.Trust.SigningCertificates = append(m.Trust.SigningCertificates, der)
		}
	}
	if use != UseSigning {
		m.Trust.EncryptionCertificates = append(m.Trust.EncryptionCertificates, der)
	}
}

func hexSHA256(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func keyName(key any) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	default:
		return fmt.Sprintf("%T", key)
	}
}

// checkEndpoint refuses a URL that a browser must not be sent to with a SAML message.
func checkEndpoint(address string, allowHTTPLoopback bool) error {
	parsed, err := url.Parse(address)
	switch {
	case err != nil || parsed.Host == "" || parsed.User != nil:
		return fmt.Errorf("%s is not an absolute URL", clip(address))
	case parsed.Scheme == "https":
		return nil
	case parsed.Scheme == "http" && allowHTTPLoopback && isLoopback(parsed.Hostname()):
		return nil
	default:
		return fmt.Errorf("%s is not https", clip(address))
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
