package replicas

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// keep is the folder that TestThisReleaseIsKept fills.
var keep = flag.String("keep", "", "keep the estate of this release in this folder, for the tests of later ones")

// keptObjects are of an estate; %q is the metadata of its IdP. What they leave out has its default.
const keptObjects = `apiVersion: sso.sallyport.dev/v1alpha1
kind: ServiceProvider
metadata: {name: main, namespace: sso}
spec:
  url: https://sso.example.com
  session: {cookie: {domain: example.com}}
  redirects: {allowedHosts: ["*.example.com"]}
  proxies: {trusted: [127.0.0.0/8]}
  profileAttributes: [{name: department}]
---
apiVersion: sso.sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: okta, namespace: sso}
spec:
  serviceProviderRef: {name: main}
  type: Okta
  provisioning: {secondFactor: Required}
  saml: {metadata: {inline: %[1]q}}
---
apiVersion: sso.sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: partners, namespace: sso}
spec:
  serviceProviderRef: {name: main}
  type: Okta
  catchAll: Enabled
  saml: {metadata: {inline: %[1]q}}
---
apiVersion: sso.sallyport.dev/v1alpha1
kind: DomainBinding
metadata: {name: acme, namespace: sso}
spec: {domain: acme.example, identityProviderRef: {name: okta}}
`

// belongings are what people have in their hands: dave's cookies, and the recovery codes of alice.
type belongings struct {
	Cookies map[string]string
	Codes   []string
}

// TestThisReleaseIsKept makes what the tests of later releases start from: what a ServiceProvider serves, its keys, and its store, in which people have signed in. CONTRIBUTING.md
// says when. It needs Debian's sqlite3.
func TestThisReleaseIsKept(t *testing.T) {
	if *keep == "" {
		t.Skip("no folder is named with -keep")
	}
	r := newRig(t, storetest.SQLiteURL(t))
	file := func(name string) string { return filepath.Join(*keep, name) }
	save := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(file(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"factors", "audit"} {
		content, err := os.ReadFile(filepath.Join(r.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		save(name, content)
	}
	key, err := x509.MarshalPKCS8PrivateKey(r.idp.Key)
	if err != nil {
		t.Fatal(err)
	}
	save("idp.pem", slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.idp.Certificate})))
	save("objects.yaml", fmt.Appendf(nil, keptObjects, r.idp.Metadata()))
	run(t, "go", "run", "sallyport.dev/sallyport/cmd/kubectl-sso", "render", "-o", file("snapshot"), file("objects.yaml"))
	storetest.Each(t, func(t *testing.T, storeURL string) {
		e := keptEstate(t, *keep, storeURL)
		had, err := json.Marshal(e.inhabited())
		if err != nil {
			t.Fatal(err)
		}
		save(e.database()+".json", had)
		save(e.database()+".sql", e.dump())
	})
}

// inhabited lets people sign in: dave, alice with a second factor, and carol, who is suspended then.
func (e *estate) inhabited() (had belongings) {
	e.t.Helper()
	p := e.start()
	e.connection = e.catchAll
	dave := e.browser(p)
	if !dave.signIn("dave@partner.example") {
		e.t.Fatal("dave is not signed in")
	}
	had.Cookies = map[string]string{}
	for _, cookie := range dave.Jar.Cookies(&url.URL{Scheme: "https", Host: "grafana.example.com", Path: "/"}) {
		had.Cookies[cookie.Name] = cookie.Value
	}
	e.connection = e.okta
	had.Codes = e.halfway(p, "id-of-alice@acme.example", "alice@acme.example").enrol()
	e.halfway(p, "id-of-carol@acme.example", "carol@acme.example")
	if code := p.api("POST", "/v1/users/carol@acme.example/suspend", `{"reason":"left"}`, nil); code/100 != 2 {
		e.t.Fatal(code)
	}
	p.Stop()
	return had
}

// keptEstate is what a release has left in a folder, with a store.
func keptEstate(t *testing.T, folder, storeURL string) *estate {
	t.Helper()
	e := &estate{rig: newRig(t, storeURL)}
	files, err := filepath.Glob(filepath.Join(folder, "snapshot", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, filepath.Join(folder, "factors"), filepath.Join(folder, "audit")) {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		name, _ = filepath.Rel(folder, name)
		e.write(name, content)
	}
	e.idp.Key, e.idp.Certificate = keptKey(t, filepath.Join(folder, "idp.pem"))
	s, _, err := snapshot.Read(os.DirFS(filepath.Join(folder, "snapshot")))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Connections) != 2 || s.Connections[0].Name != "okta" {
		t.Fatalf("it has the connections %+v", s.Connections)
	}
	e.okta, e.catchAll = s.Connections[0], s.Connections[1]
	e.connection = e.okta
	return e
}

func keptKey(t *testing.T, file string) (crypto.Signer, []byte) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	private, rest := pem.Decode(content)
	certificate, _ := pem.Decode(rest)
	key, err := x509.ParsePKCS8PrivateKey(private.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(crypto.Signer), certificate.Bytes
}

func (r *rig) database() string {
	if strings.HasPrefix(r.storeURL, "sqlite") {
		return "sqlite"
	}
	return "postgres"
}

// dump is the store as SQL.
func (r *rig) dump() []byte {
	r.t.Helper()
	if file, isSQLite := strings.CutPrefix(r.storeURL, "sqlite://"); isSQLite {
		return run(r.t, "sqlite3", file, ".dump")
	}
	programs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	lines := strings.SplitAfter(string(run(r.t, filepath.Join(programs[len(programs)-1], "pg_dump"), "--inserts", "--no-owner", r.storeURL)), "\n")
	return []byte(strings.Join(slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, `\`) }), "")) // what is for psql alone
}

func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return out
}
