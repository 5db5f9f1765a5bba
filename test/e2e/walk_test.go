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
)

// walkIn signs in as a browser without JavaScript and with no past does: it follows redirects, fills in the forms that come and sends them, until it is
// at the application.
func (w *world) walkIn(user string) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	browser := &http.Client{Jar: jar, Transport: asPage{w.client.Transport}, Timeout: 30 * time.Second}
	typed := map[string]string{"email": user + "@acme.example", "username": user, "password": user + "-password"}
	response, err := browser.Get(w.AppURL + "/page?x=1")
	for range 8 {
		if err != nil {
			return err
		}
		body, err2 := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		response.Body.Close()
		if err2 != nil {
			return err2
		}
		at := response.Request.URL
		if strings.HasPrefix(at.String(), w.AppURL) && response.StatusCode == http.StatusOK {
			if at.String() != w.AppURL+"/page?x=1" {
				return fmt.Errorf("arrived at %s", at)
			}
			return nil
		}
		form, err2 := firstForm(body)
		if err2 != nil || response.StatusCode >= 400 {
			return fmt.Errorf("%s answered %s: %w\n%s", at, response.Status, errors.Join(err2), text(body))
		}
		for name := range form.values {
			if value, ok := typed[name]; ok {
				form.values.Set(name, value)
			}
		}
		to, err2 := at.Parse(form.action)
		if err2 != nil {
			return err2
		}
		response, err = browser.PostForm(to.String(), form.values)
	}
	return errors.New("there are forms without end")
}

// asPage asks for pages, as a browser does: a proxy answers other requests with 401 instead of the way to the sign-in.
type asPage struct{ http.RoundTripper }

func (p asPage) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
	return p.RoundTripper.RoundTrip(r)
}

type filledForm struct {
	action string
	values url.Values
}

// firstForm reads the first form of a page that is sent by POST.
func firstForm(page []byte) (*filledForm, error) {
	root, err := html.Parse(strings.NewReader(string(page)))
	if err != nil {
		return nil, err
	}
	var found *filledForm
	var walk func(n *html.Node, in *filledForm)
	walk = func(n *html.Node, in *filledForm) {
		if n.Type == html.ElementNode {
			switch {
			case n.Data == "form" && found == nil && strings.EqualFold(attribute(n, "method"), "post"):
				found = &filledForm{action: attribute(n, "action"), values: url.Values{}}
				in = found
			case n.Data == "input" && in != nil && attribute(n, "name") != "" && attribute(n, "type") != "submit" && attribute(n, "type") != "checkbox":
				in.values.Set(attribute(n, "name"), attribute(n, "value"))
			}
		}
		for child := n.FirstChild; child != nil; child = child.NextSibling {
			walk(child, in)
		}
	}
	walk(root, nil)
	if found == nil {
		return nil, errors.New("the page has no form")
	}
	return found, nil
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// text is the beginning of what a page says.
func text(page []byte) string {
	var words []string
	tokens := html.NewTokenizer(strings.NewReader(string(page)))
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			all := strings.Join(strings.Fields(strings.Join(words, " ")), " ")
			return all[:min(len(all), 600)]
		case html.TextToken:
			words = append(words, string(tokens.Text()))
		}
	}
}
