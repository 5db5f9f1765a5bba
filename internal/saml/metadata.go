package saml

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"

	"github.com/beevik/etree"

	"sallyport.dev/sallyport/internal/saml/xmldsig"
	"sallyport.dev/sallyport/internal/snapshot"
)

const nsMetadata = "urn:oasis:names:tc:SAML:2.0:metadata"

// encryptionMethods are what an IdP may encrypt with, best first: authenticated encryption before CBC, because many IdPs take the
// first that they know (saml-metadata 2.4.1.1).
var encryptionMethods = []string{
	"http://www.w3.org/2009/xmlenc11#aes256-gcm", "http://www.w3.org/2009/xmlenc11#aes192-gcm", "http://www.w3.org/2009/xmlenc11#aes128-gcm",
	"http://www.w3.org/2001/04/xmlenc#aes256-cbc", "http://www.w3.org/2001/04/xmlenc#aes192-cbc", "http://www.w3.org/2001/04/xmlenc#aes128-cbc",
	"http://www.w3.org/2009/xmlenc11#rsa-oaep", "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p",
}

// Metadata writes the SP metadata of the connection (saml-metadata 2.4.4): signing keys Current and Next, encryption keys Current
// and Previous, one ACS with POST, single logout with both bindings where it is on, and the attributes that the mapping reads under
// their real names. It carries no validUntil: administrators upload it once, and an expired copy would stop sign-ins.
func (c *Connection) Metadata() ([]byte, error) {
	doc := etree.NewDocument()
	doc.CreateProcInst("xml", `version="1.0" encoding="UTF-8"`)
	root := doc.CreateElement("md:EntityDescriptor")
	root.CreateAttr("xmlns:md", nsMetadata)
	root.CreateAttr("xmlns:ds", xmldsig.Space)
	root.CreateAttr("entityID", c.conf.EntityID)
	sp := root.CreateElement("md:SPSSODescriptor")
	sp.CreateAttr("AuthnRequestsSigned", boolean(c.signsRequests()))
	sp.CreateAttr("WantAssertionsSigned", "true")
	sp.CreateAttr("protocolSupportEnumeration", nsProtocol)
	for _, k := range c.keysIn(snapshot.KeyCurrent, snapshot.KeyNext) {
		keyDescriptor(sp, "signing", k)
	}
	for _, k := range c.keysIn(snapshot.KeyCurrent, snapshot.KeyPrevious) {
		if decrypts(k) {
			d := keyDescriptor(sp, "encryption", k)
			for _, alg := range encryptionMethods {
				d.CreateElement("md:EncryptionMethod").CreateAttr("Algorithm", alg)
			}
		}
	}
	if c.conf.Logout.Enabled && c.conf.SLOURL != "" {
		for _, b := range []string{snapshot.BindingRedirect, snapshot.BindingPOST} {
			slo := sp.CreateElement("md:SingleLogoutService")
			slo.CreateAttr("Binding", b)
			slo.CreateAttr("Location", c.conf.SLOURL)
		}
	}
	if f := c.conf.Request.NameIDFormat; f != "" {
		sp.CreateElement("md:NameIDFormat").SetText(f)
	}
	acs := sp.CreateElement("md:AssertionConsumerService")
	acs.CreateAttr("Binding", snapshot.BindingPOST)
	acs.CreateAttr("Location", c.conf.ACSURL)
	acs.CreateAttr("index", "0")
	acs.CreateAttr("isDefault", "true")
	c.requestedAttributes(sp)
	doc.Indent(2)
	return doc.WriteToBytes()
}

func (c *Connection) signsRequests() bool {
	return c.signer != nil && (c.conf.Request.Sign || c.conf.Trust != nil && c.conf.Trust.WantAuthnRequestsSigned)
}

func (c *Connection) keysIn(phases ...snapshot.KeyPhase) []snapshot.SPKey {
	var out []snapshot.SPKey
	for _, phase := range phases {
		for _, k := range c.conf.Keys {
			if k.Phase == phase {
				out = append(out, k)
			}
		}
	}
	return out
}

func keyDescriptor(sp *etree.Element, use string, k snapshot.SPKey) *etree.Element {
	d := sp.CreateElement("md:KeyDescriptor")
	d.CreateAttr("use", use)
	data := d.CreateElement("ds:KeyInfo").CreateElement("ds:X509Data")
	data.CreateElement("ds:X509Certificate").SetText(base64.StdEncoding.EncodeToString(k.Certificate))
	return d
}

// decrypts tells whether a key can unwrap session keys: key transport is RSA-OAEP.
func decrypts(k snapshot.SPKey) bool {
	key, err := x509.ParsePKCS8PrivateKey(k.PrivateKey)
	_, ok := key.(*rsa.PrivateKey)
	return err == nil && ok
}

func boolean(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// requestedAttributes lists every attribute that the mapping reads, each once; an e-mail attribute is marked as required only when
// there is no other source for the address.
func (c *Connection) requestedAttributes(sp *etree.Element) {
	m := c.conf.Mapping
	sources := [][]snapshot.AttributeSource{m.Email, m.FirstName, m.LastName, m.Groups.From}
	for _, p := range m.Profile {
		sources = append(sources, p.From)
	}
	var service *etree.Element
	seen := map[string]bool{}
	for i, list := range sources {
		for _, s := range list {
			if s.Name == "" || seen[s.Name] {
				continue
			}
			seen[s.Name] = true
			if service == nil {
				service = attributeService(sp, c.conf)
			}
			ra := service.CreateElement("md:RequestedAttribute")
			ra.CreateAttr("Name", s.Name)
			ra.CreateAttr("NameFormat", nameFormat(s.Name))
			if i == 0 && len(list) == 1 {
				ra.CreateAttr("isRequired", "true")
			}
		}
	}
}

func attributeService(sp *etree.Element, c snapshot.Connection) *etree.Element {
	service := sp.CreateElement("md:AttributeConsumingService")
	service.CreateAttr("index", "0")
	service.CreateAttr("isDefault", "true")
	name := service.CreateElement("md:ServiceName")
	name.CreateAttr("xml:lang", "en")
	name.SetText(c.EntityID)
	if c.DisplayName != "" {
		name.SetText(c.DisplayName)
	}
	return service
}

// nameFormat is uri for names that are URIs and unspecified for the rest, which every IdP matches by name alone.
func nameFormat(name string) string {
	if absoluteURL(name) == nil || len(name) > 4 && name[:4] == "urn:" {
		return "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"
	}
	return "urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified"
}
