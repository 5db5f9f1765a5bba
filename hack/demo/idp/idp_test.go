package idp

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	crewjam "github.com/crewjam/saml"

	"sallyport.dev/sallyport/hack/demo/edge"
	"sallyport.dev/sallyport/internal/saml"
)

const sp, self = "https://sso.example.com", "https://idp.example.com"

func TestAServiceProviderAcceptsItsAnswers(t *testing.T) {
	idp := start(t)
	connection := connect(t, idp, sp)
	request, err := connection.NewAuthnRequest(time.Now(), "handle-1", saml.RequestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, query, _ := strings.Cut(request.RedirectURL, "?")

	form := call(idp, http.MethodGet, "/sso?"+query, nil)
	if form.Code != http.StatusOK || !strings.Contains(form.Body.String(), "wonderland") {
		t.Fatalf("the sign-in page: %d %s", form.Code, form.Body)
	}
	fields := url.Values{"query": {field(t, form, "query")}, "relayState": {field(t, form, "relayState")}, "username": {"alice"}, "password": {"builder"}}
	if wrong := call(idp, http.MethodPost, "/login", fields); wrong.Code != http.StatusUnauthorized || strings.Contains(wrong.Body.String(), "SAMLResponse") {
		t.Fatalf("bob's password for alice: %d", wrong.Code)
	}
	fields.Set("password", "wonderland")
	answer := call(idp, http.MethodPost, "/login", fields)
	if got := field(t, answer, "RelayState"); got != "handle-1" {
		t.Errorf("relay state %q", got)
	}
	pending := request.Pending()
	assertion, refusal := connection.Accept(context.Background(), field(t, answer, "SAMLResponse"), &pending, time.Now())
	if refusal != nil {
		t.Fatal(refusal)
	}
	if assertion.NameID.Value != "demo-alice" {
		t.Errorf("NameID %q", assertion.NameID.Value)
	}

	logout, err := connection.NewLogoutRequest(time.Now(), assertion.NameID, []string{assertion.SessionIndex}, "bye")
	if err != nil {
		t.Fatal(err)
	}
	_, query, _ = strings.Cut(logout.RedirectURL, "?")
	back := call(idp, http.MethodGet, "/slo?"+query, nil)
	if location := back.Header().Get("Location"); back.Code != http.StatusFound || !strings.HasPrefix(location, sp+"/saml/demo/slo?SAMLResponse=") {
		t.Errorf("logout is answered with %d to %q", back.Code, location)
	}
}

func TestAnswersNobodyElse(t *testing.T) {
	idp := start(t)
	request, err := connect(t, idp, "https://sso.victim.example").NewAuthnRequest(time.Now(), "handle-1", saml.RequestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, query, _ := strings.Cut(request.RedirectURL, "?")
	if got := call(idp, http.MethodGet, "/sso?"+query, nil); got.Code != http.StatusBadRequest {
		t.Errorf("a stranger's request: %d", got.Code)
	}
}

func TestMetadataIsMetadata(t *testing.T) {
	var entity crewjam.EntityDescriptor
	if err := xml.Unmarshal(call(start(t), http.MethodGet, "/metadata", nil).Body.Bytes(), &entity); err != nil {
		t.Fatal(err)
	}
	if entity.EntityID != self+"/metadata" || len(entity.IDPSSODescriptors) != 1 {
		t.Errorf("%+v", entity)
	}
}

func start(t *testing.T) *IdP {
	t.Helper()
	pair, err := edge.NewSigningPair("demo")
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	idp, err := New(self, sp, loaded, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return idp
}

func connect(t *testing.T, idp *IdP, base string) *saml.Connection {
	t.Helper()
	settings, err := idp.saml.Connection(base, "demo", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	connection, err := saml.NewConnection(settings, saml.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return connection
}

func call(idp *IdP, method, target string, form url.Values) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	recorder := httptest.NewRecorder()
	idp.Handler().ServeHTTP(recorder, request)
	return recorder
}

func field(t *testing.T, page *httptest.ResponseRecorder, name string) string {
	t.Helper()
	match := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(page.Body.String())
	if match == nil {
		t.Fatalf("no field %s in the page:\n%s", name, page.Body)
	}
	return html.UnescapeString(match[1])
}
