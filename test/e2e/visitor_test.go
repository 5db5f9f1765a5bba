//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/html"

	"sallyport.dev/sallyport/internal/session"
)

// sessionCookie is the name of the cookie of a session at the ServiceProvider main, which counts on several hosts.
const sessionCookie = "__Secure-sso-main"

// visitor is somebody whose browser knows forms, cookies and redirects and nothing else: it costs little beside other load.
type visitor struct {
	w      *world
	client *http.Client
}

// page is what a visitor looks at.
type page struct {
	url  *url.URL
	body string
}

func (w *world) visitor() (*visitor, error) {
	jar, err := cookiejar.New(nil)
	// Nobody is turned away because a machine stands still for some seconds.
	return &visitor{w: w, client: &http.Client{Jar: jar, Timeout: time.Minute, Transport: w.seen.on(w.client.Transport)}}, err
}

// byForms lets bob, who was never there, sign in by what forms say, and returns the identifier of the session that he has then.
func (w *world) byForms() (session string, err error) {
	v, err := w.visitor()
	if err != nil {
		return "", err
	}
	at, err := v.open(w.AppURL + "/page?x=1")
	for _, filled := range []url.Values{{"email": {"bob@acme.example"}}, {"username": {"bob"}, "password": {"bob-password"}}, {"SAMLResponse": nil}} {
		if err != nil {
			return "", err
		}
		at, err = v.submit(at, filled)
	}
	if err != nil {
		return "", err
	}
	if at.url.String() != w.AppURL+"/page?x=1" || !strings.Contains(at.body, "Hello Bob Brown") {
		return "", fmt.Errorf("arrived at %s:\n%s", at.url, at.body)
	}
	for _, cookie := range v.client.Jar.Cookies(at.url) {
		if cookie.Name == sessionCookie {
			return sessionOf(cookie.Value)
		}
	}
	return "", errors.New("signed in without a cookie")
}

// sessionOf is the identifier, in records, of the session of a cookie.
func sessionOf(cookie string) (string, error) {
	key, ok := session.KeyOf(cookie)
	if !ok {
		return "", errors.New("the cookie of the session is none of ours")
	}
	return key.Hex(), nil
}

func (v *visitor) open(address string) (page, error) {
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return page{}, err
	}
	return v.do(request)
}

// submit fills the form of the page that has these fields, leaves the others as they are, and sends it. A field without a value stays as it is too.
func (v *visitor) submit(from page, filled url.Values) (page, error) {
	action, values, err := form(from, filled)
	if err != nil {
		return page{}, err
	}
	v.w.seen.assertion(values.Get("SAMLResponse"))
	request, err := http.NewRequest(http.MethodPost, action.String(), strings.NewReader(values.Encode()))
	if err != nil {
		return page{}, err
	}
	site := "same-origin"
	if action.Host != from.url.Host {
		site = "cross-site"
	}
	request.Header.Set("Sec-Fetch-Site", site)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return v.do(request)
}

func (v *visitor) do(request *http.Request) (page, error) {
	request.Header.Set("Accept", "text/html")
	response, err := v.client.Do(request)
	if err != nil {
		return page{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s\n%s", request.Method, response.Request.URL, response.Status, body)
	}
	return page{response.Request.URL, string(body)}, err
}

// form is the form of a page that has these fields, filled: where it goes to and with what.
func form(at page, filled url.Values) (*url.URL, url.Values, error) {
	var action string
	var values url.Values
	for tokens := html.NewTokenizer(strings.NewReader(at.body)); ; {
		switch kind := tokens.Next(); kind {
		case html.ErrorToken:
			return nil, nil, fmt.Errorf("no form with %v at %s:\n%s", filled, at.url, at.body)
		case html.StartTagToken, html.SelfClosingTagToken, html.EndTagToken:
			token := tokens.Token()
			is := map[string]string{}
			for _, attribute := range token.Attr {
				is[attribute.Key] = attribute.Val
			}
			switch {
			case token.Data == "form" && kind == html.StartTagToken:
				action, values = is["action"], url.Values{}
			case token.Data == "input" && is["name"] != "" && values != nil:
				values.Set(is["name"], is["value"])
			case token.Data == "form" && fill(values, filled):
				to, err := at.url.Parse(action)
				return to, values, err
			}
		}
	}
}

// fill tells whether a form has all the fields, and fills them.
func fill(values, filled url.Values) bool {
	for name := range filled {
		if !values.Has(name) {
			return false
		}
	}
	for name, value := range filled {
		if value != nil {
			values[name] = value
		}
	}
	return true
}
