package saml

import (
	"encoding/base64"
	"fmt"
	"time"

	"github.com/beevik/etree"

	"sallyport.dev/sallyport/internal/snapshot"
)

// logoutLifetime is how long a LogoutRequest of ours may be used.
const logoutLifetime = 5 * time.Minute

// CanLogout tells whether single logout is on and the IdP has a URL for it.
func (c *Connection) CanLogout() bool {
	_, ok := c.sloEndpoint("")
	return ok && c.conf.Logout.Enabled && c.signer != nil
}

// NewLogoutRequest makes a signed LogoutRequest for a session that the IdP opened (saml-profiles 4.4.4.1): id is the NameID of the
// assertion as it was received, sessionIndexes its SessionIndex values. relayState is at most 80 bytes.
func (c *Connection) NewLogoutRequest(now time.Time, id NameID, sessionIndexes []string, relayState string) (*Message, error) {
	if id.Value == "" {
		return nil, fmt.Errorf("connection %s: the session has no NameID: the IdP cannot be told whose session ends", c.conf.Name)
	}
	endpoint, ok := c.sloEndpoint("")
	if !ok {
		return nil, c.noLogout()
	}
	mid := newID()
	el := c.logoutElement("LogoutRequest", mid, endpoint.URL, now)
	el.CreateAttr("NotOnOrAfter", now.UTC().Add(logoutLifetime).Format(timeFormat))
	nameID := el.CreateElement("saml:NameID")
	for _, a := range []etree.Attr{{Key: "Format", Value: id.Format}, {Key: "NameQualifier", Value: id.NameQualifier}, {Key: "SPNameQualifier", Value: id.SPNameQualifier}} {
		if a.Value != "" {
			nameID.CreateAttr(a.Key, a.Value)
		}
	}
	nameID.SetText(id.Value)
	for _, s := range sessionIndexes {
		if s != "" {
			el.CreateElement("samlp:SessionIndex").SetText(s)
		}
	}
	return c.send(el, mid, "SAMLRequest", endpoint.Binding, endpoint.URL, relayState)
}

// NewLogoutResponse makes a signed answer to a LogoutRequest. inResponseTo is the request's ID, binding how it came, status
// StatusSuccess or another status URI.
func (c *Connection) NewLogoutResponse(now time.Time, inResponseTo, binding, status, relayState string) (*Message, error) {
	endpoint, ok := c.sloEndpoint(binding)
	if !ok {
		return nil, c.noLogout()
	}
	url := endpoint.URL
	if endpoint.ResponseURL != "" && absoluteURL(endpoint.ResponseURL) == nil {
		url = endpoint.ResponseURL
	}
	mid := newID()
	el := c.logoutElement("LogoutResponse", mid, url, now)
	if inResponseTo != "" {
		el.CreateAttr("InResponseTo", inResponseTo)
	}
	el.CreateElement("samlp:Status").CreateElement("samlp:StatusCode").CreateAttr("Value", status)
	return c.send(el, mid, "SAMLResponse", endpoint.Binding, url, relayState)
}

const timeFormat = "2006-01-02T15:04:05.000Z"

func (c *Connection) noLogout() error {
	return fmt.Errorf("connection %s: the IdP has no single logout URL: set spec.saml.logout.url or use metadata that has one", c.conf.Name)
}

// sloEndpoint picks the IdP's logout endpoint: the connection's own setting with Redirect, else the preferred binding, else Redirect
// before POST.
func (c *Connection) sloEndpoint(preferred string) (snapshot.Endpoint, bool) {
	if c.conf.Trust == nil {
		return snapshot.Endpoint{}, false
	}
	if url := c.conf.Logout.URL; url != "" {
		return snapshot.Endpoint{Binding: snapshot.BindingRedirect, URL: url}, absoluteURL(url) == nil
	}
	return pickEndpoint(c.conf.Trust.SLO, []string{preferred, snapshot.BindingRedirect, snapshot.BindingPOST})
}

func (c *Connection) logoutElement(local, id, destination string, now time.Time) *etree.Element {
	el := etree.NewElement("samlp:" + local)
	el.CreateAttr("xmlns:saml", nsAssertion)
	el.CreateAttr("xmlns:samlp", nsProtocol)
	el.CreateAttr("ID", id)
	el.CreateAttr("Version", "2.0")
	el.CreateAttr("IssueInstant", now.UTC().Format(timeFormat))
	el.CreateAttr("Destination", destination)
	el.CreateElement("saml:Issuer").SetText(c.conf.EntityID)
	return el
}

// send signs and encodes: by the query with Redirect, by XML with POST.
func (c *Connection) send(el *etree.Element, id, field, binding, url, relayState string) (*Message, error) {
	if c.signer == nil {
		return nil, fmt.Errorf("connection %s: no current key to sign logout messages with", c.conf.Name)
	}
	if len(relayState) > 4*maxRelayState {
		return nil, fmt.Errorf("connection %s: the relay state has %d bytes", c.conf.Name, len(relayState))
	}
	m := &Message{ID: id, Binding: binding}
	if binding == snapshot.BindingPOST {
		xml, err := serialize(el, c.signer)
		if err != nil {
			return nil, err
		}
		m.PostURL, m.Field, m.Value, m.RelayState = url, field, base64.StdEncoding.EncodeToString(xml), relayState
		return m, nil
	}
	xml, err := serialize(el, nil)
	if err != nil {
		return nil, err
	}
	m.RedirectURL, err = redirectURL(url, field, xml, relayState, c.signer)
	return m, err
}
