package interop

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
	_ "modernc.org/sqlite"

	"sallyport.dev/sallyport/test/internal/await"
	"sallyport.dev/sallyport/test/interop/simplesamlphp"
)

// spelling is one way in which mallory's IdP speaks for somebody of a domain that is not its own.
type spelling struct {
	emails []string
	// byNameID puts the first of emails into the NameID, with no attribute beside it.
	byNameID bool
	// reason is the debug entry's.
	reason string
}

// spellings of ceo@victim.example, whose domain is bound to another IdP. Those that are no address of anybody are refused as such.
var spellings = map[string]spelling{
	"attribute":             {emails: []string{"ceo@victim.example"}, reason: "domain_not_bound"},
	"NameID":                {emails: []string{"ceo@victim.example"}, byNameID: true, reason: "domain_not_bound"},
	"second value":          {emails: []string{"mallory@acme.example", "ceo@victim.example"}, reason: "domain_not_bound"},
	"case":                  {emails: []string{"CEO@Victim.EXAMPLE"}, reason: "domain_not_bound"},
	"spaces around":         {emails: []string{" ceo@victim.example\t"}, reason: "domain_not_bound"},
	"full width":            {emails: []string{"ceo@ｖｉｃｔｉｍ．ｅｘａｍｐｌｅ"}, reason: "domain_not_bound"},
	"look-alike":            {emails: []string{"ceo@viсtim.example"}, reason: "domain_not_bound"}, // the c is Cyrillic
	"look-alike of acme":    {emails: []string{"ceo@аcme.example"}, reason: "domain_not_bound"},   // the a is Cyrillic
	"subdomain":             {emails: []string{"ceo@acme.example.victim.example"}, reason: "domain_not_bound"},
	"trailing dot":          {emails: []string{"ceo@victim.example."}, reason: "missing_email"},
	"trailing dot of acme":  {emails: []string{"ceo@acme.example."}, reason: "missing_email"},
	"quoted local part":     {emails: []string{`"ceo@victim.example"@acme.example`}, reason: "missing_email"},
	"quoted ceo":            {emails: []string{`"ceo"@victim.example`}, reason: "missing_email"},
	"two at-signs":          {emails: []string{"ceo@victim.example@acme.example"}, reason: "missing_email"},
	"comment":               {emails: []string{"ceo@victim.example(@acme.example)"}, reason: "missing_email"},
	"a name before it":      {emails: []string{"CEO <ceo@victim.example>"}, reason: "missing_email"},
	"line break":            {emails: []string{"ceo@victim.example\n@acme.example"}, reason: "missing_email"},
	"not a name":            {emails: []string{"ceo@victim_.example"}, reason: "missing_email"},
	"local part look-alike": {emails: []string{"сео@acme.example"}, reason: "missing_email"}, // all of it is Cyrillic
}

// TestMalloryIsNobodyElse: SimpleSAMLphp asserts each spelling. It is refused, recorded and kept for diagnosis; there is no session and no user row.
func TestMalloryIsNobodyElse(t *testing.T) {
	var users []simplesamlphp.User
	for name, s := range spellings {
		users = append(users, simplesamlphp.User{Name: account(name), Password: account(name) + "-password", Attributes: map[string][]string{"uid": {account(name)}, "email": s.emails}})
	}
	for _, byNameID := range []bool{false, true} {
		r := newRig(t, options{users: users, manifests: victim(t), remote: func(sp *simplesamlphp.SP) {
			if byNameID {
				sp.NameIDFormat, sp.Attributes = simplesamlphp.EmailNameID, []string{"uid"}
			}
		}})
		refused := 0
		for name, s := range spellings {
			if s.byNameID != byNameID {
				continue
			}
			t.Run(name, func(t *testing.T) {
				visitor := r.visitor(t)
				status, page := visitor.signIn("mallory@acme.example", account(name))
				if status != http.StatusForbidden || !strings.Contains(page, "sent a response that we could not accept") || strings.Contains(page, "victim") {
					t.Errorf("%d %s", status, page)
				}
				if got := visitor.status(appURL + "/api"); got != http.StatusUnauthorized {
					t.Errorf("mallory gets %d from the application", got)
				}
				if got := r.rows(t, "SELECT error_type FROM debug_entries ORDER BY at DESC LIMIT 1"); !slices.Equal(got, []string{s.reason}) {
					t.Errorf("the debug entry says %v, want %s", got, s.reason)
				}
				refused++
			})
		}
		for _, table := range []string{"users", "sessions"} {
			if got := r.rows(t, "SELECT count(*) FROM "+table); got[0] != "0" {
				t.Errorf("there are %s rows in %s", got[0], table)
			}
		}
		await.Until(r.t, "every refusal to be recorded", func() bool {
			return strings.Count(r.sp.Said(), `"type":"email_domain_not_bound"`)+strings.Count(r.sp.Said(), `"type":"saml_assertion_failed"`) == refused
		})
		if text := r.sp.Said(); strings.Contains(text, "ceo@") {
			t.Errorf("the log names somebody:\n%s", text)
		}
		r.sp.Stop()
	}
}

