package metrics

import (
	"bytes"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"text/template"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/test/internal/apiserver"
	"sallyport.dev/sallyport/test/internal/await"
	"sallyport.dev/sallyport/test/internal/loopback"
)

// manifests are a ServiceProvider with an audit sink that does not answer, an identity provider whose metadata is here, one whose metadata is fetched, and one
// that refers to nothing.
var manifests = template.Must(template.New("").Parse(`
apiVersion: v1
kind: Namespace
metadata: {name: sallyport-system}
---
apiVersion: v1
kind: Namespace
metadata: {name: sso}
---
apiVersion: v1
kind: Secret
metadata: {name: siem, namespace: sso}
stringData: {key: only-for-tests-only-for-tests-only}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: ca, namespace: sso}
data: {ca.crt: {{printf "%q" .CA}}}
---
apiVersion: sso.sallyport.dev/v1alpha1
kind: ServiceProvider
metadata: {name: main, namespace: sso}
spec:
  url: https://sso.example.com
  session: {cookie: {domain: example.com}}
  signedHeader: {}
  audit:
    sinks: [{name: siem, webhook: {url: "https://127.0.0.1:1/", keySecretRef: {name: siem}}}]
---
apiVersion: sso.sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: okta, namespace: sso}
spec:
  serviceProviderRef: {name: main}
  displayName: {{.DisplayName}}
  saml: {metadata: {inline: {{printf "%q" .Metadata}}}}
---
apiVersion: sso.sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: entra, namespace: sso}
spec:
  serviceProviderRef: {name: main}
  displayName: Entra
  saml: {metadata: {url: "{{.URL}}/metadata", caBundle: {configMapRef: {name: ca}}}}
---
apiVersion: sso.sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: missing, namespace: sso}
spec:
  serviceProviderRef: {name: main}
  displayName: Missing
  saml: {metadata: {fromSecret: {name: missing}}}
---
apiVersion: sso.sallyport.dev/v1alpha1
kind: DomainBinding
metadata: {name: acme, namespace: sso}
spec: {domain: acme.example, identityProviderRef: {name: okta}}
`))

// scraped is what a program answered, by name of the metric.
type scraped map[string]*dto.MetricFamily

