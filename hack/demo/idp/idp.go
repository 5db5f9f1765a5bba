// Package idp is the identity provider of the demonstration. Its accounts and their passwords stand on its own page: it protects nothing and must
// never be used for anything else.
package idp

import (
	"crypto"
	"crypto/subtle"
	"crypto/tls"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/saml/samltest"
)

//go:embed *.html
var files embed.FS

var pages = template.Must(template.ParseFS(files, "*.html"))

// Account is somebody who can sign in.
type Account struct {
	Name, Password, Email, FirstName, LastName, Department string
	Groups                                                 []string
}

// Accounts are all there are.
var Accounts = []Account{
	{Name: "alice", Password: "wonderland", Email: "alice@acme.example", FirstName: "Alice", LastName: "Adams", Department: "ML", Groups: []string{"dev", "oncall"}},
	{Name: "bob", Password: "builder", Email: "bob@acme.example", FirstName: "Bob", LastName: "Brown", Department: "Sales", Groups: []string{"sales"}},
}

// IdP answers browsers. It sends assertions to connections of one service provider only.
type IdP struct {
	saml *samltest.IdP
	// sp is the service provider's external URL; everything it calls itself starts with sp + "/saml/".
	sp  string
	now func() time.Time
	log *slog.Logger
}

const (
	persistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	success    = "urn:oasis:names:tc:SAML:2.0:status:Success"
	maxBody    = 64 << 10
)

// New makes the IdP. url is its own external URL, sp the service provider's; both are https without a path. pair signs.
func New(url, sp string, pair tls.Certificate, log *slog.Logger) (*IdP, error) {
	now := time.Now
	inner, err := samltest.NewIdP(url+"/metadata", url+"/sso", url+"/slo", now())
	if err != nil {
		return nil, err
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key of the demonstration IdP cannot sign")
	}
	inner.Key, inner.Certificate = signer, pair.Certificate[0]
	return &IdP{saml: inner, sp: sp, now: now, log: log}, nil
}

// Handler serves /metadata, /sso, /slo and a front page.
func (i *IdP) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /metadata", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/samlmetadata+xml")
		_, _ = w.Write(i.saml.Metadata())
	})
	mux.HandleFunc("GET /sso", i.ask)
	mux.HandleFunc("POST /sso", i.ask)
	mux.HandleFunc("POST /login", i.login)
	mux.HandleFunc("GET /slo", i.logout)
	mux.HandleFunc("POST /slo", i.logout)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		i.show(w, http.StatusOK, "front.html", map[string]any{"Accounts": Accounts})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		mux.ServeHTTP(w, r)
	})
}

// ask shows the sign-in form. The request goes into it again, as the Redirect binding's query or the POST binding's value, and is read anew at login.
func (i *IdP) ask(w http.ResponseWriter, r *http.Request) {
	message, err := i.read(r)
	if err != nil {
		i.fail(w, err)
		return
	}
	i.form(w, http.StatusOK, r.URL.RawQuery, r.PostFormValue("SAMLRequest"), message.RelayState, "")
}

func (i *IdP) form(w http.ResponseWriter, status int, query, value, relayState, problem string) {
	i.show(w, status, "login.html", map[string]any{"Accounts": Accounts, "Query": query, "Value": value, "RelayState": relayState, "Problem": problem})
}

func (i *IdP) login(w http.ResponseWriter, r *http.Request) {
	query, value, relayState := r.PostFormValue("query"), r.PostFormValue("value"), r.PostFormValue("relayState")
	message, err := i.parse(query, value, relayState)
	if err == nil && message.Kind != "AuthnRequest" {
		err = errors.New("this is no AuthnRequest")
	}
	if err != nil {
		i.fail(w, err)
		return
	}
	account := find(r.PostFormValue("username"), r.PostFormValue("password"))
	if account == nil {
		i.form(w, http.StatusUnauthorized, query, value, relayState, "That is not one of the accounts below.")
		return
	}
	form, err := i.saml.Form(i.response(message, account))
	if err != nil {
		i.fail(w, err)
		return
	}
	i.log.Info("signed in", "account", account.Name, "connection", message.Issuer)
	i.post(w, message.Issuer+"/acs", "SAMLResponse", form, relayState)
}

