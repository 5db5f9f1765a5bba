// Package browser looks at every page of the service provider with a real browser: that it works, that it holds against axe-core, and how it looks.
// Set SCREENSHOTS to a directory to keep the pictures.
package browser

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web"
	"sallyport.dev/sallyport/test/internal/browser"
)

const (
	ssoURL = "https://sso.example.com"
	appURL = "https://grafana.example.com"
	idpURL = "https://idp.acme.example"
	// axeVersion is what the pages are held against.
	axeVersion = "4.14.1"
)

// rig is the service provider behind TLS on one name, an application behind its forward-auth on another, and an IdP on a third.
type rig struct {
	t        *testing.T
	snapshot snapshot.Snapshot
	server   *web.Server
	store    *store.DB
	idp      *samltest.IdP
	// person and edit say what the IdP answers.
	person string
	edit   func(*samltest.Response)
	hosts  map[string]string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, person: "alice@acme.example"}
	var err error
	if r.idp, err = samltest.NewIdP(idpURL+"/metadata", idpURL+"/sso", idpURL+"/slo", time.Now()); err != nil {
		t.Fatal(err)
	}
	r.snapshot.ServiceProvider = snapshot.ServiceProvider{
		Namespace: "sso", Name: "main", URL: ssoURL, AllowedHosts: []string{"*.example.com"}, TrustedProxies: []string{"127.0.0.0/8"},
		Session:           snapshot.Session{Lifetime: 12 * time.Hour, IdleTimeout: time.Hour, CookieDomain: "example.com", SameSite: "Lax"},
		ProfileAttributes: []snapshot.ProfileAttribute{{Name: "department", Mirror: true}, {Name: "jobTitle", Mirror: true}},
	}
	for _, c := range [][3]string{{"okta", "Acme Okta", "Okta"}, {"entra", "Globex", "EntraID"}, {"keycloak", "Initech Engineering", "Keycloak"},
		{"google", "Hooli", "GoogleWorkspace"}, {"adfs", "Umbrella", "ADFS"}, {"generic", "Stark", "Generic"}} {
		r.connect(c[0], c[1], c[2])
	}
	r.snapshot.Domains = []snapshot.Domain{{Domain: "acme.example", Connection: "okta", Binding: "acme"}}
	r.serve()
	return r
}