func scrape(t *testing.T, address string) scraped {
	t.Helper()
	response, err := http.Get("http://" + address + "/metrics") //nolint:noctx // a test
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// has tells whether there is a series with these labels.
func (s scraped) has(name string, labels map[string]string) bool {
	for _, m := range s[name].GetMetric() {
		matched := 0
		for _, l := range m.GetLabel() {
			if labels[l.GetName()] == l.GetValue() {
				matched++
			}
		}
		if matched == len(labels) {
			return true
		}
	}
	return false
}

// world is a running product that has been used.
type world struct {
	t                          *testing.T
	idp                        *samltest.IdP
	public                     string
	operatorAddr, providerAddr string
	operator, provider         scraped
	// manifest is what the objects were made of, for a further change.
	manifest map[string]string
}

// newWorld starts everything, has alice sign in and mallory refused, changes something, and scrapes both programs.
func newWorld(t *testing.T) *world {
	t.Helper()
	idp, err := samltest.NewIdP("https://okta.idp.example/metadata", "https://okta.idp.example/sso", "https://okta.idp.example/slo", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other, err := samltest.NewIdP("https://entra.idp.example/metadata", "https://entra.idp.example/sso", "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(other.Metadata()) })) //nolint:errcheck // a test
	t.Cleanup(server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	w := &world{t: t, idp: idp, public: loopback.Free(t), operatorAddr: loopback.Free(t), providerAddr: loopback.Free(t)}
	data := map[string]string{"CA": string(authority), "Metadata": string(idp.Metadata()), "URL": server.URL, "DisplayName": "Okta"}
	w.manifest = data
	apply(t, data)
	machine.Start(t, "operator", nil, "--leader-elect", "--namespace", "sallyport-system", "--service-provider-image", "none", "--allow-loopback-metadata",
		"--metrics-listen", w.operatorAddr, "--health-listen", "0")
	dir := machine.Mount(t, "sso", "main")
	machine.Start(t, "serviceprovider", nil, "--snapshot-dir", dir, "--store", "sqlite://"+t.TempDir()+"/store.db", "--listen", w.public, "--management-listen", machine.PodIP+":8081",
		"--management-token-file", dir+"/token", "--metrics-listen", w.providerAddr)
	await.Until(t, "the service provider serves", func() bool { return len(scrape(t, w.providerAddr)["sso_snapshot_info"].GetMetric()) == 1 })
	machine.Pod(t, "sso", "main")
	w.ready("okta")
	w.ready("entra")
	data["DisplayName"] = "Okta of Acme"
	apply(t, data)
	await.Until(t, "a change has reached every pod", func() bool {
		return scrape(t, w.operatorAddr).has("sso_propagation_duration_seconds", map[string]string{"namespace": "sso", "serviceprovider": "main"})
	})
	w.use()
	await.Until(t, "the sink has failed", func() bool { return scrape(t, w.providerAddr).value("sso_audit_pending_records") > 0 })
	await.Until(t, "a probe has asked for the store", func() bool {
		response, err := http.Get("http://" + machine.PodIP + ":8081/readyz") //nolint:noctx // a test
		if err == nil {
			response.Body.Close()
		}
		return err == nil && response.StatusCode == http.StatusOK
	})
	w.operator, w.provider = scrape(t, w.operatorAddr), scrape(t, w.providerAddr)
	return w
}

// value is that of the first series, 0 where there is none.
func (s scraped) value(name string) float64 {
	for _, m := range s[name].GetMetric() {
		return m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	return 0
}

func (w *world) ready(name string) {
	w.t.Helper()
	var idp v1alpha1.IdentityProvider
	await.Until(w.t, name+" is ready", func() bool {
		err := machine.Client.Get(w.t.Context(), types.NamespacedName{Namespace: "sso", Name: name}, &idp)
		return err == nil && meta.IsStatusConditionTrue(idp.Status.Conditions, v1alpha1.ConditionReady)
	})
}

// use has a person sign in and be checked, and others refused.
func (w *world) use() {
	w.t.Helper()
	cookies := map[string]string{}
	sent := w.do(cookies, "POST", "/signin", url.Values{"email": {"alice@acme.example"}, "rd": {"https://sso.example.com/account"}})
	at, err := url.Parse(sent.Header.Get("Location"))
	if err != nil || at.Host != "okta.idp.example" {
		w.t.Fatalf("not sent to the identity provider: %d %q", sent.StatusCode, sent.Header.Get("Location"))
	}
	request, err := samltest.ReadQuery(at.RawQuery, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	form, err := w.idp.Form(samltest.Response{Now: time.Now(), ACS: "https://sso.example.com/saml/okta/acs", Audience: "https://sso.example.com/saml/okta", InResponseTo: request.ID,
		NameID: "alice", NameIDFormat: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent", SessionIndex: "1", Attributes: []samltest.Attribute{
			{Name: "email", Values: []string{"alice@acme.example"}}, {Name: "firstName", Values: []string{"Alice"}}, {Name: "lastName", Values: []string{"Adams"}}}})
	if err != nil {
		w.t.Fatal(err)
	}
	back := w.do(cookies, "POST", "/saml/okta/acs", url.Values{"SAMLResponse": {form}, "RelayState": {request.RelayState}})
	if back.StatusCode != http.StatusSeeOther {
		w.t.Fatalf("alice is not signed in: %d", back.StatusCode)
	}
	if got := w.do(cookies, "GET", "/authz/nginx", nil); got.StatusCode != http.StatusOK || got.Header.Get("Remote-User") != "alice@acme.example" {
		w.t.Fatalf("the check says %d", got.StatusCode)
	}
	if got := w.do(nil, "GET", "/authz/nginx", nil); got.StatusCode != http.StatusUnauthorized {
		w.t.Fatalf("the check of nobody says %d", got.StatusCode)
	}
	w.do(nil, "POST", "/saml/okta/acs", url.Values{"SAMLResponse": {"bWFsbG9yeQ=="}})
	w.do(nil, "POST", "/saml/okta/slo", url.Values{"SAMLRequest": {"bWFsbG9yeQ=="}})
}

// do makes a request as a browser with these cookies, and keeps those of the answer.
func (w *world) do(cookies map[string]string, method, path string, form url.Values) *http.Response {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.public+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Host = "sso.example.com"
	if method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value}) //nolint:gosec // a browser sends no more
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		w.t.Fatal(err)
	}
	for _, c := range response.Cookies() {
		if cookies != nil {
			cookies[c.Name] = c.Value
		}
	}
	return response
}

func apply(t *testing.T, data any) {
	t.Helper()
	var text bytes.Buffer
	if err := manifests.Execute(&text, data); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(apiserver.Kubectl(), "--kubeconfig", machine.Kubeconfig, "apply", "--server-side", "-f", "-")
	command.Stdin = &text
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("kubectl apply: %v\n%s", err, out)
	}
}
