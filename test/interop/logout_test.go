package interop

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/test/internal/await"
	"sallyport.dev/sallyport/test/interop/simplesamlphp"
)

const sloURL = ssoURL + "/saml/acme/slo"

// byBinding has SimpleSAMLphp speak single logout with one binding in both directions.
var byBinding = map[string]options{
	"Redirect": {},
	"POST": {
		remote: func(sp *simplesamlphp.SP) { sp.SLOBinding = simplesamlphp.PostBinding },
		metadata: func(m string) string {
			return regexp.MustCompile(`<md:SingleLogoutService[^>]*HTTP-Redirect[^>]*/>`).ReplaceAllString(m, "")
		},
	},
}

// TestSingleLogoutWithSimpleSAMLphp signs out here and there, with both bindings. Each side verifies the other's signature.
func TestSingleLogoutWithSimpleSAMLphp(t *testing.T) {
	for binding, o := range byBinding {
		t.Run(binding+" from the service provider", func(t *testing.T) {
			r := newRig(t, o)
			tab := r.signIn(appURL+"/", "alice@acme.example", "alice")
			tab.WaitText("Hello Alice Adams")
			stolen := r.cookies(tab)
			tab.Press("#signout")
			tab.WaitText("Sign out?")
			tab.Press("form[action='/signout'] button")
			tab.WaitURL(ssoURL)
			tab.WaitText("signed out")
			if text := tab.Text(); strings.Contains(text, "may still have a session") {
				t.Errorf("the IdP's answer was not accepted:\n%s", text)
			}
			if got := r.get(appURL+"/api", stolen); got.status != http.StatusUnauthorized {
				t.Errorf("signed out, and the old cookie still gets %d", got.status)
			}

			// The IdP's own session is over: signing in again asks for the password.
			tab.Open(appURL + "/again")
			tab.WaitURL(ssoURL + "/signin")
			if tab.Has("#email") {
				tab.Type("#email", "alice@acme.example")
			}
			tab.Press("form button")
			tab.WaitFor("#username")
		})
		t.Run(binding+" from the identity provider", func(t *testing.T) {
			r := newRig(t, o)
			tab := r.signIn(appURL+"/", "alice@acme.example", "alice")
			tab.WaitText("Hello Alice Adams")
			stolen := r.cookies(tab)
			after := "https://" + idpHost + "/simplesaml/logout.php"
			other := tab.NewTab()
			other.Open("https://" + idpHost + "/simplesaml/saml2/idp/SingleLogoutService.php?ReturnTo=" + url.QueryEscape(after))
			await.Until(r.t, "the session to end", func() bool { return r.get(appURL+"/api", stolen).status == http.StatusUnauthorized })
			// The IdP has our answer, and took it for a success.
			other.WaitURL(after)
			if log := r.idp.Log(); strings.Contains(log, "Unable to log out") || strings.Contains(log, "Exception") {
				t.Errorf("the IdP did not accept our answer:\n%s", log)
			}
		})
	}
}

// TestForgedLogoutRequestsEndNothing sends logout requests about a signed-in person that the IdP did not sign.
func TestForgedLogoutRequestsEndNothing(t *testing.T) {
	r := newRig(t, options{})
	tab := r.signIn(appURL+"/", "alice@acme.example", "alice")
	tab.WaitText("Hello Alice Adams")
	cookies := r.cookies(tab)
	forger, err := samltest.NewIdP(r.idp.EntityID(), "https://"+idpHost, "https://"+idpHost, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, unsigned := range map[string]bool{"another key": false, "no signature": true} {
		l := samltest.Logout{Now: time.Now(), Destination: sloURL, ID: samltest.NewID(), NameID: "alice", NameIDFormat: simplesamlphp.PersistentNameID, Unsigned: unsigned}
		document := forger.LogoutRequest(l)
		query, err := forger.Query(document, l)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.get(sloURL+"?"+query, nil); got.status != http.StatusForbidden {
			t.Errorf("%s, %s: %d", name, snapshot.BindingRedirect, got.status)
		}
		form, err := forger.Post(document, l)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.post(sloURL, url.Values{"SAMLRequest": {form}}); got.status != http.StatusForbidden {
			t.Errorf("%s, %s: %d", name, snapshot.BindingPOST, got.status)
		}
		if got := r.get(appURL+"/api", cookies); got.status != http.StatusOK {
			t.Fatalf("%s: the forged request ended the session: %d", name, got.status)
		}
	}
}

// post sends a form as another site's page does.
func (r *rig) post(address string, form url.Values) answer {
	r.t.Helper()
	request, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Sec-Fetch-Site", "cross-site")
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, body}
}
