package controllers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/saml/samltest"
)

const (
	ssoURL = "https://sso.example.com"
	appURL = "https://app.example.com/page?a=1"
)

// signInProvider is a ServiceProvider that sends people back to an application.
func signInProvider(ns string) *v1alpha1.ServiceProvider {
	sp := withPeople(ns)
	sp.Spec.Redirects = &v1alpha1.RedirectSettings{AllowedHosts: []v1alpha1.AllowedHost{"*.example.com"}}
	return sp
}

// door is a service provider seen by people whose IdP changes its keys, and by that IdP.
type door struct {
	*serving
	// cached is what the IdP has kept of our metadata. Nil: it reads it at every sign-in.
	cached *samltest.SP
}

func newDoor(t testing.TB, o *operator) *door {
	t.Helper()
	d := &door{serving: newServing(t, o.ns)}
	// The operator, which waits for what the service provider says, goes first.
	t.Cleanup(o.stop)
	return d
}

// signIn is a new browser that signs in through a connection; idp answers for the person. It checks the request's signature with the keys that
// were published before the sign-in began, and encrypts its assertion. Nil: the person arrived at the application.
func (d *door) signIn(connection, email string, idp *samltest.IdP) error {
	known, err := d.known(connection)
	if err != nil {
		return err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	transport := d.transport()
	defer transport.CloseIdleConnections()
	browser := &http.Client{Jar: jar, Transport: transport, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	at, page, err := submit(browser, "/signin", "same-origin", url.Values{"email": {email}, "rd": {appURL}})
	if err != nil || at == nil || !strings.HasPrefix(at.String(), idp.SSOURL) {
		return errors.Join(fmt.Errorf("not sent to the IdP but to %v: %s", at, page), err)
	}
	request, err := samltest.ReadQuery(at.RawQuery, known.Verifies())
	if err != nil {
		return fmt.Errorf("the request is not signed with a key that was published before: %w", err)
	}
	base := ssoURL + "/saml/" + connection
	form, err := idp.Form(samltest.Response{Now: time.Now(), ACS: base + "/acs", Audience: base, InResponseTo: request.ID, NameID: email, EncryptTo: known.EncryptsTo(),
		Attributes: []samltest.Attribute{{Name: "email", Values: []string{email}}}})
	if err != nil {
		return err
	}
	at, page, err = submit(browser, "/saml/"+connection+"/acs", "cross-site", url.Values{"SAMLResponse": {form}, "RelayState": {request.RelayState}})
	if err != nil || at == nil || at.String() != appURL {
		return errors.Join(fmt.Errorf("not sent to the application but to %v: %s", at, page), err)
	}
	return nil
}

// transport reaches the service provider under every name.
func (d *door) transport() *http.Transport {
	return &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the test server's own certificate
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, d.public.Listener.Addr().String())
		},
	}
}

// submit sends a form and returns where it leads to, or what page came instead.
func submit(browser *http.Client, path, site string, form url.Values) (*url.URL, string, error) {
	request, err := http.NewRequest(http.MethodPost, ssoURL+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Sec-Fetch-Site", site)
	response, err := browser.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, "", err
	}
	at, err := response.Location()
	if errors.Is(err, http.ErrNoLocation) {
		return nil, string(page), nil
	}
	return at, string(page), err
}

// known is what the IdP knows of us.
func (d *door) known(connection string) (*samltest.SP, error) {
	if d.cached != nil {
		return d.cached, nil
	}
	return d.metadata(connection)
}

// metadata is what the service provider publishes for a connection.
func (d *door) metadata(connection string) (*samltest.SP, error) {
	transport := d.transport()
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Get(ssoURL + "/saml/" + connection + "/metadata")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return samltest.ReadSP(response.Body)
}

// signsIn fails the test when somebody cannot.
func (d *door) signsIn(t testing.TB, when, connection string, idp *samltest.IdP) {
	t.Helper()
	if err := d.signIn(connection, "alice@"+domainOf(connection), idp); err != nil {
		t.Errorf("%s: %v", when, err)
	}
}

func domainOf(connection string) string { return connection + ".acme.example" }
