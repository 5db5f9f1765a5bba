package trust

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"sync"
	"time"

	"sallyport.dev/sallyport/internal/saml/xmldsig"
	"sallyport.dev/sallyport/internal/snapshot"
)

const (
	// spKeyBits is the size of our own RSA keys: 128 bits of security (NIST SP 800-57 part 1, table 2).
	spKeyBits = 3072
	// backdated lets a certificate be valid for partners whose clock is behind.
	backdated = 5 * time.Minute
	// maxCommonName is X.520's bound.
	maxCommonName = 64
)

// NewSPKey makes an RSA-3072 key with a self-signed certificate for a connection, valid from now on for lifetime. It is a KeyNext: nothing
// signs with it before it was published. A nil random is the system's.
func NewSPKey(now time.Time, entityID string, lifetime time.Duration, random io.Reader) (snapshot.SPKey, error) {
	key, err := NewRSAKey(random)
	if err != nil {
		return snapshot.SPKey{}, err
	}
	return CertifySPKey(key, now, entityID, lifetime, random)
}

// NewRSAKey makes an RSA-3072 key. It takes some tenths of a second, so whoever has to be quick makes some in advance. A nil random is the system's.
func NewRSAKey(random io.Reader) (*rsa.PrivateKey, error) {
	if random == nil {
		random = rand.Reader
	}
	key, err := rsa.GenerateKey(random, spKeyBits)
	if err != nil {
		return nil, fmt.Errorf("make an RSA key: %w", err)
	}
	return key, nil
}

// NewHeaderKey makes an ECDSA P-256 key for the signed header of the service provider at a URL. Its certificate, which nobody is shown, says how old it may become.
func NewHeaderKey(now time.Time, url string, lifetime time.Duration) (snapshot.SPKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return snapshot.SPKey{}, fmt.Errorf("make an ECDSA key: %w", err)
	}
	return CertifySPKey(key, now, url, lifetime, nil)
}

// CertifySPKey is NewSPKey with a key that was made before and that nothing else has used.
func CertifySPKey(key crypto.Signer, now time.Time, entityID string, lifetime time.Duration, random io.Reader) (snapshot.SPKey, error) {
	if lifetime <= 0 {
		return snapshot.SPKey{}, errors.New("the lifetime of a certificate must be positive")
	}
	if random == nil {
		random = rand.Reader
	}
	serial, err := rand.Int(random, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return snapshot.SPKey{}, fmt.Errorf("make a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)),
		Subject:               pkix.Name{CommonName: commonName(entityID)},
		NotBefore:             now.Add(-backdated).UTC(),
		NotAfter:              now.Add(lifetime).UTC(),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
	if _, isRSA := key.(*rsa.PrivateKey); isRSA {
		// Session keys of encrypted assertions are wrapped with the same key, so it is for both.
		template.KeyUsage |= x509.KeyUsageKeyEncipherment
		template.SignatureAlgorithm = x509.SHA256WithRSA
	}
	if u, err := url.Parse(entityID); err == nil && u.Scheme != "" {
		template.URIs = []*url.URL{u}
	}
	certificate, err := x509.CreateCertificate(random, template, template, key.Public(), key)
	if err != nil {
		return snapshot.SPKey{}, fmt.Errorf("sign a certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return snapshot.SPKey{}, fmt.Errorf("encode a private key: %w", err)
	}
	return snapshot.SPKey{Phase: snapshot.KeyNext, Certificate: certificate, PrivateKey: private}, nil
}

// commonName is the entity ID, or its end when it is too long: the end has the connection's name.
func commonName(entityID string) string {
	if len(entityID) <= maxCommonName {
		return entityID
	}
	return entityID[len(entityID)-maxCommonName:]
}

// ParseKeyPair reads a key pair that a user brought, as in a Secret of type kubernetes.io/tls. Of a chain the first certificate is taken.
// The error is the end of a sentence that starts with the Secret's name, and names the key of its data.
func ParseKeyPair(certificatePEM, keyPEM []byte) (snapshot.SPKey, error) {
	if len(certificatePEM) > maxPEMBytes || len(keyPEM) > maxPEMBytes {
		return snapshot.SPKey{}, fmt.Errorf("is larger than %d bytes", maxPEMBytes)
	}
	block, _ := pem.Decode(certificatePEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return snapshot.SPKey{}, errors.New("has no PEM certificate in tls.crt")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return snapshot.SPKey{}, errors.New("has something in tls.crt that does not parse as an X.509 certificate")
	}
	private, err := parsePrivateKey(keyPEM)
	if err != nil {
		return snapshot.SPKey{}, err
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return snapshot.SPKey{}, errors.New("has a private key in tls.key that cannot sign: bring an RSA or ECDSA key")
	}
	if public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(certificate.PublicKey) {
		return snapshot.SPKey{}, errors.New("has a certificate in tls.crt that does not belong to the private key in tls.key")
	}
	if err := xmldsig.CheckKey(certificate.PublicKey); err != nil {
		return snapshot.SPKey{}, fmt.Errorf("cannot be used: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return snapshot.SPKey{}, errors.New("has a private key in tls.key that cannot be used")
	}
	return snapshot.SPKey{Phase: snapshot.KeyNext, Certificate: certificate.Raw, PrivateKey: der}, nil
}

func parsePrivateKey(keyPEM []byte) (any, error) {
	for block, rest := pem.Decode(keyPEM); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
				return key, nil
			}
		case "RSA PRIVATE KEY":
			if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
				return key, nil
			}
		case "EC PRIVATE KEY":
			if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
				return key, nil
			}
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("has an encrypted private key in tls.key: bring it without a passphrase, the Secret protects it")
		}
	}
	return nil, errors.New("has no PEM private key in tls.key that parses")
}

func sameKey(a, b snapshot.SPKey) bool { return bytes.Equal(a.Certificate, b.Certificate) }

// mostEnds bounds how many ends of certificates are remembered.
const mostEnds = 10_000

// ends are when certificates expire, by digest. Every pass asks it of every connection, and parsing takes longer than all the rest of a plan.
var ends = struct {
	sync.Mutex
	of map[[sha256.Size]byte]time.Time
}{of: map[[sha256.Size]byte]time.Time{}}

// notAfter is when the certificate of a key expires; zero when it does not parse.
func notAfter(key snapshot.SPKey) time.Time {
	sum := sha256.Sum256(key.Certificate)
	ends.Lock()
	defer ends.Unlock()
	if end, known := ends.of[sum]; known {
		return end
	}
	certificate, err := x509.ParseCertificate(key.Certificate)
	if err != nil {
		return time.Time{}
	}
	if len(ends.of) >= mostEnds {
		clear(ends.of)
	}
	ends.of[sum] = certificate.NotAfter
	return certificate.NotAfter
}
