// Package modcache finds files that come inside of Go modules, so that tests read other projects' test data where it is and no copy
// of it is kept.
package modcache

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Dir is the directory of a module of this build in the module cache.
func Dir(module string) (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("modcache: go list -m %s: %w", module, err)
	}
	dir := strings.TrimSpace(string(out))
	if dir == "" {
		return "", fmt.Errorf("modcache: %s is not in the module cache: run go mod download", module)
	}
	return dir, nil
}

// RSAKey reads an RSA private key in PEM, PKCS #1 or PKCS #8.
func RSAKey(file string) (*rsa.PrivateKey, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("modcache: %s is not PEM", file)
	}
	if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return k, nil
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := k.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("modcache: %s is not an RSA key", file)
	}
	return key, nil
}

// FuzzKeys are two RSA keys that are the same in every process, so that what one process of a fuzzing run signed verifies in another:
// 4,096 bits from crewjam/saml's test data and 2,048 from gosaml2's.
func FuzzKeys() (idp, sp *rsa.PrivateKey, err error) {
	crewjam, err := Dir("github.com/crewjam/saml")
	if err != nil {
		return nil, nil, err
	}
	gosaml2, err := Dir("github.com/russellhaering/gosaml2")
	if err != nil {
		return nil, nil, err
	}
	if idp, err = RSAKey(filepath.Join(crewjam, "xmlenc", "testdata", "cert.key")); err != nil {
		return nil, nil, err
	}
	sp, err = RSAKey(filepath.Join(gosaml2, "providertests", "testdata", "onelogin", "sp.encryption.key"))
	return idp, sp, err
}
