package samltest

import (
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/saml/xmldsig"
	"sallyport.dev/sallyport/internal/saml/xmlenc"
)

// Attribute is one attribute of a person.
type Attribute struct {
	Name, FriendlyName string
	Values             []string
}

// Response says what a response contains. What is left zero gets the value that a well-behaved IdP sends.
type Response struct {
	Now time.Time
	// ACS and Audience are the service provider's; InResponseTo is empty for an unsolicited response.
	ACS, Audience, InResponseTo string

	NameID, NameIDFormat string
	Attributes           []Attribute
	SessionIndex         string
	SessionNotOnOrAfter  time.Time
	// AuthnContextClass defaults to PasswordProtectedTransport, AuthnInstant to Now.
	AuthnContextClass string
	AuthnInstant      time.Time
	// Lifetime is from Now to both NotOnOrAfter; five minutes when zero.
	Lifetime time.Duration

	// SignResponse and SignAssertion choose the signatures; with neither, the assertion is signed unless Unsigned.
	SignResponse, SignAssertion, Unsigned bool
	// Method and Digest are XML signature URIs; NoKeyInfo leaves the certificate out.
	Method, Digest string
	NoKeyInfo      bool

	// EncryptTo encrypts the assertion to these keys.
	EncryptTo  []*rsa.PublicKey
	Encryption xmlenc.Options

	// EditAssertion, EditResponse and EditSent change the text before the assertion is signed, before the response is signed, and at
	// the very end.
	EditAssertion, EditResponse, EditSent func(string) string

	// ResponseID and AssertionID are made up when empty.
	ResponseID, AssertionID string
	// Status is a status URI; anything but Success leaves the assertion out.
	Status, SubStatus, StatusMessage string
}

const success = "urn:oasis:names:tc:SAML:2.0:status:Success"

func (r Response) withDefaults() Response {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&r.NameID, "alice@example.com")
	def(&r.NameIDFormat, "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress")
	def(&r.SessionIndex, "s-"+NewID()[1:9])
	def(&r.AuthnContextClass, "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport")
	def(&r.ResponseID, NewID())
	def(&r.AssertionID, NewID())
	def(&r.Status, success)
	if r.AuthnInstant.IsZero() {
		r.AuthnInstant = r.Now
	}
	if r.Lifetime == 0 {
		r.Lifetime = 5 * time.Minute
	}
	if !r.SignResponse && !r.Unsigned {
		r.SignAssertion = true
	}
	return r
}

// Respond makes the response's XML.
func (i *IdP) Respond(r Response) ([]byte, error) {
	r = r.withDefaults()
	assertion := ""
	if r.Status == success {
		var err error
		if assertion, err = i.assertion(r); err != nil {
			return nil, err
		}
	}
	doc := `<samlp:Response xmlns:samlp="` + nsProtocol + `" xmlns:saml="` + nsAssertion + `" ID="` + r.ResponseID + `" Version="2.0" IssueInstant="` +
		stamp(r.Now) + `" Destination="` + Escape(r.ACS) + `"` + inResponseTo(r.InResponseTo) + `><saml:Issuer>` + Escape(i.EntityID) + `</saml:Issuer>` +
		status(r.Status, r.SubStatus, r.StatusMessage) + assertion + `</samlp:Response>`
	if r.EditResponse != nil {
		doc = r.EditResponse(doc)
	}
	if r.SignResponse {
		var err error
		if doc, err = Sign(doc, i.signer(r)); err != nil {
			return nil, err
		}
	}
	if r.EditSent != nil {
		doc = r.EditSent(doc)
	}
	return []byte(doc), nil
}

// Form makes the response as the value of the form field SAMLResponse.
func (i *IdP) Form(r Response) (string, error) {
	xml, err := i.Respond(r)
	return base64.StdEncoding.EncodeToString(xml), err
}

func (i *IdP) signer(r Response) *xmldsig.Signer {
	s := &xmldsig.Signer{Key: i.Key, Method: r.Method, Digest: r.Digest}
	if !r.NoKeyInfo {
		s.Certificate = i.Certificate
	}
	return s
}

