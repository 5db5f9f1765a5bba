// Package replicas runs several processes of the service provider on one PostgreSQL server, kills them, and takes the server away.
package replicas

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
	"sallyport.dev/sallyport/test/internal/daemon"
	"sallyport.dev/sallyport/test/internal/loopback"
)

const (
	ssoURL = "https://sso.example.com"
	appURL = "https://grafana.example.com/d/1?var=a&b=c"
	token  = "a-management-token-for-tests"
)

var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "sallyport-replicas-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "serviceprovider")
		if out, err := exec.Command("go", "build", "-o", program, "sallyport.dev/sallyport/cmd/serviceprovider").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		return storetest.Main(m)
	}())
}

// rig is one snapshot, one store and one IdP for any number of processes.
type rig struct {
	t          *testing.T
	dir        string
	storeURL   string
	idp        *samltest.IdP
	connection snapshot.Connection
	started    int
	// drain is how long a process serves on after SIGTERM.
	drain time.Duration
	// mutex guards idp and sp, which may change while people sign in.
	mutex *sync.Mutex
	// sp is what the IdP has read of our metadata. Nil: it has read none, so it verifies no request and encrypts nothing.
	sp *samltest.SP
}

func (r *rig) signer() *samltest.IdP {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.idp
}

// registered is what the IdP knows of us.
func (r *rig) registered() (verifies *xmldsig.Policy, encryptsTo []*rsa.PublicKey) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.sp == nil {
		return nil, nil
	}
	return r.sp.Verifies(), r.sp.EncryptsTo()
}

