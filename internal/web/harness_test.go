package web_test

import (
	"bytes"
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
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/tracing"
	"sallyport.dev/sallyport/internal/web"
)

const (
	spURL  = "https://sso.example.com"
	appURL = "https://grafana.example.com/d/1?var=a&b=c"
	token  = "a-management-token-for-tests"
)

// world is a service provider over TLS on a real store, with IdPs that sign whatever they are told.
type world struct {
	t        *testing.T
	file     string
	snapshot snapshot.Snapshot
	idps     map[string]*samltest.IdP
	// keys encrypt second factors.
	keys [][]byte
	// maxPending bounds the sign-ins in flight of processes that start from now on.
	maxPending int
	// older says that what is applied may be older than what others serve.
	older bool
	// slow changes the store of processes that start from now on. Nil: nothing does.
	slow func(store.Store) store.Store
	// tracer is that of processes that start from now on.
	tracer *tracing.Tracer

	*process
	// transports are those of the browsers.
	transports []*http.Transport
}

// process is one run of the service provider: a second one on the same store is a restart or another replica.
type process struct {
	store      *store.DB
	web        *web.Server
	public     *httptest.Server
	management *httptest.Server
	stop       func()
	audit      *lines
}

// lines collects what goes to standard output.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) take(in []store.AuditLine) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range in {
		l.text.Write(line.Line)
		l.text.WriteByte('\n')
	}
	return nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newWorld has the IdPs okta (acme.example) and entra (victim.example), both enabled.
func newWorld(t *testing.T, edit ...func(*snapshot.Snapshot)) *world {
	t.Helper()
	w := &world{t: t, file: filepath.Join(t.TempDir(), "store.db"), idps: map[string]*samltest.IdP{}, keys: [][]byte{bytes.Repeat([]byte{7}, 32)}}
	w.snapshot.ServiceProvider = snapshot.ServiceProvider{
		Namespace: "sso", Name: "main", URL: spURL, AllowedHosts: []string{"*.example.com"}, TrustedProxies: []string{"127.0.0.0/8"},
		Session:  snapshot.Session{Lifetime: 12 * time.Hour, IdleTimeout: time.Hour, CookieDomain: "example.com", SameSite: "Lax"},
		DebugLog: snapshot.DebugLog{Retention: time.Hour, MaxEntries: 100}, ProfileAttributes: []snapshot.ProfileAttribute{{Name: "department", Mirror: true}},
	}
	for _, name := range []string{"entra", "okta"} {
		w.addIdP(name)
	}
	w.snapshot.Domains = []snapshot.Domain{{Domain: "acme.example", Connection: "okta", Binding: "acme"}, {Domain: "victim.example", Connection: "entra", Binding: "victim"}}
	for _, f := range edit {
		f(&w.snapshot)
	}
	w.process = w.start()
	t.Cleanup(func() { w.process.stop() })
	return w
}

// made is an IdP with our connection to it. Keys take a while to make, so tests share them.
type made struct {
	idp        *samltest.IdP
	connection snapshot.Connection
}

var (
	madeMutex sync.Mutex
	madeIdPs  = map[string]made{}
)