// assertion makes the Assertion or EncryptedAssertion element.
func (i *IdP) assertion(r Response) (string, error) {
	text := i.assertionText(r)
	if r.EditAssertion != nil {
		text = r.EditAssertion(text)
	}
	if r.SignAssertion {
		var err error
		if text, err = Sign(text, i.signer(r)); err != nil {
			return "", err
		}
	}
	if len(r.EncryptTo) == 0 {
		return text, nil
	}
	encrypted, err := xmlenc.Encrypt([]byte(text), r.EncryptTo, r.Encryption)
	if err != nil {
		return "", err
	}
	return `<saml:EncryptedAssertion>` + string(encrypted) + `</saml:EncryptedAssertion>`, nil
}

func (i *IdP) assertionText(r Response) string {
	until := stamp(r.Now.Add(r.Lifetime))
	var b strings.Builder
	fmt.Fprintf(&b, `<saml:Assertion xmlns:saml="%s" xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ID="%s" Version="2.0" IssueInstant="%s">`,
		nsAssertion, r.AssertionID, stamp(r.Now))
	fmt.Fprintf(&b, `<saml:Issuer>%s</saml:Issuer>`, Escape(i.EntityID))
	fmt.Fprintf(&b, `<saml:Subject><saml:NameID Format="%s">%s</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">`+
		`<saml:SubjectConfirmationData NotOnOrAfter="%s" Recipient="%s"%s/></saml:SubjectConfirmation></saml:Subject>`,
		Escape(r.NameIDFormat), Escape(r.NameID), until, Escape(r.ACS), inResponseTo(r.InResponseTo))
	fmt.Fprintf(&b, `<saml:Conditions NotBefore="%s" NotOnOrAfter="%s"><saml:AudienceRestriction><saml:Audience>%s</saml:Audience></saml:AudienceRestriction></saml:Conditions>`,
		stamp(r.Now.Add(-time.Minute)), until, Escape(r.Audience))
	session := ""
	if !r.SessionNotOnOrAfter.IsZero() {
		session = ` SessionNotOnOrAfter="` + stamp(r.SessionNotOnOrAfter) + `"`
	}
	fmt.Fprintf(&b, `<saml:AuthnStatement AuthnInstant="%s" SessionIndex="%s"%s><saml:AuthnContext><saml:AuthnContextClassRef>%s</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>`,
		stamp(r.AuthnInstant), Escape(r.SessionIndex), session, Escape(r.AuthnContextClass))
	b.WriteString(attributeStatement(r.Attributes))
	b.WriteString(`</saml:Assertion>`)
	return b.String()
}

func attributeStatement(attributes []Attribute) string {
	if len(attributes) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(`<saml:AttributeStatement>`)
	for _, a := range attributes {
		fmt.Fprintf(&b, `<saml:Attribute Name="%s" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic"`, Escape(a.Name))
		if a.FriendlyName != "" {
			fmt.Fprintf(&b, ` FriendlyName="%s"`, Escape(a.FriendlyName))
		}
		b.WriteString(`>`)
		for _, v := range a.Values {
			b.WriteString(`<saml:AttributeValue xsi:type="xs:string">` + Escape(v) + `</saml:AttributeValue>`)
		}
		b.WriteString(`</saml:Attribute>`)
	}
	b.WriteString(`</saml:AttributeStatement>`)
	return b.String()
}

func inResponseTo(id string) string {
	if id == "" {
		return ""
	}
	return ` InResponseTo="` + Escape(id) + `"`
}

func status(code, sub, message string) string {
	inner := ""
	if sub != "" {
		inner = `<samlp:StatusCode Value="` + Escape(sub) + `"/>`
	}
	out := `<samlp:Status><samlp:StatusCode Value="` + Escape(code) + `">` + inner + `</samlp:StatusCode>`
	if message != "" {
		out += `<samlp:StatusMessage>` + Escape(message) + `</samlp:StatusMessage>`
	}
	return out + `</samlp:Status>`
}
