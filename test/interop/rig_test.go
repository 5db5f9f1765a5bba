// Package interop lets the service provider, run as its own process, meet real peers: SimpleSAMLphp as the identity provider, nginx as documented,
// and Chromium. No Kubernetes takes part: the snapshot is what `kubectl-sso render` writes.
package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crewjam/saml"

	"sallyport.dev/sallyport/hack/demo/echo"
	"sallyport.dev/sallyport/hack/demo/edge"
	"sallyport.dev/sallyport/test/internal/browser"
	"sallyport.dev/sallyport/test/internal/daemon"
	"sallyport.dev/sallyport/test/internal/loopback"
	"sallyport.dev/sallyport/test/internal/nginx"
	"sallyport.dev/sallyport/test/interop/simplesamlphp"
)

const (
	ssoURL  = "https://sso.example.com"
	appURL  = "https://grafana.example.com"
	idpHost = "idp.acme.example"
)

var programs string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "sallyport-interop-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		programs = dir
		build := exec.Command("go", "build", "-o", dir+"/", "sallyport.dev/sallyport/cmd/serviceprovider", "sallyport.dev/sallyport/cmd/kubectl-sso")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// options vary a rig.
type options struct {
	// saml is YAML below spec.saml of the IdentityProvider, beside metadata.
	saml string
	// spec is YAML below spec of the IdentityProvider, beside saml.
	spec string
	// peer starts another IdP than SimpleSAMLphp, which browsers reach at baseURL.
	peer func(t *testing.T, baseURL string) peer
	// remote changes what SimpleSAMLphp knows of the service provider.
	remote func(*simplesamlphp.SP)
	// metadata changes what the service provider is told of the IdP.
	metadata func(string) string
	// users are accounts at the IdP besides those of every rig.
	users []simplesamlphp.User
	// manifests are further objects, in YAML.
	manifests string
	// nginx changes the printed configuration.
	nginx func(files map[string]string)
}

// peer is an identity provider that somebody else wrote.
type peer struct {
	// address is where it listens, in plain HTTP.
	address string
	// metadata is what it publishes now.
	metadata func() []byte
	// register makes it trust the service provider of this metadata.
	register func(metadata []byte)
}

// rig is everything between a browser and an application.
type rig struct {
	t       *testing.T
	options options
	peer    peer
	// idp is the peer when it is SimpleSAMLphp.
	idp      *simplesamlphp.IdP
	edge     *nginx.Nginx
	snapshot string
	store    string
	listen   string
	manage   string
	sp       *daemon.Process
	client   *http.Client
}

func newRig(t *testing.T, o options) *rig {
	t.Helper()
	r := &rig{t: t, options: o, snapshot: filepath.Join(t.TempDir(), "snapshot"), store: "sqlite://" + filepath.Join(t.TempDir(), "sso.db"),
		listen: loopback.Free(t), manage: loopback.Free(t)}
	if o.peer != nil {
		r.peer = o.peer(t, "https://"+idpHost)
	} else {
		r.idp = simplesamlphp.Start(t, "https://"+idpHost+"/simplesaml/")
		r.idp.AddUsers(o.users...)
		r.peer = peer{r.idp.Address, r.idp.Metadata, r.registerAtSimpleSAMLphp}
	}
	application := httptest.NewServer(echo.Handler(ssoURL))
	t.Cleanup(application.Close)

	authority, err := edge.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Server("*.example.com", "*.acme.example")
	if err != nil {
		t.Fatal(err)
	}
	site := edge.Site{SSOHost: "sso.example.com", AppHost: "grafana.example.com", ServiceProvider: r.listen, Application: strings.TrimPrefix(application.URL, "http://")}
	r.edge = nginx.Start(t, "../../docs/proxies/nginx.md", site, pair, func(dir, listen string) string {
		return fmt.Sprintf("server { listen %s ssl; server_name %s; ssl_certificate %stls.crt; ssl_certificate_key %stls.key; location / { proxy_pass http://%s; proxy_set_header Host $http_host; } }",
			listen, idpHost, dir, dir, r.peer.address)
	}, o.nginx)
	r.client = &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the authority is the test's own
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, r.edge.Address)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       15 * time.Second,
	}
	r.render()
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	if err := os.WriteFile(filepath.Join(filepath.Dir(r.snapshot), "factors"), []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	r.startSP()
	r.introduce()
	return r
}