// register has the IdP read our metadata, at a replica: from now on it verifies requests with the certificates that are there, and encrypts to the first one for it.
func (r *rig) register(t *testing.T, p *replica) {
	t.Helper()
	got := r.browser(p).send(http.MethodGet, r.connection.MetadataURL, "none", nil)
	sp, err := samltest.ReadSP(strings.NewReader(got.body))
	if err != nil {
		t.Fatalf("our metadata: %d %v", got.status, err)
	}
	if len(sp.Signing) == 0 || sp.EncryptsTo() == nil {
		t.Fatalf("our metadata has no key to sign or to encrypt with: %s", got.body)
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.sp = sp
}

func newRig(t *testing.T, storeURL string) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), storeURL: storeURL, mutex: &sync.Mutex{}}
	var err error
	if r.idp, err = samltest.NewIdP("https://idp.acme.example/metadata", "https://idp.acme.example/sso", "", time.Now()); err != nil {
		t.Fatal(err)
	}
	if r.connection, err = r.idp.Connection(ssoURL, "okta", time.Now()); err != nil {
		t.Fatal(err)
	}
	r.connection.UID, r.connection.Enabled, r.connection.Provisioning.JIT, r.connection.Mapping = "uid-okta", true, true, identity.Preset("Okta")
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	r.write("token", []byte(token))
	r.write("store", []byte(storeURL))
	r.write("factors", []byte(base64.StdEncoding.EncodeToString(key)))
	_, auditKey, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(auditKey)
	if err != nil {
		t.Fatal(err)
	}
	r.write("audit", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err := os.Mkdir(filepath.Join(r.dir, "snapshot"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.publish([]snapshot.Connection{r.connection}, snapshot.Domain{Domain: "acme.example", Connection: "okta", Binding: "acme"})
	return r
}

// publish writes the snapshot that processes serve.
func (r *rig) publish(connections []snapshot.Connection, domains ...snapshot.Domain) {
	r.t.Helper()
	encoded, err := snapshot.Encode(snapshot.Snapshot{
		ServiceProvider: snapshot.ServiceProvider{
			Namespace: "sso", Name: "main", URL: ssoURL, AllowedHosts: []string{"*.example.com"}, TrustedProxies: []string{"127.0.0.0/8"},
			Session:           snapshot.Session{Lifetime: time.Hour, IdleTimeout: time.Hour, CookieDomain: "example.com", SameSite: "Lax"},
			ProfileAttributes: []snapshot.ProfileAttribute{{Name: "department", Mirror: true}},
		},
		Connections: connections, Domains: domains,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	for name, content := range encoded.Files {
		r.write(filepath.Join("snapshot", name), content)
	}
}

func (r *rig) write(name string, content []byte) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), content, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// store opens the store beside the processes, to look into it.
func (r *rig) store() *store.DB {
	r.t.Helper()
	return storetest.Open(r.t, r.storeURL, store.Options{AuditWriter: "checker"})
}

// replica is one process.
type replica struct {
	*daemon.Process
	t                  *testing.T
	public, management string
}

// start runs a process and returns when it is ready.
func (r *rig) start() *replica {
	r.t.Helper()
	p := r.launch()
	p.AwaitReady(p.management)
	return p
}

// launch runs a process, ready or not.
func (r *rig) launch() *replica {
	r.t.Helper()
	r.started++
	p := &replica{t: r.t, public: loopback.Free(r.t), management: loopback.Free(r.t)}
	command := exec.Command(program, "--snapshot-dir", filepath.Join(r.dir, "snapshot"), "--store-url-file", filepath.Join(r.dir, "store"), "--listen", p.public,
		"--management-listen", p.management, "--management-token-file", filepath.Join(r.dir, "token"), "--second-factor-key-file", filepath.Join(r.dir, "factors"),
		"--audit-key-file", filepath.Join(r.dir, "audit"), "--audit-successions-file", filepath.Join(r.dir, "successions"), "--audit-writer", fmt.Sprintf("replica-%d", r.started), "--drain", r.drain.String())
	command.Stdout = io.Discard // audit records
	p.Process = daemon.Run(r.t, command, "")
	r.t.Cleanup(p.Kill)
	return p
}

func (p *replica) probe(path string) int {
	response, err := http.Get("http://" + p.management + path)
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

// api calls the management API.
func (p *replica) api(method, path, body string, into any) int {
	p.t.Helper()
	request, err := http.NewRequest(method, "http://"+p.management+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	if into != nil {
		if err := json.NewDecoder(response.Body).Decode(into); err != nil {
			p.t.Fatal(err)
		}
	}
	return response.StatusCode
}

// browser keeps cookies and follows no redirect. to is the replica that the proxy in front sends it to; nil where that takes turns.
type browser struct {
	rig *rig
	to  *replica
	*http.Client
}

func (r *rig) browser(to *replica) *browser {
	b := r.browserAt(nil)
	b.to, b.Transport = to, b
	return b
}

// browserAt is a browser before a proxy.
func (r *rig) browserAt(proxy http.RoundTripper) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	follow := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{rig: r, Client: &http.Client{Jar: jar, Transport: proxy, Timeout: 20 * time.Second, CheckRedirect: follow}}
}

// RoundTrip is a proxy that knows one replica.
func (b *browser) RoundTrip(request *http.Request) (*http.Response, error) {
	return (&front{pods: []*replica{b.to}}).RoundTrip(request)
}

type answer struct {
	status   int
	location string
	body     string
}

// send makes a request; an answer without a status means that nobody answered.
func (b *browser) send(method, address, site string, form url.Values) answer {
	request, err := http.NewRequestWithContext(context.Background(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{body: err.Error()}
	}
	request.Header.Set("Accept", "text/html")
	request.Header.Set("Sec-Fetch-Site", site)
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := b.Do(request)
	if err != nil {
		return answer{body: err.Error()}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{body: err.Error()}
	}
	return answer{response.StatusCode, response.Header.Get("Location"), string(body)}
}

// begin types an address and returns the request that arrives at the IdP; nil with what was answered instead, by us or by an IdP that does not take the request.
func (b *browser) begin(email string) (*samltest.Request, answer) {
	got := b.send(http.MethodPost, ssoURL+"/signin", "same-origin", url.Values{"email": {email}, "rd": {appURL}})
	u, err := url.Parse(got.location)
	if err != nil || u.Host != "idp.acme.example" {
		return nil, got
	}
	verifies, _ := b.rig.registered()
	request, err := samltest.ReadQuery(u.RawQuery, verifies)
	if err != nil {
		return nil, answer{http.StatusForbidden, "", "the IdP does not take the request: " + err.Error()}
	}
	return request, got
}

// finish brings the IdP's answer to a request.
func (b *browser) finish(request *samltest.Request, email string) answer {
	return b.finishAs(request, "id-of-"+email, email)
}

// finishAs does the same with a persistent identifier of one's choice.
func (b *browser) finishAs(request *samltest.Request, subject, email string) answer {
	_, encryptsTo := b.rig.registered()
	form, err := b.rig.signer().Form(samltest.Response{
		Now: time.Now(), EncryptTo: encryptsTo, ACS: b.rig.connection.ACSURL, Audience: b.rig.connection.EntityID, InResponseTo: request.ID, NameID: subject, NameIDFormat: identity.FormatPersistent,
		Attributes: []samltest.Attribute{{Name: "email", Values: []string{email}}, {Name: "groups", Values: []string{"dev", "ops"}}, {Name: "department", Values: []string{"ML"}}},
	})
	if err != nil {
		return answer{body: err.Error()}
	}
	return b.send(http.MethodPost, b.rig.connection.ACSURL, "cross-site", url.Values{"SAMLResponse": {form}, "RelayState": {request.RelayState}})
}

// signIn does all of it and tells whether it ended where it began.
func (b *browser) signIn(email string) bool { return b.tryToSignIn(email).location == appURL }

// tryToSignIn does all of it as far as it goes, and returns the last answer.
func (b *browser) tryToSignIn(email string) answer {
	request, got := b.begin(email)
	if request == nil {
		return got
	}
	return b.finish(request, email)
}

// check asks as nginx does, at a replica.
func (b *browser) check(at *replica) int {
	b.to = at
	return b.ask()
}

// ask asks as nginx does, where the proxy in front leads.
func (b *browser) ask() int {
	return b.send(http.MethodGet, "https://grafana.example.com/authz/nginx", "none", nil).status
}
