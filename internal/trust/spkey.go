package trust

import (
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"time"

	"sallyport.dev/sallyport/internal/snapshot"
)

// spKeyBits is the size of our own RSA keys: what NIST SP 800-57 takes to be enough beyond 2030.
const spKeyBits = 3072

// NewSPKey makes a key pair and a self-signed certificate for one connection, in the phase Next. It takes some tenths of a second.
func NewSPKey(now time.Time, entityID string, lifetime time.Duration, random io.Reader) (snapshot.SPKey, error) {
	key, err := rsa.GenerateKey(random, spKeyBits)
	if err != nil {
		return snapshot.SPKey{}, err
	}
	serial := make([]byte, 16)
	if _, err := io.ReadFull(random, serial); err != nil {
		return snapshot.SPKey{}, err
	}
	serial[0] &= 0x7f // positive (RFC 5280 4.1.2.2)
	template := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(serial),
		Subject:               pkix.Name{CommonName: commonName(entityID)},
		NotBefore:             now.Add(-5 * time.Minute).UTC(), // the other side's clock may be behind
		NotAfter:              now.Add(lifetime).UTC(),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(random, template, template, key.Public(), key)
	if err != nil {
		return snapshot.SPKey{}, fmt.Errorf("making the certificate of %s: %w", entityID, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return snapshot.SPKey{}, err
	}
	return snapshot.SPKey{Phase: snapshot.KeyNext, Certificate: certificate, PrivateKey: private}, nil
}

// commonName fits the entity ID into the 64 characters of a common name (RFC 5280, ub-common-name).
func commonName(entityID string) string {
	const most = 64
	if runes := []rune(entityID); len(runes) > most {
		return string(runes[len(runes)-most:])
	}
	return entityID
}