func (r *rig) connect(name, displayName, kind string) {
	r.t.Helper()
	c, err := r.idp.Connection(ssoURL, name, time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	c.UID, c.Enabled, c.Type, c.DisplayName, c.Provisioning.JIT, c.Mapping = "uid-"+name, true, kind, displayName, true, identity.Preset(kind)
	r.snapshot.Connections = append(r.snapshot.Connections, c)
}

func (r *rig) serve() {
	t := r.t
	ctx, cancel := context.WithCancel(context.Background())
	db, err := store.Open(ctx, "sqlite://"+filepath.Join(t.TempDir(), "store.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.store = db
	if r.server, err = web.New(ctx, web.Options{Store: db, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), SecondFactorKeys: [][]byte{bytes.Repeat([]byte{7}, 32)}}); err != nil {
		t.Fatal(err)
	}
	r.apply()
	var running sync.WaitGroup
	running.Go(func() { r.server.Run(ctx) }) //nolint:errcheck // logged
	sso, app, idp := httptest.NewTLSServer(r.server.Public()), httptest.NewTLSServer(http.HandlerFunc(r.application)), httptest.NewTLSServer(http.HandlerFunc(r.identityProvider))
	r.hosts = map[string]string{"sso.example.com": sso.Listener.Addr().String(), "grafana.example.com": app.Listener.Addr().String(), "idp.acme.example": idp.Listener.Addr().String()}
	t.Cleanup(func() {
		for _, s := range []*httptest.Server{sso, app, idp} {
			s.CloseClientConnections()
			s.Close()
		}
		cancel()
		running.Wait()
		db.Close() //nolint:errcheck
	})
}

// apply serves the snapshot as it is now.
func (r *rig) apply() {
	r.t.Helper()
	encoded, err := snapshot.Encode(r.snapshot)
	if err == nil {
		err = r.server.Apply(r.snapshot, encoded.Revision)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) requireSecondStep() {
	for i := range r.snapshot.Connections {
		r.snapshot.Connections[i].Provisioning.RequireSecondFactor = true
	}
	r.apply()
}

// application asks as Caddy does, and shows who it was told.
func (r *rig) application(w http.ResponseWriter, request *http.Request) {
	check := httptest.NewRequest("GET", "/authz/forward?groups=dev", nil)
	check.Header = request.Header.Clone()
	check.RemoteAddr = "127.0.0.1:1"
	for name, value := range map[string]string{"X-Forwarded-Method": request.Method, "X-Forwarded-Proto": "https", "X-Forwarded-Host": request.Host, "X-Forwarded-Uri": request.RequestURI} {
		check.Header.Set(name, value)
	}
	answer := httptest.NewRecorder()
	r.server.Public().ServeHTTP(answer, check)
	if answer.Code == http.StatusOK {
		fmt.Fprintf(w, "Dashboard of %s at %s", answer.Header().Get("Remote-User"), request.RequestURI)
		return
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	w.Write(answer.Body.Bytes()) //nolint:errcheck
}

// identityProvider shows a form, as IdPs do, whose button posts the answer to the service provider.
func (r *rig) identityProvider(w http.ResponseWriter, request *http.Request) {
	asked, err := samltest.ReadQuery(request.URL.RawQuery, nil)
	if request.Method == http.MethodPost {
		asked, err = samltest.ReadForm(request.FormValue("SAMLRequest"), request.FormValue("RelayState"), nil)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if asked.Kind == "LogoutRequest" {
		r.answerLogout(w, request, asked)
		return
	}
	response := samltest.Response{
		Now: time.Now(), ACS: asked.ACS, Audience: asked.Issuer, InResponseTo: asked.ID, NameID: "id-of-" + r.person, NameIDFormat: identity.FormatPersistent, SessionIndex: "1",
		Attributes: []samltest.Attribute{
			{Name: "email", Values: []string{r.person}}, {Name: "firstName", Values: []string{"Alice"}}, {Name: "lastName", Values: []string{"Archer"}},
			{Name: "groups", Values: []string{"dev", "ml-team", "on-call-rotation-europe"}}, {Name: "department", Values: []string{"Machine Learning"}}, {Name: "jobTitle", Values: []string{"Staff Engineer"}},
			{Name: "http://schemas.microsoft.com/identity/claims/tenantid", Values: []string{"6f2c1b7e-0b0a-4f5e-8a39-0e1d2c3b4a59"}},
		},
	}
	if r.edit != nil {
		r.edit(&response)
	}
	form, err := r.idp.Form(response)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprintf(w, `<!doctype html><title>Acme</title><form method="post" action="%s"><input type="hidden" name="SAMLResponse" value="%s"><input type="hidden" name="RelayState" value="%s"><button id="login">Log in</button></form>`,
		html.EscapeString(asked.ACS), html.EscapeString(form), html.EscapeString(asked.RelayState))
}

// answerLogout says that the IdP's session has ended too.
func (r *rig) answerLogout(w http.ResponseWriter, request *http.Request, asked *samltest.Request) {
	l := samltest.Logout{Now: time.Now(), Destination: asked.Issuer + "/slo", ID: samltest.NewID(), InResponseTo: asked.ID, Status: "urn:oasis:names:tc:SAML:2.0:status:Success"}
	query, err := r.idp.Query(r.idp.LogoutResponse(l), l)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.Redirect(w, request, l.Destination+"?"+query, http.StatusSeeOther)
}

// signIn goes all the way from the application and back to it.
func (r *rig) signIn(tab *browser.Tab) {
	tab.Open(appURL + "/d/1?var=a&b=c")
	tab.WaitURL(ssoURL + "/signin")
	tab.Type("#email", r.person)
	tab.Press("button.primary")
	tab.WaitFor("#login")
	tab.Press("#login")
	tab.WaitText("Dashboard of " + r.person + " at /d/1?var=a&b=c")
}

// axe is the source of axe-core, installed once for all tests into a directory of the user's cache.
var axe = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "sallyport-test", "axe-core-"+axeVersion)
	file := filepath.Join(dir, "node_modules", "axe-core", "axe.min.js")
	if _, err := os.Stat(file); err != nil {
		install := exec.Command("npm", "install", "--prefix", dir, "--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "axe-core@"+axeVersion)
		if out, err := install.CombinedOutput(); err != nil {
			return "", fmt.Errorf("npm install axe-core: %w\n%s", err, out)
		}
	}
	source, err := os.ReadFile(file)
	return string(source), err
})

// look holds a page against axe at both widths and in both colour schemes, and keeps its picture where SCREENSHOTS says.
func (r *rig) look(tab *browser.Tab, name string) {
	r.t.Helper()
	source, err := axe()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, dark := range []bool{false, true} {
		tab.Dark(dark)
		for _, width := range []int64{390, 1280} {
			tab.Resize(width)
			found := tab.Evaluate(source + `;axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.map(v => v.id + ": " + v.help + " " + v.nodes.map(n => n.html + " " + n.failureSummary).join(" | ")).join("\n"))`)
			if found != "" {
				r.t.Errorf("%s at %d (dark %v):\n%s", name, width, dark, found)
			}
			if wide := tab.Evaluate(`String(document.documentElement.scrollWidth > document.documentElement.clientWidth)`); wide == "true" {
				r.t.Errorf("%s at %d scrolls sideways", name, width)
			}
			if dir := os.Getenv("SCREENSHOTS"); dir != "" {
				scheme := map[bool]string{false: "light", true: "dark"}[dark]
				tab.Screenshot(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), width)
			}
		}
	}
	tab.Dark(false)
}

func signInURL(extra string) string {
	return ssoURL + "/signin?" + extra + "rd=" + url.QueryEscape(appURL+"/d/1")
}
