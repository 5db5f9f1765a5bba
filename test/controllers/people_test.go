package controllers

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
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
type door struct{ *serving }

func newDoor(t testing.TB, o *operator) *door {
	t.Helper()
	d := &door{newServing(t, o.ns)}
	// The operator, which waits for what the service provider says, goes first.
	t.Cleanup(o.stop)
	return d
}

// signIn is a new browser that signs in through a connection; idp answers for the person. Nil: the person arrived at the application.
func (d *door) signIn(connection, email string, idp *samltest.IdP) error {
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
	request, err := samltest.ReadQuery(at.RawQuery, nil)
	if err != nil {
		return err
	}
	base := ssoURL + "/saml/" + connection
	encrypt, err := d.encryptionKeys(connection)
	if err != nil {
		return err
	}
	form, err := idp.Form(samltest.Response{Now: time.Now(), ACS: base + "/acs", Audience: base, InResponseTo: request.ID, NameID: email, EncryptTo: encrypt,
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

// spMetadata is what an IdP reads of our metadata.
type spMetadata struct {
	EntityID string `xml:"entityID,attr"`
	Keys     []struct {
		Use         string `xml:"use,attr"`
		Certificate string `xml:"KeyInfo>X509Data>X509Certificate"`
	} `xml:"SPSSODescriptor>KeyDescriptor"`
}

// of returns the certificates for one use, in their order.
func (m spMetadata) of(use string) (certificates []*x509.Certificate, err error) {
	for _, key := range m.Keys {
		if key.Use != use {
			continue
		}
		der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key.Certificate))
		if err != nil {
			return nil, err
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		certificates = append(certificates, certificate)
	}
	return certificates, nil
}

// metadata is what the service provider publishes for a connection.
func (d *door) metadata(connection string) (m spMetadata, err error) {
	transport := d.transport()
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Get(ssoURL + "/saml/" + connection + "/metadata")
	if err != nil {
		return m, err
	}
	defer response.Body.Close()
	return m, xml.NewDecoder(response.Body).Decode(&m)
}

// encryptionKeys are those that an IdP encrypts to that reads our metadata now: the first one, as most do.
func (d *door) encryptionKeys(connection string) ([]*rsa.PublicKey, error) {
	m, err := d.metadata(connection)
	if err != nil {
		return nil, err
	}
	certificates, err := m.of("encryption")
	if err != nil || len(certificates) == 0 {
		return nil, errors.Join(errors.New("the metadata has no encryption key"), err)
	}
	key, ok := certificates[0].PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the encryption key is a %T", certificates[0].PublicKey)
	}
	return []*rsa.PublicKey{key}, nil
}

// signsIn fails the test when somebody cannot.
func (d *door) signsIn(t testing.TB, when, connection string, idp *samltest.IdP) {
	t.Helper()
	if err := d.signIn(connection, "alice@"+domainOf(connection), idp); err != nil {
		t.Errorf("%s: %v", when, err)
	}
}

func domainOf(connection string) string { return connection + ".acme.example" }
