//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/crewjam/saml"

	"sallyport.dev/sallyport/hack/demo/edge"
	"sallyport.dev/sallyport/hack/demo/manifests"
	"sallyport.dev/sallyport/test/internal/browser"
	"sallyport.dev/sallyport/test/interop/simplesamlphp"
)

// world is one namespace with a ServiceProvider, its identity provider, an application, and nginx in front of them on a loopback port.
type world struct {
	t *testing.T
	manifests.World
	// Domain is what the hosts are below; Listen is nginx's address.
	Domain, Listen, AppURL string
	// PostgresImage is empty for SQLite.
	PostgresImage, SimpleSAMLphpImage, Password string
	IdPFiles, IdPPaths                          map[string]string
	PHPArguments                                []string

	idp    simplesamlphp.Config
	client *http.Client
	// logs are what our pods in the namespace write, and seen what they may not.
	logs *logbook
	seen *seen
}

// IdPDigest changes with the identity provider's files, so that its pod is replaced then.
func (w *world) IdPDigest() string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(fmt.Sprint(w.IdPFiles))))[:16]
}

// newWorld builds everything in the namespace and returns when people can sign in. The namespace goes at the end of the test.
func newWorld(t *testing.T, namespace, listen string, postgres bool) *world {
	t.Helper()
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		t.Fatal(err)
	}
	domain := namespace + ".example.com"
	w := &world{t: t, seen: newSeen(), Domain: domain, Listen: listen, AppURL: "https://grafana." + domain + ":" + port, SimpleSAMLphpImage: images.simpleSAMLphp,
		World: manifests.World{Namespace: namespace, PodImage: images.pods, NginxImage: images.nginx,
			SSOURL: "https://sso." + domain + ":" + port, IdPURL: "https://idp." + domain + ":" + port}}
	w.idp = simplesamlphp.Config{BaseURL: w.IdPURL + "/", Dir: "/idp", RunDir: "/work", Users: simplesamlphp.Users()}
	w.PHPArguments = simplesamlphp.Arguments("127.0.0.1:8080", simplesamlphp.CodeDir+"/www")
	if postgres {
		w.PostgresImage, w.Password = images.postgres, "only-for-tests"
	}
	namespaces, err := w.Namespaces()
	if err != nil {
		t.Fatal(err)
	}
	w.applyFile("namespaces", namespaces)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what is left of %s:\n%s", namespace, w.kubectl("get", "sso,pods,events"))
			for _, pod := range strings.Fields(w.kubectl("get", "pods", "-o", "name")) {
				t.Logf("the last lines of %s:\n%s", pod, w.kubectl("logs", pod, "--all-containers", "--tail=15"))
			}
		}
		w.kubectl("delete", "namespace", namespace, w.EdgeNamespace(), "--timeout=120s")
	})

	w.certificates()
	w.applyFile("application", mustRender(t, "app.yaml", w.World))
	w.applyFile("identity provider", w.fill("idp.yaml"))
	if postgres {
		w.applyFile("PostgreSQL", w.fill("postgres.yaml"))
		w.rolledOut("postgres")
	}
	w.rolledOut("simplesamlphp")
	if w.logs, err = followLogs(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	w.applyFile("our objects", w.fill("sso.yaml"))
	if err := ground.WaitReady(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	w.edge()
	w.introduce()
	w.noteSecrets()
	return w
}

// in is the same world, whose failures are those of a subtest.
func (w *world) in(t *testing.T) *world {
	same := *w
	same.t = t
	return &same
}

func (w *world) certificates() {
	w.t.Helper()
	authority, err := edge.NewAuthority("e2e")
	if err != nil {
		w.t.Fatal(err)
	}
	pair, err := authority.Server("*."+w.Domain, "*."+w.Namespace+".svc.cluster.local")
	if err != nil {
		w.t.Fatal(err)
	}
	all := mustRender(w.t, "ca.yaml", map[string]any{"Namespace": w.Namespace, "CA": string(authority.PEM)})
	for _, namespace := range []string{w.Namespace, w.EdgeNamespace()} {
		secret, err := manifests.TLSSecret(namespace, "demo-tls", pair, authority.PEM)
		if err != nil {
			w.t.Fatal(err)
		}
		all += "---\n" + secret
	}
	w.applyFile("certificates", all)
	w.IdPFiles, w.IdPPaths = map[string]string{}, map[string]string{}
	// The second pair waits for a rollover.
	for _, name := range []string{"idp", "next"} {
		key, certificate, err := simplesamlphp.NewKey("Acme " + name)
		if err != nil {
			w.t.Fatal(err)
		}
		w.IdPFiles[name+".key"], w.IdPFiles[name+".crt"] = string(key), string(certificate)
		w.IdPPaths[name+".key"], w.IdPPaths[name+".crt"] = "cert/"+name+".key", "cert/"+name+".crt"
	}
	w.idpFiles()

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.PEM)
	w.client = &http.Client{
		Timeout:       stall,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 4,
			TLSClientConfig:     &tls.Config{RootCAs: roots},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, w.Listen)
			},
		},
	}
}

