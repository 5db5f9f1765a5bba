package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
)

// maxPEMBytes bounds what is read as PEM, and maxPEMBlocks how many certificates of it.
const (
	maxPEMBytes  = 256 << 10
	maxPEMBlocks = 64
)

// maxCertificateBytes bounds one certificate, and maxTrustBytes all of an identity provider that are trusted: they are in a Secret together with those of others, which
// must not be kept out by the size of one.
const (
	maxCertificateBytes = 16 << 10
	maxTrustBytes       = 128 << 10
)

func hexSHA256(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// keys reads every KeyDescriptor of the role (saml-metadata 2.4.1.1). Dates are reported, not enforced: the metadata vouches for the key.
func (r *reading) keys(role *xmldoc.Node) error {
	var broken, weak string
	for n := role.First; n != nil; n = n.Next {
		if !n.Is(nsMetadata, "KeyDescriptor") {
			continue
		}
		use, ok := keyUse(n)
		if !ok {
			r.warn("A key in the metadata is for something else than signing and encryption, and was left out.")
			continue
		}
		certificates, failed := keyCertificates(n)
		if failed > 0 {
			broken = "A certificate in the metadata does not parse as X.509, and was left out."
			r.warn(broken)
		}
		if len(certificates) == 0 && failed == 0 {
			r.warn("A key in the metadata has no certificate, and was left out: only X509Certificate is read.")
		}
		for _, certificate := range certificates {
			if problem := r.m.add(certificate, use); problem != "" {
				weak = problem
				r.warn(problem)
			}
		}
	}
	switch {
	case len(r.m.Trust.SigningCertificates) > 0:
		return nil
	case broken != "":
		return fail(KindBadCertificate, "The identity provider has no signing certificate that can be used. %s", broken)
	case weak != "":
		return fail(KindNoSigningKey, "The identity provider has no signing key that can be used. %s", weak)
	}
	return fail(KindNoSigningKey, "The identity provider has no signing certificate in its metadata, so no response could be verified.")
}

// add takes a certificate, and returns why its key is not trusted if it is not. The same certificate for signing and for encryption is
// listed once, for both.
func (m *Metadata) add(certificate *x509.Certificate, use Use) (problem string) {
	listed := describe(certificate, use)
	if listed.Weak != "" {
		problem = fmt.Sprintf("The certificate %s is not trusted: %s.", listed.SHA256, listed.Weak)
	}
	i := slices.IndexFunc(m.Certificates, func(c Certificate) bool { return c.SHA256 == listed.SHA256 })
	switch {
	case i < 0 && len(m.Certificates) == maxKeys:
		return fmt.Sprintf("There are more than %d certificates, and the rest was left out.", maxKeys)
	case listed.Weak == "" && m.trustBytes()+len(certificate.Raw) > maxTrustBytes:
		return fmt.Sprintf("The certificates have more than %d bytes together, and the rest was left out.", maxTrustBytes)
	case i < 0:
		m.Certificates = append(m.Certificates, listed)
	case m.Certificates[i].Use != use:
		m.Certificates[i].Use = UseBoth
	}
	if listed.Weak != "" {
		return problem
	}
	take := func(list *[][]byte) {
		if !slices.ContainsFunc(*list, func(der []byte) bool { return bytes.Equal(der, certificate.Raw) }) {
			*list = append(*list, certificate.Raw)
		}
	}
	if use != UseEncryption {
		take(&m.Trust.SigningCertificates)
	}
	if use != UseSigning {
		take(&m.Trust.EncryptionCertificates)
	}
	return ""
}

// trustBytes is how long the certificates are that are trusted. One for signing and for encryption counts twice, as it is kept twice.
func (m *Metadata) trustBytes() (all int) {
	for _, list := range [][][]byte{m.Trust.SigningCertificates, m.Trust.EncryptionCertificates} {
		for _, der := range list {
			all += len(der)
		}
	}
	return all
}

func describe(certificate *x509.Certificate, use Use) Certificate {
	c := Certificate{
		SHA256: hexSHA256(certificate.Raw), Subject: clip(certificate.Subject.String()),
		NotBefore: certificate.NotBefore.UTC(), NotAfter: certificate.NotAfter.UTC(), Use: use, Key: keyName(certificate.PublicKey),
	}
	if err := xmldsig.CheckKey(certificate.PublicKey); err != nil {
		c.Weak = err.Error()
	} else if len(certificate.Raw) > maxCertificateBytes {
		c.Weak = fmt.Sprintf("a certificate of %d bytes is not used; it must have at most %d", len(certificate.Raw), maxCertificateBytes)
	}
	return c
}

func keyName(public any) string {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "unknown"
}

func keyUse(descriptor *xmldoc.Node) (Use, bool) {
	value, ok := descriptor.Attr("use")
	switch {
	case !ok:
		return UseBoth, true
	case value == "signing":
		return UseSigning, true
	case value == "encryption":
		return UseEncryption, true
	}
	return "", false
}

// keyCertificates returns the certificates of a key, and how many do not parse. An X509Data with a chain has one key, the leaf's: the
// authorities above it must never verify a response.
func keyCertificates(descriptor *xmldoc.Node) (certificates []*x509.Certificate, failed int) {
	for info := descriptor.First; info != nil; info = info.Next {
		if !info.Is(xmldsig.Space, "KeyInfo") {
			continue
		}
		for data := info.First; data != nil; data = data.Next {
			if !data.Is(xmldsig.Space, "X509Data") {
				continue
			}
			var chain []*x509.Certificate
			for n := data.First; n != nil; n = n.Next {
				if !n.Is(xmldsig.Space, "X509Certificate") {
					continue
				}
				certificate, err := parseBase64(n.Text)
				if err != nil || len(chain) >= maxKeys {
					failed++
					continue
				}
				chain = append(chain, certificate)
			}
			certificates = append(certificates, leaves(chain)...)
		}
	}
	return certificates, failed
}

// parseBase64 reads a certificate in base64 with any white space in it. Some products put PEM armour around it; that is read too.
func parseBase64(text string) (*x509.Certificate, error) {
	text = strings.TrimSpace(text)
	text = strings.TrimPrefix(text, "-----BEGIN CERTIFICATE-----")
	text = strings.TrimSuffix(text, "-----END CERTIFICATE-----")
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, errors.New("is not base64")
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New("does not parse as an X.509 certificate")
	}
	return certificate, nil
}

