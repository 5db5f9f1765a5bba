package docs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// putCertificates writes a certificate where the pages print the beginning of one.
func putCertificates(t *testing.T, content map[string]any) {
	manual, _ := at(content, "spec", "saml", "metadata", "manual").(map[string]any)
	if manual == nil {
		return
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	list, _ := manual["certificates"].([]any)
	for i := range list {
		if list[i] == "-----BEGIN CERTIFICATE-----\n...\n" {
			list[i] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		}
	}
}