func (w *world) idpFiles() {
	for path, content := range w.idp.Files() {
		name := filepath.Base(path)
		w.IdPFiles[name], w.IdPPaths[name] = content, path
	}
}

// edge is nginx with the configuration of the documentation.
func (w *world) edge() {
	w.t.Helper()
	page, err := os.ReadFile(filepath.Join(ground.Root, "docs", "proxies", "nginx.md"))
	if err != nil {
		w.t.Fatal(err)
	}
	inside := "." + w.Namespace + ".svc.cluster.local"
	w.EdgeFiles, err = edge.Files(page, edge.Site{Dir: edge.Folder, TLSDir: "/etc/nginx/tls/", Listen: w.Listen, SSOHost: "sso." + w.Domain,
		AppHost: "grafana." + w.Domain, ServiceProvider: "main-sallyport" + inside + ":80", Application: "demo-app" + inside + ":80"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.EdgeFiles["nginx.conf"] = edge.Main(edge.Folder, "/tmp/", fmt.Sprintf(
		"server { listen %s ssl; server_name idp.%s; ssl_certificate /etc/nginx/tls/tls.crt; ssl_certificate_key /etc/nginx/tls/tls.key; location / { proxy_pass https://simplesamlphp%s; proxy_set_header Host $http_host; } }",
		w.Listen, w.Domain, inside))
	w.applyFile("nginx", mustRender(w.t, "edge.yaml", w.World))
	w.must("rollout", "status", "deployment/demo-edge", "-n", w.EdgeNamespace(), "--timeout=120s")
	w.eventually("nginx to answer", 2*time.Minute, func() error {
		_, err := w.get(w.SSOURL+"/signin", nil)
		return err
	})
}

// introduce does what the administrator of the IdP does: read the service provider's metadata and register it.
func (w *world) introduce() {
	w.t.Helper()
	w.idp.SPs = []simplesamlphp.SP{w.ourMetadata()}
	w.idpFiles()
	w.applyFile("identity provider", w.fill("idp.yaml"))
	w.rolledOut("simplesamlphp")
}

// ourMetadata is what an IdP makes of the service provider's metadata now: it encrypts to the first encryption key, and knows every signing key.
func (w *world) ourMetadata() simplesamlphp.SP {
	w.t.Helper()
	answer, err := w.get(w.SSOURL+"/saml/acme/metadata", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	var entity saml.EntityDescriptor
	if err := xml.Unmarshal(answer.body, &entity); err != nil {
		w.t.Fatalf("the service provider's metadata: %v\n%s", err, answer.body)
	}
	descriptor := entity.SPSSODescriptors[0]
	sp := simplesamlphp.SP{EntityID: entity.EntityID, ACSURL: descriptor.AssertionConsumerServices[0].Location, SLOURL: descriptor.SingleLogoutServices[0].Location,
		SignResponse: true, EncryptAssertions: true}
	// The first encryption key comes first, and the signing keys after it: SimpleSAMLphp takes each key here for both uses.
	for _, use := range []string{"encryption", "signing"} {
		for _, key := range descriptor.KeyDescriptors {
			certificate := strings.Join(strings.Fields(key.KeyInfo.X509Data.X509Certificates[0].Data), "")
			if key.Use == use && !slices.Contains(sp.Certificates, certificate) {
				sp.Certificates = append(sp.Certificates, certificate)
			}
		}
	}
	return sp
}

// answer is one HTTP answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (w *world) get(url string, header http.Header) (answer, error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := w.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return answer{response.StatusCode, response.Header, body}, err
}

// browser is a new one, with nobody signed in.
func (w *world) browser() *browser.Tab {
	w.t.Helper()
	return browser.New(w.t, map[string]string{"*." + w.Domain: w.Listen})
}

// cookies of a signed-in browser, as a request header.
func (w *world) cookies(tab *browser.Tab) http.Header {
	w.t.Helper()
	var all []string
	for name, value := range w.noteCookies(tab) {
		all = append(all, name+"="+value)
	}
	return http.Header{"Cookie": {strings.Join(all, "; ")}}
}

// noteCookies returns the cookies that a browser has for the application, by name. Those that it has for us are secrets too.
func (w *world) noteCookies(tab *browser.Tab) map[string]string {
	values := map[string]string{}
	for _, at := range []string{w.SSOURL, w.AppURL} {
		clear(values)
		for name, cookie := range tab.Cookies(at) {
			values[name] = cookie.Value
			w.seen.secret("the cookie "+name, cookie.Value)
		}
	}
	return values
}

// signIn opens the address in a new browser, types the e-mail address and signs in at the identity provider as user.
func (w *world) signIn(url, email, user string) *browser.Tab {
	w.t.Helper()
	tab := w.browser()
	w.signInWith(tab, url, email, user)
	return tab
}

// signInWith does that in a browser where nobody is signed in.
func (w *world) signInWith(tab *browser.Tab, url, email, user string) {
	tab.Open(url)
	tab.WaitURL(w.SSOURL + "/signin")
	tab.Type("#email", email)
	tab.Press("form button")
	tab.WaitURL(w.IdPURL)
	tab.SignInAtSimpleSAMLphp(user, user+"-password")
}

func (w *world) fill(file string) string {
	w.t.Helper()
	text, err := template.New(file).Funcs(template.FuncMap{"indent": manifests.Indent}).ParseFiles(filepath.Join("testdata", file))
	if err != nil {
		w.t.Fatal(err)
	}
	var out bytes.Buffer
	if err := text.Execute(&out, w); err != nil {
		w.t.Fatal(err)
	}
	return out.String()
}

func mustRender(t *testing.T, file string, data any) string {
	t.Helper()
	text, err := manifests.Render(file, data)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (w *world) applyFile(what, manifest string) {
	w.t.Helper()
	if _, err := ground.Apply(w.t.Context(), manifest); err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
}

func (w *world) rolledOut(deployment string) {
	w.t.Helper()
	w.must("rollout", "status", "deployment/"+deployment, "--timeout=120s")
}

// kubectl runs what a person would type, in the world's namespace, whatever comes of it.
func (w *world) kubectl(arguments ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	out, err := ground.Kubectl(ctx, append([]string{"-n", w.Namespace}, arguments...)...)
	if err != nil {
		return out + err.Error()
	}
	return out
}

func (w *world) must(arguments ...string) string {
	w.t.Helper()
	out, err := ground.Kubectl(w.t.Context(), append([]string{"-n", w.Namespace}, arguments...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) eventually(what string, within time.Duration, holds func() error) {
	w.t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(100 * time.Millisecond) {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("waited %s for %s: %v", within, what, err)
		}
	}
}
