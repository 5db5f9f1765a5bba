package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/saml/samltest"
)

// benchToken is the bearer token of the management API.
const benchToken = "a-token-for-benchmarks"

// visitor is a browser that signs in at the IdP of the benchmark.
type visitor struct {
	ours    *serviceProviderProcess
	client  *http.Client
	cookie  string
	pending []*http.Cookie
}

func newVisitor(ours *serviceProviderProcess) *visitor {
	return &visitor{ours: ours, client: &http.Client{Timeout: 60 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (v *visitor) do(method, path string, form url.Values, want int) (*http.Response, error) {
	r, err := http.NewRequest(method, "http://"+v.ours.address+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Host = "sso.example.com"
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for _, c := range v.pending {
		r.AddCookie(c)
	}
	if v.cookie != "" {
		r.Header.Add("Cookie", cookieName+v.cookie)
	}
	response, err := v.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return nil, err
	}
	if want != 0 && response.StatusCode != want {
		return nil, fmt.Errorf("%s %s: %s, not %d", method, path, response.Status, want)
	}
	return response, nil
}

func (v *visitor) signIn(email string) error {
	response, err := v.do("GET", "/signin?idp=okta", nil, http.StatusSeeOther)
	if err != nil {
		return err
	}
	v.pending = response.Cookies()
	location, err := response.Location()
	if err != nil {
		return err
	}
	request, err := samltest.ReadQuery(location.RawQuery, nil)
	if err != nil {
		return err
	}
	c := benchConnection()
	form, err := benchIdP().Form(samltest.Response{Now: time.Now(), ACS: c.ACSURL, Audience: c.EntityID, InResponseTo: request.ID, NameID: "id-of-" + email,
		NameIDFormat: identity.FormatPersistent, SessionIndex: request.ID, Attributes: []samltest.Attribute{{Name: "email", Values: []string{email}},
			{Name: "firstName", Values: []string{"Guest"}}, {Name: "lastName", Values: []string{"Example"}}, {Name: "groups", Values: []string{"dev"}}}})
	if err != nil {
		return err
	}
	if response, err = v.do("POST", "/saml/okta/acs", url.Values{"SAMLResponse": {form}, "RelayState": {request.RelayState}}, http.StatusSeeOther); err != nil {
		return err
	}
	for _, cookie := range response.Cookies() {
		if cookie.Name+"=" == cookieName {
			v.cookie = cookie.Value
			return nil
		}
	}
	return fmt.Errorf("signed in, and no cookie came: %v", response.Header)
}

func (v *visitor) signOut() error {
	_, err := v.do("POST", "/signout", url.Values{}, http.StatusSeeOther)
	return err
}

// check asks as nginx does.
func (v *visitor) check() (int, error) {
	response, err := v.do("GET", "/authz/nginx", nil, 0)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, nil
}

func (v *visitor) manage(path, body string) error {
	r, err := http.NewRequest("POST", "http://"+v.ours.management+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+benchToken)
	r.Header.Set("Content-Type", "application/json")
	response, err := v.client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return fmt.Errorf("POST %s: %s", path, response.Status)
	}
	return nil
}