// victim is another IdP, and the domain that is bound to it.
func victim(t *testing.T) string {
	t.Helper()
	_, certificate, err := simplesamlphp.NewKey("idp.victim.example")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`apiVersion: sso.sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: victim, namespace: sso}
spec:
  serviceProviderRef: {name: main}
  saml:
    metadata:
      manual:
        entityID: https://idp.victim.example/
        ssoURL: https://idp.victim.example/sso
        certificates:
        - |
%s
---
apiVersion: sso.sallyport.dev/v1alpha1
kind: DomainBinding
metadata: {name: victim, namespace: sso}
spec: {domain: victim.example, subdomains: Included, identityProviderRef: {name: victim}}
`, indent(string(certificate), 10))
}

// account is the name of the account that asserts a spelling: SimpleSAMLphp wants no spaces.
func account(spelling string) string { return strings.ReplaceAll(spelling, " ", "-") }

// rows reads the service provider's own database.
func (r *rig) rows(t *testing.T, query string) (values []string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(r.store, "sqlite://")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		var value string
		if err := found.Scan(&value); err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}

// visitor signs in as a browser without scripts does: it follows redirects and sends the forms that it is shown.
type visitor struct {
	t *testing.T
	http.Client
}

func (r *rig) visitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t, http.Client{Jar: jar, Transport: r.client.Transport, Timeout: r.client.Timeout}}
}

func (v *visitor) status(address string) int {
	v.t.Helper()
	response, err := v.Get(address)
	if err != nil {
		v.t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// signIn types an address at the service provider, then the account's name and password at the IdP, and returns the page after that.
func (v *visitor) signIn(email, account string) (status int, page string) {
	v.t.Helper()
	form := v.read(v.PostForm(ssoURL+"/signin", url.Values{"email": {email}}))
	form.fields.Set("username", account)
	form.fields.Set("password", account+"-password")
	form = v.read(v.PostForm(form.action, form.fields))
	if form.fields.Get("SAMLResponse") == "" {
		v.t.Fatalf("the IdP asserts nothing: %s", form.page)
	}
	// The answer comes from another site.
	request, err := http.NewRequest(http.MethodPost, form.action, strings.NewReader(form.fields.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Origin", "https://"+idpHost)
	last := v.read(v.Do(request))
	return last.status, last.page
}

// shown is a page and its first form.
type shown struct {
	status       int
	page, action string
	fields       url.Values
}

func (v *visitor) read(response *http.Response, err error) shown {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	s := shown{status: response.StatusCode, page: string(content), action: response.Request.URL.String(), fields: url.Values{}}
	root, err := html.Parse(bytes.NewReader(content))
	if err != nil {
		v.t.Fatal(err)
	}
	for node := range root.Descendants() {
		attributes := map[string]string{}
		for _, a := range node.Attr {
			attributes[a.Key] = a.Val
		}
		switch {
		case node.Type != html.ElementNode:
		case node.Data == "form" && attributes["action"] != "":
			next, err := response.Request.URL.Parse(attributes["action"])
			if err != nil {
				v.t.Fatal(err)
			}
			s.action = next.String()
		case node.Data == "input" && attributes["name"] != "":
			s.fields.Set(attributes["name"], attributes["value"])
		}
	}
	return s
}