func makeIdP(t *testing.T, name string) made {
	t.Helper()
	madeMutex.Lock()
	defer madeMutex.Unlock()
	if known, ok := madeIdPs[name]; ok {
		return known
	}
	host := "https://" + name + ".idp.example"
	idp, err := samltest.NewIdP(host+"/metadata", host+"/sso", host+"/slo", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c, err := idp.Connection(spURL, name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c.UID, c.Enabled, c.Type, c.DisplayName = "uid-"+name, true, "Generic", strings.ToUpper(name[:1])+name[1:]
	c.Provisioning.JIT, c.Mapping, c.Logout.Enabled = true, identity.Preset("Generic"), true
	madeIdPs[name] = made{idp, c}
	return madeIdPs[name]
}

func (w *world) addIdP(name string) {
	w.t.Helper()
	m := makeIdP(w.t, name)
	w.idps[name] = m.idp
	w.snapshot.Connections = append(w.snapshot.Connections, m.connection)
}

// start runs a service provider on the world's store.
func (w *world) start() *process {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	db, err := store.Open(ctx, "sqlite://"+w.file, store.Options{AuditWriter: "test", MaxPending: w.maxPending})
	if err != nil {
		w.t.Fatal(err)
	}
	tokenFile := filepath.Join(w.t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(token+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	p := &process{store: db, audit: &lines{}}
	var seen store.Store = db
	if w.slow != nil {
		seen = w.slow(db)
	}
	p.web, err = web.New(ctx, web.Options{Store: seen, Log: slog.New(slog.NewTextHandler(w.t.Output(), nil)), TokenFile: tokenFile, Audit: p.audit.take, SecondFactorKeys: w.keys, Tracer: w.tracer})
	if err != nil {
		w.t.Fatal(err)
	}
	w.apply(p)
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.web.Run(ctx); err != nil {
			w.t.Error(err)
		}
	})
	p.public, p.management = httptest.NewTLSServer(p.web.Public()), httptest.NewServer(p.web.Management())
	p.stop = sync.OnceFunc(func() {
		p.public.Close()
		p.management.Close()
		cancel()
		running.Wait()
		db.Close() //nolint:errcheck
	})
	return p
}

func (w *world) apply(p *process) {
	w.t.Helper()
	encoded, err := snapshot.Encode(w.snapshot)
	if err != nil {
		w.t.Fatal(err)
	}
	apply := p.web.ApplyLatest
	if w.older {
		apply = p.web.Apply
	}
	if err := apply(w.snapshot, encoded.Revision); err != nil {
		w.t.Fatal(err)
	}
}

// restart ends the process and starts another on the same store.
func (w *world) restart() {
	w.process.stop()
	w.process = w.start()
	// A browser notices a moment later that its connections are gone; a form that it sends in between would break off.
	for _, t := range w.transports {
		t.CloseIdleConnections()
	}
}

func (w *world) connection(name string) *snapshot.Connection {
	i := slices.IndexFunc(w.snapshot.Connections, func(c snapshot.Connection) bool { return c.Name == name })
	return &w.snapshot.Connections[i]
}

// browser keeps cookies and follows no redirect by itself.
type browser struct {
	t *testing.T
	w *world
	*http.Client
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	// Every name is the service provider: the tests look at where redirects lead instead of following them.
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, w.process.public.Listener.Addr().String())
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the test server's own certificate
	}
	w.t.Cleanup(transport.CloseIdleConnections)
	w.transports = append(w.transports, transport)
	return &browser{w.t, w, &http.Client{Jar: jar, Transport: &sameSite{RoundTripper: transport, ours: map[string]bool{}, strict: map[string]bool{}}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// sameSite keeps from what another site begins the cookies that a browser does not send with it: from a form those that are not None, from a link those that are Strict.
type sameSite struct {
	http.RoundTripper
	mu           sync.Mutex
	ours, strict map[string]bool
}

func (s *sameSite) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		withheld := s.strict
		if r.Method == http.MethodPost {
			withheld = s.ours
		}
		r = s.without(r, withheld)
	}
	response, err := s.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range response.Cookies() {
		s.ours[c.Name] = c.SameSite != http.SameSiteNoneMode
		s.strict[c.Name] = c.SameSite == http.SameSiteStrictMode
	}
	return response, nil
}

func (s *sameSite) without(r *http.Request, names map[string]bool) *http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := r.Cookies()
	r = r.Clone(r.Context())
	r.Header.Del("Cookie")
	for _, c := range all {
		if !names[c.Name] {
			r.AddCookie(c)
		}
	}
	return r
}

// answer is a response that was read whole.
type answer struct {
	status   int
	header   http.Header
	location string
	body     string
}