// render compiles the manifests anew, with the metadata that the IdP publishes now.
func (r *rig) render() {
	r.t.Helper()
	manifests := filepath.Join(r.t.TempDir(), "sso.yaml")
	metadata := string(r.peer.metadata())
	if r.options.metadata != nil {
		metadata = r.options.metadata(metadata)
	}
	content := fmt.Sprintf(`apiVersion: sso.sallyport.dev/v1alpha1
kind: ServiceProvider
metadata: {name: main, namespace: sso}
spec:
  url: %s
  session: {cookie: {domain: example.com}}
  redirects: {allowedHosts: ["*.example.com"]}
  proxies: {trusted: ["127.0.0.0/8"]}
  profileAttributes: [{name: department}]
---
apiVersion: sso.sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: acme, namespace: sso}
spec:
  serviceProviderRef: {name: main}
  displayName: Acme
  type: Generic
%s
  saml:
%s
    metadata:
      inline: |
%s
---
apiVersion: sso.sallyport.dev/v1alpha1
kind: DomainBinding
metadata: {name: acme-example, namespace: sso}
spec: {domain: acme.example, identityProviderRef: {name: acme}}
`, ssoURL, indent(r.options.spec, 2), indent(r.options.saml, 4), indent(metadata, 8))
	if r.options.manifests != "" {
		content += "---\n" + r.options.manifests
	}
	if err := os.WriteFile(manifests, []byte(content), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if out, err := exec.Command(programs+"/kubectl-sso", "render", "-o", r.snapshot, manifests).CombinedOutput(); err != nil {
		r.t.Fatalf("kubectl-sso render: %v\n%s\n%s", err, out, content)
	}
}

func indent(text string, by int) string {
	pad := strings.Repeat(" ", by)
	return pad + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+pad)
}

func (r *rig) startSP() {
	r.t.Helper()
	r.sp = daemon.Run(r.t, exec.Command(programs+"/serviceprovider", "--snapshot-dir", r.snapshot, "--store", r.store, "--listen", r.listen, "--management-listen", r.manage,
		"--audit-writer", "interop", "--drain", "0s", "--second-factor-key-file", filepath.Join(filepath.Dir(r.snapshot), "factors")), "")
	r.sp.AwaitReady(r.manage)
}

// introduce does what the administrator of the IdP does: read the service provider's metadata and register it.
func (r *rig) introduce() {
	r.t.Helper()
	r.peer.register(r.get(ssoURL+"/saml/acme/metadata", nil).body)
}

func (r *rig) registerAtSimpleSAMLphp(metadata []byte) {
	r.t.Helper()
	var entity saml.EntityDescriptor
	if err := xml.Unmarshal(metadata, &entity); err != nil {
		r.t.Fatal(err)
	}
	descriptor := entity.SPSSODescriptors[0]
	sp := simplesamlphp.SP{EntityID: entity.EntityID, ACSURL: descriptor.AssertionConsumerServices[0].Location}
	if len(descriptor.SingleLogoutServices) > 0 {
		sp.SLOURL = descriptor.SingleLogoutServices[0].Location
	}
	for _, key := range descriptor.KeyDescriptors {
		if key.Use == "encryption" {
			continue
		}
		sp.Certificates = append(sp.Certificates, strings.Join(strings.Fields(key.KeyInfo.X509Data.X509Certificates[0].Data), ""))
	}
	if r.options.remote != nil {
		r.options.remote(&sp)
	}
	r.idp.Register(sp)
}

// browser is a new one, with nobody signed in.
func (r *rig) browser() *browser.Tab {
	r.t.Helper()
	return browser.New(r.t, map[string]string{"*.example.com": r.edge.Address, "*.acme.example": r.edge.Address})
}

// signIn opens the address in a new browser, types the user's e-mail address and signs in at the IdP as user.
func (r *rig) signIn(url, email, user string) *browser.Tab {
	r.t.Helper()
	tab := r.browser()
	tab.Open(url)
	r.passSignIn(tab, email, user)
	return tab
}

func (r *rig) passSignIn(tab *browser.Tab, email, user string) {
	r.t.Helper()
	tab.WaitURL(ssoURL + "/signin")
	tab.Type("#email", email)
	tab.Press("form button")
	tab.WaitURL("https://" + idpHost + "/")
	tab.SignInAtSimpleSAMLphp(user, user+"-password")
}

// answer is one HTTP answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// headers are those that the application got, when the answer is its JSON.
func (a answer) headers(t *testing.T) http.Header {
	t.Helper()
	var echoed struct{ Headers http.Header }
	if err := json.Unmarshal(a.body, &echoed); err != nil {
		t.Fatalf("status %d, not the application's answer: %v\n%s", a.status, err, a.body)
	}
	return echoed.Headers
}

// get asks without following redirects. The header's names go out exactly as they are written.
func (r *rig) get(url string, header http.Header) answer {
	r.t.Helper()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, body}
}

// cookies of a signed-in browser, as a request header.
func (r *rig) cookies(tab *browser.Tab) http.Header {
	r.t.Helper()
	var all []string
	for name, cookie := range tab.Cookies(appURL) {
		all = append(all, name+"="+cookie.Value)
	}
	return http.Header{"Cookie": {strings.Join(all, "; ")}}
}