// leaves returns the certificates that did not issue another one of the list.
func leaves(chain []*x509.Certificate) []*x509.Certificate {
	if len(chain) < 2 {
		return chain
	}
	return slices.DeleteFunc(slices.Clone(chain), func(authority *x509.Certificate) bool {
		return authority.IsCA && slices.ContainsFunc(chain, func(c *x509.Certificate) bool {
			return !bytes.Equal(c.Raw, authority.Raw) && bytes.Equal(c.RawIssuer, authority.RawSubject) && !bytes.Equal(c.RawSubject, authority.RawSubject) &&
				c.CheckSignatureFrom(authority) == nil
		})
	})
}

// CheckAuthorities says what is wrong with a PEM text of authorities, as the end of a sentence like those of ParsePEM. At most 256 KiB are read, and as many certificates as
// are in them: the bundles of clouds have more than a hundred.
func CheckAuthorities(text []byte) error {
	if len(text) > maxPEMBytes {
		return fmt.Errorf("is larger than %d bytes: leave out the authorities that are not needed", maxPEMBytes)
	}
	found := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return errors.New("has a private key in it: remove it, consider it known to others, and write the certificates alone")
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if found++; !x509.NewCertPool().AppendCertsFromPEM(pem.EncodeToMemory(block)) {
			return fmt.Errorf("does not parse: certificate %d is not an X.509 certificate: copy it again, completely", found)
		}
	}
	if found < bytes.Count(text, []byte("-----BEGIN CERTIFICATE-----")) {
		return errors.New("is not well-formed PEM: a line is missing or was changed when it was copied")
	}
	if found == 0 {
		return errors.New("has no certificate in it: write the certificates of the authorities as PEM, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----")
	}
	return nil
}

// ParsePEM reads the certificates of a PEM text: one or more, chains reduced to their leaves, or the bare base64 of one. The error is
// the end of a sentence that starts with the name of the field, and quotes nothing of the text.
func ParsePEM(text string) ([]*x509.Certificate, error) {
	if len(text) > maxPEMBytes {
		return nil, fmt.Errorf("is larger than %d bytes", maxPEMBytes)
	}
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("is empty: write the certificate as PEM, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----")
	}
	if !strings.Contains(text, "-----BEGIN") {
		certificate, err := parseBase64(text)
		if err != nil {
			return nil, errors.New("is not PEM: write the certificate from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----")
		}
		return []*x509.Certificate{certificate}, nil
	}
	var chain []*x509.Certificate
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return nil, errors.New("has a private key in it: remove it, consider it known to others, and write the certificate alone")
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("has a PEM block of type %q: only CERTIFICATE is read", clip(block.Type))
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("does not parse: PEM block %d is not an X.509 certificate: copy it again, completely", len(chain)+1)
		}
		if len(chain) == maxPEMBlocks {
			return nil, fmt.Errorf("has more than %d certificates", maxPEMBlocks)
		}
		chain = append(chain, certificate)
	}
	if len(chain) == 0 || bytes.Contains(rest, []byte("-----BEGIN")) {
		return nil, errors.New("is not well-formed PEM: a line is missing or was changed when it was copied")
	}
	return leaves(chain), nil
}
