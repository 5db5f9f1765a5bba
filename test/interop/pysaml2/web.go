package pysaml2

import (
	"embed"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sallyport.dev/sallyport/test/internal/daemon"
	"sallyport.dev/sallyport/test/internal/loopback"
	"sallyport.dev/sallyport/test/interop/simplesamlphp"
)

//go:embed idp.py web.py
var programs embed.FS

// IdP is pysaml2 behind a web page.
type IdP struct {
	t testing.TB
	// Address is the loopback address and port that it listens on, in plain HTTP.
	Address, dir string
}

// Start runs the IdP until the test ends; browsers reach it at base. environment has SIGNR=1 and ENC=1 where they are wanted.
func Start(t testing.TB, base string, environment ...string) *IdP {
	t.Helper()
	idp := &IdP{t: t, Address: loopback.Free(t), dir: t.TempDir()}
	key, certificate, err := simplesamlphp.NewKey("pysaml2")
	if err != nil {
		t.Fatal(err)
	}
	users, err := json.Marshal(simplesamlphp.Users())
	if err != nil {
		t.Fatal(err)
	}
	// Until Register, it knows no service provider.
	nobody := []byte(`<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata"/>`)
	for name, content := range map[string][]byte{"idp.key": key, "idp.crt": certificate, "users.json": users, "sp.xml": nobody} {
		idp.put(name, content)
	}
	for _, name := range []string{"idp.py", "web.py"} {
		content, err := programs.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		idp.put(name, content)
	}
	_, port, err := net.SplitHostPort(idp.Address)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("/usr/bin/python3", filepath.Join(idp.dir, "web.py"), idp.dir, port)
	command.Env = append(append(os.Environ(), "BASE="+base, "PYTHONDONTWRITEBYTECODE=1"), environment...)
	daemon.Run(t, command, "apt-get install python3-pysaml2 xmlsec1").AwaitListening(idp.Address)
	return idp
}

// Metadata reads the metadata that the IdP publishes.
func (i *IdP) Metadata() []byte {
	i.t.Helper()
	response, err := http.Get("http://" + i.Address + "/metadata")
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
	i.put("sp.xml", metadata)
}

func (i *IdP) put(name string, content []byte) {
	i.t.Helper()
	if err := os.WriteFile(filepath.Join(i.dir, name), content, 0o600); err != nil {
		i.t.Fatal(err)
	}
}
