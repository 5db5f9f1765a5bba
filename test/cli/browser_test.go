package cli

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/saml/samltest"
)

// browser keeps cookies, speaks to the service provider as the proxy in front of it does, and follows no redirect by itself.
type browser struct {
	*http.Client
	w *world
}

type answer struct {
	status         int
	location, body string
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	transport := &http.Transport{
		// The service provider is behind a proxy that ends TLS: here the transport is that proxy.
		DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, w.public)
		},
	}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &browser{&http.Client{Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, w}
}

func (b *browser) do(r *http.Request, err error) answer {
	b.w.t.Helper()
	if err != nil {
		b.w.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	r.Header.Set("X-Forwarded-Proto", "https")
	response, err := b.Do(r)
	if err != nil {
		b.w.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.w.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header.Get("Location"), string(body)}
}

func (b *browser) get(address string) answer {
	b.w.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = spURL + address
	}
	return b.do(http.NewRequest("GET", address, nil))
}

func (b *browser) post(path, site string, form url.Values) answer {
	b.w.t.Helper()
	r, err := http.NewRequest("POST", spURL+path, strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", site)
	}
	return b.do(r, err)
}

// request reads the AuthnRequest of a redirect to the IdP.
func request(t *testing.T, got answer) *samltest.Request {
	t.Helper()
	u, err := url.Parse(got.location)
	if err != nil || got.status != http.StatusSeeOther || u.Host != "idp.example" {
		t.Fatalf("not sent to the IdP: %d %q %s", got.status, got.location, got.body)
	}
	r, err := samltest.ReadQuery(u.RawQuery, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// respond is the IdP's answer to a request, brought back by the browser.
func (b *browser) respond(r *samltest.Request, email string, edit ...func(*samltest.Response)) answer {
	b.w.t.Helper()
	c := b.w.snapshot.Connections[0]
	response := samltest.Response{
		Now: time.Now(), ACS: c.ACSURL, Audience: c.EntityID, InResponseTo: r.ID, NameID: "id-of-" + email, NameIDFormat: identity.FormatPersistent, SessionIndex: "index-" + email,
		Attributes: []samltest.Attribute{{Name: "email", Values: []string{email}}, {Name: "firstName", Values: []string{"Alice"}}, {Name: "lastName", Values: []string{"Adams"}},
			{Name: "groups", Values: []string{"dev"}}, {Name: "department", Values: []string{"ML"}}, {Name: "shoeSize", Values: []string{"42"}}},
	}
	for _, f := range edit {
		f(&response)
	}
	form, err := b.w.idp.Form(response)
	if err != nil {
		b.w.t.Fatal(err)
	}
	return b.post("/saml/okta/acs", "cross-site", url.Values{"SAMLResponse": {form}, "RelayState": {r.RelayState}})
}

func (b *browser) signIn(email string, edit ...func(*samltest.Response)) answer {
	b.w.t.Helper()
	return b.respond(request(b.w.t, b.post("/signin", "same-origin", url.Values{"email": {email}})), email, edit...)
}