func (b *browser) do(r *http.Request) answer {
	b.t.Helper()
	response, err := b.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, response.Header.Get("Location"), string(body)}
}

func (b *browser) get(address string) answer {
	b.t.Helper()
	return b.getFrom("none", address)
}

// getFrom is get from a link: on a page of another site (cross-site), or on one of ours (same-origin).
func (b *browser) getFrom(site, address string) answer {
	b.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = spURL + address
	}
	r, err := http.NewRequest("GET", address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Sec-Fetch-Site", site)
	return b.do(r)
}

// post sends a form as a page of ours does (site same-origin) or as another site does (cross-site).
func (b *browser) post(path, site string, form url.Values) answer {
	b.t.Helper()
	r, err := http.NewRequest("POST", spURL+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", site)
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0.0.0 Safari/537.36")
	return b.do(r)
}

// asked is a sign-in that waits at the IdP.
type asked struct {
	idp     string
	request *samltest.Request
}

// begin types an address and returns the request that arrives at the IdP.
func (b *browser) begin(address, back string) asked {
	b.t.Helper()
	got := b.post("/signin", "same-origin", url.Values{"email": {address}, "rd": {back}})
	return b.atIdP(got)
}

func (b *browser) atIdP(got answer) asked {
	b.t.Helper()
	u, err := url.Parse(got.location)
	if err != nil || got.status != http.StatusSeeOther || !strings.HasSuffix(u.Host, ".idp.example") {
		b.t.Fatalf("not sent to an IdP: %d %q %s", got.status, got.location, got.body)
	}
	request, err := samltest.ReadQuery(u.RawQuery, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return asked{strings.TrimSuffix(u.Host, ".idp.example"), request}
}

// respond makes the IdP's answer to a request, as a form for the ACS.
func (w *world) respond(a asked, email string, edit ...func(*samltest.Response)) url.Values {
	w.t.Helper()
	c := w.connection(a.idp)
	r := samltest.Response{
		Now: time.Now(), ACS: c.ACSURL, Audience: c.EntityID, InResponseTo: a.request.ID, NameID: "id-of-" + email, NameIDFormat: identity.FormatPersistent,
		SessionIndex: "index-" + email,
		Attributes: []samltest.Attribute{{Name: "email", Values: []string{email}}, {Name: "firstName", Values: []string{"Alice"}}, {Name: "lastName", Values: []string{"Ærlig, M."}},
			{Name: "groups", Values: []string{"dev", "ml,team"}}, {Name: "department", Values: []string{"ML"}}},
	}
	for _, f := range edit {
		f(&r)
	}
	form, err := w.idps[a.idp].Form(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return url.Values{"SAMLResponse": {form}, "RelayState": {a.request.RelayState}}
}

// finish brings the answer back.
func (b *browser) finish(a asked, form url.Values) answer {
	b.t.Helper()
	return b.post("/saml/"+a.idp+"/acs", "cross-site", form)
}

// signIn does all of it.
func (b *browser) signIn(email string) {
	b.t.Helper()
	a := b.begin(email, appURL)
	if got := b.finish(a, b.w.respond(a, email)); got.status != http.StatusSeeOther || got.location != appURL {
		b.t.Fatalf("%d %q %s", got.status, got.location, got.body)
	}
}

// check asks as nginx does.
func (b *browser) check(query string) answer {
	b.t.Helper()
	return b.get("https://grafana.example.com/authz/nginx" + query)
}

// api asks the management port.
func (w *world) api(method, path, body string, into any) int {
	w.t.Helper()
	return w.apiAs(token, method, path, body, into)
}

var referencePattern = regexp.MustCompile(`>([0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4})<`)

func (a answer) reference(t *testing.T) string {
	t.Helper()
	found := referencePattern.FindStringSubmatch(a.body)
	if found == nil {
		t.Fatalf("no reference on the page: %s", a.body)
	}
	return found[1]
}

// waitFor waits for something that another goroutine does.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
