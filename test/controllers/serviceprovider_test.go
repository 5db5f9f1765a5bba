package controllers

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	corev1 "k8s.io/api/core/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web"
	"sallyport.dev/sallyport/internal/web/source"
)

// serving is a pod that is the service provider itself: it follows the snapshot on the API server, keeps people in a real store, and answers
// on both of its ports.
type serving struct {
	*pod
	store  *store.DB
	public *httptest.Server
	// log is the audit log, as it goes to standard output.
	log *lines
}

type lines struct {
	mutex sync.Mutex
	text  strings.Builder
}

func (l *lines) take(in []store.AuditLine) error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, line := range in {
		l.text.Write(append(line.Line, '\n'))
	}
	return nil
}

func (l *lines) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.String()
}

// count returns how many records of the type there are.
func (l *lines) count(t audit.Type) int { return strings.Count(l.String(), `"type":"`+t.String()+`"`) }

// withPeople is a ServiceProvider whose sign-in applications below example.com share.
func withPeople(ns string) *v1alpha1.ServiceProvider {
	sp := serviceProvider(ns)
	sp.Spec.Session.Cookie.Domain = "example.com"
	sp.Spec.ProfileAttributes = []v1alpha1.ProfileAttribute{{Name: "department", Mirror: v1alpha1.StateEnabled}}
	return sp
}