func (i *IdP) response(message *samltest.Request, account *Account) samltest.Response {
	now := i.now()
	return samltest.Response{
		Now: now, ACS: message.Issuer + "/acs", Audience: message.Issuer, InResponseTo: message.ID,
		NameID: "demo-" + account.Name, NameIDFormat: persistent,
		SessionIndex: samltest.NewID(), SessionNotOnOrAfter: now.Add(8 * time.Hour),
		SignAssertion: true, SignResponse: true,
		Attributes: []samltest.Attribute{
			{Name: "email", Values: []string{account.Email}},
			{Name: "firstName", Values: []string{account.FirstName}},
			{Name: "lastName", Values: []string{account.LastName}},
			{Name: "groups", Values: account.Groups},
			{Name: "department", Values: []string{account.Department}},
		},
	}
}

// logout answers the service provider's LogoutRequest. There is no session here to end: every sign-in asks for the password.
func (i *IdP) logout(w http.ResponseWriter, r *http.Request) {
	message, err := i.read(r)
	switch {
	case err != nil:
		i.fail(w, err)
	case message.Kind == "LogoutRequest":
		answer := samltest.Logout{Now: i.now(), Destination: message.Issuer + "/slo", InResponseTo: message.ID, Status: success, RelayState: message.RelayState}
		query, err := i.saml.Query(i.saml.LogoutResponse(answer), answer)
		if err != nil {
			i.fail(w, err)
			return
		}
		http.Redirect(w, r, answer.Destination+"?"+query, http.StatusFound)
	default:
		i.show(w, http.StatusOK, "front.html", map[string]any{"Accounts": Accounts, "Note": "You are signed out."})
	}
}

func (i *IdP) read(r *http.Request) (*samltest.Request, error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	value := r.PostFormValue("SAMLRequest")
	if value == "" {
		value = r.PostFormValue("SAMLResponse")
	}
	return i.parse(r.URL.RawQuery, value, r.PostFormValue("RelayState"))
}

// parse reads a message of either binding and refuses what does not come from a connection of the one service provider.
func (i *IdP) parse(query, value, relayState string) (*samltest.Request, error) {
	var message *samltest.Request
	var err error
	if value != "" {
		message, err = samltest.ReadForm(value, relayState, nil)
	} else {
		message, err = samltest.ReadQuery(query, nil)
	}
	if err != nil {
		return nil, err
	}
	name, ours := strings.CutPrefix(message.Issuer, i.sp+"/saml/")
	if !ours || name == "" || strings.ContainsAny(name, "/?#") {
		return nil, fmt.Errorf("%q is not a connection of %s", message.Issuer, i.sp)
	}
	if message.ACS != "" && message.ACS != message.Issuer+"/acs" {
		return nil, fmt.Errorf("%q is not the assertion consumer service of %s", message.ACS, message.Issuer)
	}
	return message, nil
}

func (i *IdP) post(w http.ResponseWriter, action, field, value, relayState string) {
	i.show(w, http.StatusOK, "post.html", map[string]any{"Action": action, "Field": field, "Value": value, "RelayState": relayState})
}

func (i *IdP) fail(w http.ResponseWriter, err error) {
	i.show(w, http.StatusBadRequest, "front.html", map[string]any{"Accounts": Accounts, "Note": "That request cannot be answered: " + err.Error() + "."})
}

func (i *IdP) show(w http.ResponseWriter, status int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, name, data); err != nil {
		i.log.Warn("writing a page", "error", err)
	}
}

func find(name, password string) *Account {
	for n := range Accounts {
		if account := &Accounts[n]; account.Name == name && subtle.ConstantTimeCompare([]byte(account.Password), []byte(password)) == 1 {
			return account
		}
	}
	return nil
}
