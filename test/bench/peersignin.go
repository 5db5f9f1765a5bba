package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/saml/samltest"
)

// peerTrust are the files that a module needs to trust benchIdP and to have a key: idp.xml, key.pem and certificate.pem.
func peerTrust() map[string]string {
	key := benchConnection().Keys[0]
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return map[string]string{
		"idp.xml": string(benchIdP().Metadata()), "key.pem": encode("PRIVATE KEY", key.PrivateKey), "certificate.pem": encode("CERTIFICATE", key.Certificate),
	}
}

// signInAtPeer asks for a page as a browser that is not signed in, answers as benchIdP where it is sent, and gives the cookies that open the page.
// It fails unless the page was closed before and says in its headers who has signed in.
func signInAtPeer(page string) (cookie string, err error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", err
	}
	client := &http.Client{Jar: jar, Timeout: 60 * time.Second, CheckRedirect: stayOnLoopback}
	response, err := client.Get(page)
	if err != nil {
		return "", err
	}
	response.Body.Close()
	location, err := response.Location()
	if err != nil {
		return "", fmt.Errorf("without a session the page answers %s: %w", response.Status, err)
	}
	request, err := samltest.ReadQuery(location.RawQuery, nil)
	if err != nil {
		return "", fmt.Errorf("sent to %s: %w", location, err)
	}
	form, err := benchIdP().Form(samltest.Response{Now: time.Now(), ACS: request.ACS, Audience: request.Issuer, InResponseTo: request.ID,
		NameID: identityHeaders["Remote-User"], Attributes: []samltest.Attribute{{Name: "email", Values: []string{identityHeaders["Remote-User"]}},
			{Name: "groups", Values: strings.Split(identityHeaders["Remote-Groups"], ",")}}})
	if err != nil {
		return "", err
	}
	if response, err = client.PostForm(request.ACS, url.Values{"SAMLResponse": {form}, "RelayState": {request.RelayState}}); err != nil {
		return "", err
	}
	response.Body.Close()
	user, groups := response.Header.Get("Remote-User"), response.Header.Get("Remote-Groups")
	if response.StatusCode != http.StatusOK || user != identityHeaders["Remote-User"] || len(groups) != len(identityHeaders["Remote-Groups"]) {
		return "", fmt.Errorf("signed in, and the page answers %s to %q with groups %q", response.Status, user, groups)
	}
	var cookies []string
	for _, c := range jar.Cookies(response.Request.URL) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	return strings.Join(cookies, "; "), nil
}

// stayOnLoopback follows redirects until the IdP's, which is not served.
func stayOnLoopback(next *http.Request, before []*http.Request) error {
	if next.URL.Hostname() != "127.0.0.1" {
		return http.ErrUseLastResponse
	}
	if len(before) > 10 {
		return errors.New("too many redirects")
	}
	return nil
}