// newServing runs the service provider and becomes ready with its first snapshot.
func newServing(t testing.TB, ns string) *serving {
	t.Helper()
	p := &serving{pod: podObject(t, ns, "main"), log: &lines{}}
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	if p.store, err = store.Open(ctx, "sqlite://"+filepath.Join(t.TempDir(), "store.db"), store.Options{AuditWriter: "test"}); err != nil {
		t.Fatal(err)
	}
	server, err := web.New(ctx, web.Options{Store: p.store, Log: slog.New(slog.DiscardHandler), TokenFile: tokenFile(t, ns), Audit: p.log.take})
	if err != nil {
		t.Fatal(err)
	}
	client, err := dynamic.NewForConfig(apiServer)
	if err != nil {
		t.Fatal(err)
	}
	follow := source.NewSecrets(client, ns, "main", slog.New(slog.DiscardHandler))
	var running sync.WaitGroup
	running.Go(func() { follow.Follow(ctx, server.ApplyLatest) })
	running.Go(func() {
		if err := server.Run(ctx); err != nil {
			t.Errorf("the service provider: %v", err)
		}
	})
	p.public = httptest.NewTLSServer(server.Public())
	management := listening(ctx, server.Management())
	t.Cleanup(func() {
		cancel()
		p.public.Close()
		management.Close()
		running.Wait()
		if err := p.store.Close(); err != nil {
			t.Error(err)
		}
	})
	addresses.Store(p.UID, strings.TrimPrefix(management.URL, "http://"))
	eventually(t, "the service provider is ready", func() bool {
		response, err := http.Get(management.URL + "/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	p.setReady(t, true)
	return p
}

// listening is a server that can be closed while somebody waits at a long poll: requests end with ctx.
func listening(ctx context.Context, handler http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(handler)
	s.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	s.Start()
	return s
}

// cutOff makes the management API of the pod unreachable until the returned function is called. What is open is not cut.
func (p *serving) cutOff() (restore func()) {
	address, _ := addresses.Load(p.UID)
	addresses.Delete(p.UID)
	return func() { addresses.Store(p.UID, address) }
}

// tokenFile waits for the token of the management API and mounts it.
func tokenFile(t testing.TB, ns string) string {
	t.Helper()
	var secret corev1.Secret
	eventually(t, "there is a token", func() bool {
		return k8s.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: render.ManagementSecretName("main")}, &secret) == nil
	})
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, secret.Data["token"], 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// idps are made once: their keys take a while.
var (
	idpMutex sync.Mutex
	idps     = map[string]*samltest.IdP{}
)

// realIdP signs whatever it is told to.
func realIdP(t testing.TB, name string) *samltest.IdP {
	t.Helper()
	idpMutex.Lock()
	defer idpMutex.Unlock()
	if idps[name] == nil {
		host := "https://" + name + ".idp.example"
		idp, err := samltest.NewIdP(host+"/metadata", host+"/sso", "", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		idps[name] = idp
	}
	return idps[name]
}

// connected is an IdentityProvider of that IdP.
func connected(t testing.TB, ns, name string) *v1alpha1.IdentityProvider {
	t.Helper()
	return identityProvider(ns, name, v1alpha1.MetadataSource{Inline: string(realIdP(t, name).Metadata())})
}

// visitor is a browser that follows no redirect by itself.
type visitor struct {
	t testing.TB
	p *serving
	*http.Client
}

func (p *serving) visitor(t testing.TB) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, p.public.Listener.Addr().String())
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the test server's own certificate
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &visitor{t, p, &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (v *visitor) post(path, site string, form url.Values) (status int, location, body string) {
	v.t.Helper()
	r, err := http.NewRequest(http.MethodPost, "https://sso.example.com"+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", site)
	response, err := v.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("Location"), string(content)
}

// sent types an address until the browser is sent to an IdP, and returns that with the request. A binding is Ready when every pod serves it, which can be before its IdP
// has keys.
func (v *visitor) sent(email string) (idp string, request *samltest.Request) {
	v.t.Helper()
	eventually(v.t, email+" is sent to an IdP", func() bool {
		idp, request = v.sentTo(email)
		return idp != ""
	})
	return idp, request
}

// sentTo types an address and returns the IdP that the browser is sent to with its request, or "".
func (v *visitor) sentTo(email string) (idp string, request *samltest.Request) {
	v.t.Helper()
	status, location, _ := v.post("/signin", "same-origin", url.Values{"email": {email}})
	u, err := url.Parse(location)
	if err != nil || status != http.StatusSeeOther || !strings.HasSuffix(u.Host, ".idp.example") {
		return "", nil
	}
	if request, err = samltest.ReadQuery(u.RawQuery, nil); err != nil {
		v.t.Fatal(err)
	}
	return strings.TrimSuffix(u.Host, ".idp.example"), request
}

// comeBack brings what an IdP asserts, and tells whether it signed the visitor in.
func (v *visitor) comeBack(idp string, request *samltest.Request, edit func(*samltest.Response)) bool {
	v.t.Helper()
	connection := "https://sso.example.com/saml/" + idp
	r := samltest.Response{Now: time.Now(), ACS: connection + "/acs", Audience: connection, InResponseTo: request.ID}
	edit(&r)
	form, err := realIdP(v.t, idp).Form(r)
	if err != nil {
		v.t.Fatal(err)
	}
	status, location, _ := v.post("/saml/"+idp+"/acs", "cross-site", url.Values{"SAMLResponse": {form}, "RelayState": {request.RelayState}})
	if strings.HasPrefix(location, "/signin/resume") {
		v.t.Fatal("the browser did not make that request")
	}
	return status == http.StatusSeeOther
}

// asserting is an assertion about a person with that address.
func asserting(email string) func(*samltest.Response) {
	return func(r *samltest.Response) {
		r.NameID, r.NameIDFormat = "id-of-"+email, identity.FormatPersistent
		r.Attributes = []samltest.Attribute{{Name: "email", Values: []string{email}}, {Name: "groups", Values: []string{"dev"}}, {Name: "department", Values: []string{"ML"}}}
	}
}

// signIn goes all the way through the IdP that the address leads to.
func (v *visitor) signIn(email string) {
	v.t.Helper()
	idp, request := v.sent(email)
	if !v.comeBack(idp, request, asserting(email)) || !v.signedIn() {
		v.t.Fatalf("%s is not signed in through %s", email, idp)
	}
}

// signedIn asks as a proxy does.
func (v *visitor) signedIn() bool {
	v.t.Helper()
	response, err := v.Get("https://app.example.com/authz/nginx")
	if err != nil {
		v.t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// user returns who has the address, nil when there is nobody.
func (p *serving) user(t testing.TB, email string) *store.User {
	t.Helper()
	u, err := p.store.UserByEmail(t.Context(), email)
	if err == store.ErrNotFound {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return &u
}
