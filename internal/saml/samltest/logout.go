package samltest

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"net/url"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/saml/xmldsig"
)

// Logout says what a logout message contains.
type Logout struct {
	Now time.Time
	// Destination is the service provider's single logout URL.
	Destination string
	ID          string
	// For a request: NameID, SessionIndexes and NotOnOrAfter (five minutes after Now when zero, absent when NoExpiry).
	NameID, NameIDFormat string
	// Identifier replaces the NameID element, for EncryptedID.
	Identifier     string
	SessionIndexes []string
	NotOnOrAfter   time.Time
	NoExpiry       bool
	// For a response: InResponseTo and Status.
	InResponseTo, Status, SubStatus string

	RelayState string
	Method     string
	Unsigned   bool
	// Edit changes the XML before it is signed.
	Edit func(string) string
}

// LogoutRequest makes a LogoutRequest's XML without a signature.
func (i *IdP) LogoutRequest(l Logout) string {
	expiry := ""
	if !l.NoExpiry {
		if l.NotOnOrAfter.IsZero() {
			l.NotOnOrAfter = l.Now.Add(5 * time.Minute)
		}
		expiry = ` NotOnOrAfter="` + stamp(l.NotOnOrAfter) + `"`
	}
	if l.NameID == "" {
		l.NameID = "alice@example.com"
	}
	body := l.Identifier
	if body == "" {
		body = `<saml:NameID Format="` + Escape(l.NameIDFormat) + `">` + Escape(l.NameID) + `</saml:NameID>`
	}
	for _, s := range l.SessionIndexes {
		body += `<samlp:SessionIndex>` + Escape(s) + `</samlp:SessionIndex>`
	}
	return i.logout("LogoutRequest", expiry, body, l)
}

// LogoutResponse makes a LogoutResponse's XML without a signature.
func (i *IdP) LogoutResponse(l Logout) string {
	if l.Status == "" {
		l.Status = success
	}
	return i.logout("LogoutResponse", inResponseTo(l.InResponseTo), status(l.Status, l.SubStatus, ""), l)
}

func (i *IdP) logout(local, attributes, body string, l Logout) string {
	if l.ID == "" {
		l.ID = NewID()
	}
	doc := `<samlp:` + local + ` xmlns:samlp="` + nsProtocol + `" xmlns:saml="` + nsAssertion + `" ID="` + l.ID + `" Version="2.0" IssueInstant="` + stamp(l.Now) +
		`" Destination="` + Escape(l.Destination) + `"` + attributes + `><saml:Issuer>` + Escape(i.EntityID) + `</saml:Issuer>` + body + `</samlp:` + local + `>`
	if l.Edit != nil {
		doc = l.Edit(doc)
	}
	return doc
}

// Query encodes and signs a logout message for the Redirect binding.
func (i *IdP) Query(document string, l Logout) (string, error) {
	field := "SAMLRequest"
	if strings.HasPrefix(document, "<samlp:LogoutResponse") {
		field = "SAMLResponse"
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		return "", err
	}
	if _, err := w.Write([]byte(document)); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	query := field + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(b.Bytes()))
	if l.RelayState != "" {
		query += "&RelayState=" + url.QueryEscape(l.RelayState)
	}
	if l.Unsigned {
		return query, nil
	}
	_, value, err := (&xmldsig.Signer{Key: i.Key, Method: l.Method}).SignBytes(func(method string) []byte {
		query += "&SigAlg=" + url.QueryEscape(method)
		return []byte(query)
	})
	return query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(value)), err
}

// Post encodes and signs a logout message for the POST binding.
func (i *IdP) Post(document string, l Logout) (string, error) {
	if !l.Unsigned {
		var err error
		if document, err = Sign(document, &xmldsig.Signer{Key: i.Key, Method: l.Method, Certificate: i.Certificate}); err != nil {
			return "", err
		}
	}
	return base64.StdEncoding.EncodeToString([]byte(document)), nil
}
