package trust

import (
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
	"sallyport.dev/sallyport/internal/snapshot"
)

const nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"

// readEntity reads what the selected entity says (saml-metadata 2.3.2). Where a signature is asked for, it reads the signed bytes and nothing else.
func readEntity(selected *selection, o ParseOptions) (*Metadata, error) {
	root, entity, err := parseWrapped(selected.document, selected.depth)
	if err != nil {
		return nil, err
	}
	if entity == nil || !entity.Is(nsMetadata, "EntityDescriptor") {
		return nil, fail(KindWrongRoot, "What came is XML, but not SAML 2.0 metadata: its root is not an EntityDescriptor or EntitiesDescriptor.")
	}
	if len(o.SignatureCertificates) > 0 && !selected.signed {
		if entity, err = signedEntity(entity, o); err != nil {
			return nil, err
		}
	}
	m := &Metadata{}
	if err := m.readFrame(root, selected.depth, entity, o.Now); err != nil {
		return nil, err
	}
	m.Trust.EntityID = entity.Value("entityID")
	if m.Trust.EntityID == "" || len(m.Trust.EntityID) > 1024 {
		return nil, fail(KindWrongRoot, "The metadata's EntityDescriptor has no usable entityID.")
	}
	if o.EntityID != "" && m.Trust.EntityID != o.EntityID {
		return nil, fail(KindEntityNotFound, "The metadata is about the entity %s, and spec.saml.metadata.entityID asks for %s.", clip(m.Trust.EntityID), clip(o.EntityID))
	}
	role := identityProviderRole(entity)
	if role == nil {
		return nil, fail(KindNoIDPSSODescriptor, "The entity %s is not a SAML 2.0 identity provider: its metadata has no IDPSSODescriptor.", clip(m.Trust.EntityID))
	}
	if err := m.readRole(role, o); err != nil {
		return nil, err
	}
	m.Trust.ValidUntil = m.ValidUntil
	m.Digest = digest(m.Trust)
	return m, nil
}

// signedEntity verifies the entity's own signature and returns the entity that was signed.
func signedEntity(entity *xmldoc.Node, o ParseOptions) (*xmldoc.Node, error) {
	policy := xmldsig.Policy{Limits: entityLimits()}
	for _, certificate := range o.SignatureCertificates {
		policy.Keys = append(policy.Keys, certificate.PublicKey)
	}
	signed, err := xmldsig.Verify(entity, policy)
	if err != nil {
		return nil, signatureError(err)
	}
	verified, err := xmldoc.Parse(signed, entityLimits())
	if err != nil {
		return nil, xmlError(err)
	}
	return verified, nil
}

// readFrame reads validUntil and cacheDuration of the entity and of everything around it: the strictest counts (saml-metadata 2.3.1).
func (m *Metadata) readFrame(root *xmldoc.Node, depth int, entity *xmldoc.Node, now time.Time) error {
	frames := []*xmldoc.Node{entity}
	for node := root; depth > 0 && node != nil; depth, node = depth-1, node.First {
		frames = append(frames, node)
	}
	if role := identityProviderRole(entity); role != nil {
		frames = append(frames, role)
	}
	for _, frame := range frames {
		if text, ok := frame.Attr("validUntil"); ok {
			until, err := time.Parse(time.RFC3339, strings.TrimSpace(text))
			if err != nil {
				return fail(KindNotXML, "The metadata's validUntil is not a time: %s.", clip(text))
			}
			if m.ValidUntil.IsZero() || until.Before(m.ValidUntil) {
				m.ValidUntil = until.UTC()
			}
		}
		if text, ok := frame.Attr("cacheDuration"); ok {
			if d, err := parseDuration(strings.TrimSpace(text)); err == nil && d > 0 && (m.CacheDuration == 0 || d < m.CacheDuration) {
				m.CacheDuration = d
			}
		}
	}
	if !m.ValidUntil.IsZero() && !now.Before(m.ValidUntil) {
		return fail(KindExpired, "The metadata was valid until %s: the IdP's admin has to publish it anew.", m.ValidUntil.Format(time.DateOnly))
	}
	return nil
}

// identityProviderRole returns the entity's IDPSSODescriptor for SAML 2.0 (saml-metadata 2.4.3), nil when there is none.
func identityProviderRole(entity *xmldoc.Node) *xmldoc.Node {
	for child := entity.First; child != nil; child = child.Next {
		if !child.Is(nsMetadata, "IDPSSODescriptor") {
			continue
		}
		for _, protocol := range strings.Fields(child.Value("protocolSupportEnumeration")) {
			if protocol == nsProtocol {
				return child
			}
		}
	}
	return nil
}

func (m *Metadata) readRole(role *xmldoc.Node, o ParseOptions) error {
	m.Trust.WantAuthnRequestsSigned = isTrue(role.Value("WantAuthnRequestsSigned"))
	for child := role.First; child != nil; child = child.Next {
		switch {
		case child.Is(nsMetadata, "KeyDescriptor"):
			if err := m.readKey(child); err != nil {
				return err
			}
		case child.Is(nsMetadata, "SingleSignOnService"):
			m.Trust.SSO = m.addEndpoint(m.Trust.SSO, child, o)
		case child.Is(nsMetadata, "SingleLogoutService"):
			m.Trust.SLO = m.addEndpoint(m.Trust.SLO, child, o)
		case child.Is(nsMetadata, "NameIDFormat"):
			m.Trust.NameIDFormats = append(m.Trust.NameIDFormats, strings.TrimSpace(child.Text))
		case child.Is(nsAssertion, "Attribute"):
			m.Trust.Attributes = append(m.Trust.Attributes, snapshot.AdvertisedAttribute{Name: child.Value("Name"), FriendlyName: child.Value("FriendlyName")})
		}
	}
	if len(m.Trust.SSO) == 0 {
		return fail(KindBadEndpoint, "The metadata has no SingleSignOnService over https with the Redirect or POST binding.")
	}
	if len(m.Trust.SigningCertificates) == 0 {
		return fail(KindNoSigningKey, "The metadata has no signing certificate that can be trusted: RSA of at least 2048 bits, or ECDSA with P-256 or larger.")
	}
	return nil
}

// addEndpoint takes an endpoint whose binding we speak and whose URL is safe to send people to; what is left out is said in a warning.
func (m *Metadata) addEndpoint(all []snapshot.Endpoint, node *xmldoc.Node, o ParseOptions) []snapshot.Endpoint {
	binding := node.Value("Binding")
	if binding != snapshot.BindingRedirect && binding != snapshot.BindingPOST {
		return all
	}
	endpoint := snapshot.Endpoint{Binding: binding, URL: strings.TrimSpace(node.Value("Location")), ResponseURL: strings.TrimSpace(node.Value("ResponseLocation"))}
	for _, address := range []string{endpoint.URL, endpoint.ResponseURL} {
		if address == "" && address != endpoint.URL {
			continue
		}
		if err := checkEndpoint(address, o.AllowHTTPLoopback); err != nil {
			m.Warnings = append(m.Warnings, node.Local+" is left out: "+err.Error())
			return all
		}
	}
	return append(all, endpoint)
}

func isTrue(boolean string) bool { return boolean == "true" || boolean == "1" }
