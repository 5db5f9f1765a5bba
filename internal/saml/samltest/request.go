package samltest

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
)

// Request is a message that the IdP received from a service provider.
type Request struct {
	// Kind is AuthnRequest, LogoutRequest or LogoutResponse.
	Kind string
	ID   string
	// Issuer is the service provider's entity ID, ACS its AssertionConsumerServiceURL.
	Issuer, ACS, Destination, InResponseTo string
	ForceAuthn                             bool
	// NameIDFormat is of the NameIDPolicy; HasNameIDPolicy tells whether there is one.
	NameIDFormat    string
	HasNameIDPolicy bool
	Comparison      string
	Classes         []string
	NameID          string
	SessionIndexes  []string
	Status          string
	RelayState      string
	XML             []byte
}

// maxRequest bounds a request after DEFLATE, in bytes.
const maxRequest = 64 << 10

// ReadQuery reads a message of the Redirect binding from the raw query. With sp, the query's signature must verify with it.
func ReadQuery(rawQuery string, sp *xmldsig.Policy) (*Request, error) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, err
	}
	field := "SAMLRequest"
	if values.Has("SAMLResponse") {
		field = "SAMLResponse"
	}
	deflated, err := base64.StdEncoding.DecodeString(values.Get(field))
	if err != nil {
		return nil, fmt.Errorf("samltest: %s is not base64", field)
	}
	xml, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(deflated)), maxRequest))
	if err != nil {
		return nil, fmt.Errorf("samltest: %s is not DEFLATE data", field)
	}
	if sp != nil {
		// The standard lists the parts in this order, whatever the query's is.
		signed := field + "=" + url.QueryEscape(values.Get(field))
		if values.Has("RelayState") {
			signed += "&RelayState=" + url.QueryEscape(values.Get("RelayState"))
		}
		signed += "&SigAlg=" + url.QueryEscape(values.Get("SigAlg"))
		signature, err := base64.StdEncoding.DecodeString(values.Get("Signature"))
		if err != nil {
			return nil, err
		}
		if err := xmldsig.VerifyBytes([]byte(signed), values.Get("SigAlg"), signature, *sp); err != nil {
			return nil, err
		}
	}
	r, err := readRequest(xml)
	if err == nil {
		r.RelayState = values.Get("RelayState")
	}
	return r, err
}

// ReadForm reads a message of the POST binding. With sp, the message's XML signature must verify with it.
func ReadForm(value, relayState string, sp *xmldsig.Policy) (*Request, error) {
	xml, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, err
	}
	if sp != nil {
		root, err := xmldoc.Parse(xml, xmldoc.DefaultLimits())
		if err != nil {
			return nil, err
		}
		if _, err := xmldsig.Verify(root, *sp); err != nil {
			return nil, err
		}
	}
	r, err := readRequest(xml)
	if err == nil {
		r.RelayState = relayState
	}
	return r, err
}

func readRequest(xml []byte) (*Request, error) {
	root, err := xmldoc.Parse(xml, xmldoc.DefaultLimits())
	if err != nil {
		return nil, err
	}
	if root.Space != nsProtocol {
		return nil, errors.New("samltest: not a SAML protocol message")
	}
	r := &Request{
		Kind: root.Local, ID: root.Value("ID"), ACS: root.Value("AssertionConsumerServiceURL"), Destination: root.Value("Destination"),
		InResponseTo: root.Value("InResponseTo"), ForceAuthn: root.Value("ForceAuthn") == "true", XML: xml,
	}
	for c := root.First; c != nil; c = c.Next {
		switch c.Local {
		case "Issuer":
			r.Issuer = c.Trimmed()
		case "NameIDPolicy":
			r.HasNameIDPolicy, r.NameIDFormat = true, c.Value("Format")
		case "RequestedAuthnContext":
			r.Comparison = c.Value("Comparison")
			for k := c.First; k != nil; k = k.Next {
				r.Classes = append(r.Classes, k.Trimmed())
			}
		case "NameID":
			r.NameID = c.Text
		case "SessionIndex":
			r.SessionIndexes = append(r.SessionIndexes, c.Trimmed())
		case "Status":
			if c.First != nil {
				r.Status = c.First.Value("Value")
			}
		}
	}
	return r, nil
}
