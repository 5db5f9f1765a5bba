// Package samlp runs an identity provider by Auth0's samlp for Node.js. npm installs it into the user's cache when a test first wants
// it, as package-lock.json says: exact versions, each with its digest.
package samlp

import (
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crewjam/saml"

	"sallyport.dev/sallyport/test/internal/daemon"
	"sallyport.dev/sallyport/test/internal/loopback"
	"sallyport.dev/sallyport/test/interop/simplesamlphp"
)

//go:embed package.json
var manifest []byte

//go:embed package-lock.json
var lock []byte

//go:embed idp.js
var program []byte

const hint = "install Node.js and npm: make test-deps"

// Options say what the IdP sends.
type Options struct {
	// Signing is assertion, response or both.
	Signing string
	// Encryption is the URI of a block cipher, or empty.
	Encryption string
}

// IdP is a running samlp.
type IdP struct {
	t testing.TB
	// Address is the loopback address and port that it listens on, in plain HTTP.
	Address, dir string
}

// Start runs the IdP until the test ends; browsers reach it at base.
func Start(t testing.TB, base string, o Options) *IdP {
	t.Helper()
	modules, err := install()
	if err != nil {
		t.Fatalf("%v (%s)", err, hint)
	}
	idp := &IdP{t: t, Address: loopback.Free(t), dir: t.TempDir()}
	key, certificate, err := simplesamlphp.NewKey("samlp")
	if err != nil {
		t.Fatal(err)
	}
	users, err := json.Marshal(simplesamlphp.Users())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"idp.key": key, "idp.crt": certificate, "users.json": users, "idp.js": program} {
		idp.put(name, content)
	}
	arguments := []string{"--no-deprecation", filepath.Join(idp.dir, "idp.js"), idp.dir, idp.Address, base, o.Signing}
	if o.Encryption != "" {
		arguments = append(arguments, o.Encryption)
	}
	command := exec.Command("node", arguments...)
	command.Env = append(os.Environ(), "NODE_PATH="+modules)
	daemon.Run(t, command, hint).AwaitListening(idp.Address)
	return idp
}

// install brings samlp into the user's cache, once for each content of package-lock.json.
func install() (modules string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "sallyport-test", fmt.Sprintf("samlp-%.8x", sha256.Sum256(lock)))
	modules = filepath.Join(dir, "node_modules")
	// npm writes this file last.
	if _, err := os.Stat(filepath.Join(modules, ".package-lock.json")); err == nil {
		return modules, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for name, content := range map[string][]byte{"package.json": manifest, "package-lock.json": lock} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return "", err
		}
	}
	command := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return modules, nil
}

// Metadata reads the metadata that the IdP publishes.
func (i *IdP) Metadata(host string) []byte {
	i.t.Helper()
	request, err := http.NewRequest(http.MethodGet, "http://"+i.Address+"/metadata", nil)
	if err != nil {
		i.t.Fatal(err)
	}
	request.Host = host
	request.Header.Set("X-Forwarded-Proto", "https")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		i.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil || response.StatusCode != http.StatusOK {
		i.t.Fatalf("metadata: %s %v\n%s", response.Status, err, body)
	}
	return body
}

// Register makes the IdP trust the service provider of this metadata.
func (i *IdP) Register(metadata []byte) {
	i.t.Helper()
	var entity saml.EntityDescriptor
	if err := xml.Unmarshal(metadata, &entity); err != nil {
		i.t.Fatal(err)
	}
	descriptor := entity.SPSSODescriptors[0]
	sp := map[string]string{"entityID": entity.EntityID, "acsURL": descriptor.AssertionConsumerServices[0].Location}
	for _, k := range descriptor.KeyDescriptors {
		der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(k.KeyInfo.X509Data.X509Certificates[0].Data), ""))
		if err != nil {
			i.t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			i.t.Fatal(err)
		}
		public, err := x509.MarshalPKIXPublicKey(certificate.PublicKey)
		if err != nil {
			i.t.Fatal(err)
		}
		text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		if k.Use != "encryption" && sp["signingCertificate"] == "" {
			sp["signingCertificate"] = text
		}
		if k.Use != "signing" && sp["encryptionCertificate"] == "" {
			sp["encryptionCertificate"] = text
			sp["encryptionPublicKey"] = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
		}
	}
	content, err := json.Marshal(sp)
	if err != nil {
		i.t.Fatal(err)
	}
	i.put("sp.json", content)
}

func (i *IdP) put(name string, content []byte) {
	i.t.Helper()
	if err := os.WriteFile(filepath.Join(i.dir, name), content, 0o600); err != nil {
		i.t.Fatal(err)
	}
}
