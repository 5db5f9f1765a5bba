package simplesamlphp

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/sallyport/test/internal/daemon"
	"sallyport.dev/sallyport/test/internal/loopback"
)

// IdP is a running SimpleSAMLphp.
type IdP struct {
	t      testing.TB
	config Config
	// Address is the loopback address and port that it listens on, in plain HTTP.
	Address string
	dir     string
}

// Start runs the IdP until the test ends. Browsers reach it at baseURL, which a proxy must pass on to Address with its path kept;
// an empty baseURL takes Address itself.
func Start(t testing.TB, baseURL string) *IdP {
	t.Helper()
	address := loopback.Free(t)
	if baseURL == "" {
		baseURL = "http://" + address + "/simplesaml/"
	}
	dir := t.TempDir()
	idp := &IdP{t: t, Address: address, dir: dir, config: Config{BaseURL: baseURL, Dir: dir, RunDir: filepath.Join(dir, "run"), Users: Users()}}
	for _, folder := range []string{"config", "metadata", "cert", "run/tmp", "docroot"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(CodeDir+"/www", filepath.Join(dir, "docroot", "simplesaml")); err != nil {
		t.Fatal(err)
	}
	idp.newKey("idp")
	idp.write()
	idp.run()
	return idp
}

// Register makes the IdP trust the service providers, and no others.
func (i *IdP) Register(sps ...SP) {
	i.t.Helper()
	i.config.SPs = sps
	i.write()
}

// AddUsers adds accounts.
func (i *IdP) AddUsers(users ...User) {
	i.t.Helper()
	i.config.Users = append(i.config.Users, users...)
	i.write()
}

// PublishNextKey puts a second signing key into the metadata. The IdP goes on signing with the first until SwitchKey.
func (i *IdP) PublishNextKey() {
	i.t.Helper()
	i.newKey("next")
	i.config.NextKey = true
	i.write()
}

// SwitchKey signs with the key that PublishNextKey published, and publishes it alone.
func (i *IdP) SwitchKey() {
	i.t.Helper()
	for _, suffix := range []string{".key", ".crt"} {
		if err := os.Rename(filepath.Join(i.dir, "cert", "next"+suffix), filepath.Join(i.dir, "cert", "idp"+suffix)); err != nil {
			i.t.Fatalf("PublishNextKey comes first: %v", err)
		}
	}
	i.config.NextKey = false
	i.write()
}

// EntityID is the IdP's own name.
func (i *IdP) EntityID() string { return i.config.EntityID() }

// Metadata reads the metadata that the IdP publishes now.
func (i *IdP) Metadata() []byte {
	i.t.Helper()
	response, err := http.Get("http://" + i.Address + "/simplesaml/saml2/idp/metadata.php")
	if err != nil {
		i.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil || response.StatusCode != http.StatusOK {
		i.t.Fatalf("metadata: %s %v\n%s\n%s", response.Status, err, body, i.Log())
	}
	return body
}

func (i *IdP) newKey(name string) {
	i.t.Helper()
	key, certificate, err := NewKey("SimpleSAMLphp " + name)
	if err != nil {
		i.t.Fatal(err)
	}
	i.put("cert/"+name+".key", key)
	i.put("cert/"+name+".crt", certificate)
}

func (i *IdP) write() {
	i.t.Helper()
	for path, content := range i.config.Files() {
		i.put(path, []byte(content))
	}
}

// put replaces a file in one step: PHP reads the files at every request.
func (i *IdP) put(path string, content []byte) {
	i.t.Helper()
	full := filepath.Join(i.dir, path)
	if err := os.WriteFile(full+".new", content, 0o600); err != nil {
		i.t.Fatal(err)
	}
	if err := os.Rename(full+".new", full); err != nil {
		i.t.Fatal(err)
	}
}

func (i *IdP) run() {
	i.t.Helper()
	command := exec.Command("php", Arguments(i.Address, filepath.Join(i.dir, "docroot"))...)
	command.Env = append(os.Environ(), "SIMPLESAMLPHP_CONFIG_DIR="+filepath.Join(i.dir, "config"))
	i.t.Cleanup(func() {
		if i.t.Failed() {
			i.t.Logf("SimpleSAMLphp's log:\n%s", i.Log())
		}
	})
	daemon.Run(i.t, command, "apt-get install simplesamlphp php-cli php-xml php-mbstring php-curl").AwaitListening(i.Address)
}

// Arguments are php's, for its built-in server. documentRoot has the program at the path that BaseURL names: CodeDir/www itself for a BaseURL without a
// path. The deprecations are Debian's pairing of PHP 8.2 with an older SimpleSAMLphp. Neither paths nor code are used unseen from a
// cache: the files change while it runs, and a volume that changes has them in another folder from then on.
func Arguments(address, documentRoot string) []string {
	return []string{"-d", "realpath_cache_size=0", "-d", "opcache.revalidate_freq=0", "-d", "display_errors=0", "-d", "log_errors=0", "-d", "error_reporting=E_ALL & ~E_DEPRECATED", "-S", address, "-t", documentRoot}
}

// Log is the end of what the IdP wrote to its own log.
func (i *IdP) Log() string {
	content, err := os.ReadFile(filepath.Join(i.dir, "run", "simplesamlphp.log"))
	if err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	lines := strings.Split(string(content), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}
