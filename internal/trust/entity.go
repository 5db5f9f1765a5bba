package trust

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
	"sallyport.dev/sallyport/internal/snapshot"
)

// How much of one entity is taken; the rest is left out with a warning. Keys are counted after equal ones are merged.
const (
	maxEntityID      = 1024
	maxURL           = 2048
	maxKeys          = 64
	maxEndpoints     = 16
	maxNameIDFormats = 16
	maxAttributes    = 64
	maxAttributeName = 512
	maxWarnings      = 8
)

const nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"

// reading is one entity being read.
type reading struct {
	o ParseOptions
	m *Metadata
}

func (r *reading) warn(sentence string) {
	if len(r.m.Warnings) < maxWarnings && !slices.Contains(r.m.Warnings, sentence) {
		r.m.Warnings = append(r.m.Warnings, sentence)
	}
}

// readEntity reads the selected entity: where a signature is asked for, from the bytes that were signed and no others.
func readEntity(s *selection, o ParseOptions) (*Metadata, error) {
	root, entity, err := parseWrapped(s.document, s.depth)
	if err != nil {
		return nil, err
	}
	if !entity.Is(nsMetadata, "EntityDescriptor") {
		return nil, errNamespace("EntityDescriptor")
	}
	r := &reading{o: o, m: &Metadata{}}
	for n := root; n != entity; n = n.First {
		if err := r.validity(n); err != nil {
			return nil, err
		}
	}
	if len(o.SignatureCertificates) > 0 && !s.signed {
		if entity, err = verifiedEntity(entity, s.rootProblem, o); err != nil {
			return nil, err
		}
	}
	if err := r.entity(entity); err != nil {
		return nil, err
	}
	return r.m, nil
}

// verifiedEntity checks the signature of the entity itself and returns what the signed bytes say.
func verifiedEntity(entity *xmldoc.Node, rootProblem error, o ParseOptions) (*xmldoc.Node, error) {
	policy := xmldsig.Policy{Limits: xmldoc.DefaultLimits()}
	for _, certificate := range o.SignatureCertificates {
		policy.Keys = append(policy.Keys, certificate.PublicKey)
	}
	verified, err := xmldsig.Verify(entity, policy)
	if problem, ok := errors.AsType[*xmldsig.Error](err); ok && problem.Kind == xmldsig.Missing && rootProblem != nil {
		return nil, rootProblem
	}
	if err != nil {
		return nil, signatureError(err)
	}
	_, entity, err = parseWrapped(verified, 0)
	if err != nil {
		return nil, err
	}
	if !entity.Is(nsMetadata, "EntityDescriptor") {
		return nil, errNamespace("EntityDescriptor")
	}
	return entity, nil
}

func (r *reading) entity(entity *xmldoc.Node) error {
	t := &r.m.Trust
	t.EntityID = strings.Trim(entity.Value("entityID"), " \t\r\n")
	if t.EntityID == "" || len(t.EntityID) > maxEntityID || strings.ContainsAny(t.EntityID, " \t\r\n") {
		return fail(KindWrongRoot, "The metadata's entityID is missing, has white space in it, or is longer than %d characters.", maxEntityID)
	}
	if r.o.EntityID != "" && t.EntityID != r.o.EntityID {
		return fail(KindEntityNotFound, "The metadata is about %s, not about %s, which spec.saml.metadata.entityID asks for.", clip(t.EntityID), clip(r.o.EntityID))
	}
	role := identityProviderRole(entity)
	if role == nil {
		return fail(KindNoIDPSSODescriptor, "The entity %s is not a SAML 2.0 identity provider: it has no IDPSSODescriptor for that protocol. Is this the metadata of a service provider?", clip(t.EntityID))
	}
	for _, n := range []*xmldoc.Node{entity, role} {
		if err := r.validity(n); err != nil {
			return err
		}
	}
	if !r.m.ValidUntil.IsZero() && !r.o.Now.Before(r.m.ValidUntil) {
		return fail(KindExpired, "The metadata expired on %s (validUntil): ask its publisher to publish it again.", r.m.ValidUntil.UTC().Format(time.RFC3339))
	}
	t.ValidUntil = r.m.ValidUntil
	wants := strings.Trim(role.Value("WantAuthnRequestsSigned"), " \t\r\n")
	t.WantAuthnRequestsSigned = wants == "true" || wants == "1"
	if err := r.keys(role); err != nil {
		return err
	}
	if err := r.endpoints(role); err != nil {
		return err
	}
	r.advertised(role)
	r.m.Digest = digest(*t)
	return nil
}

// identityProviderRole returns the first IDPSSODescriptor for SAML 2.0 (saml-metadata 2.4.3).
func identityProviderRole(entity *xmldoc.Node) *xmldoc.Node {
	for n := entity.First; n != nil; n = n.Next {
		if n.Is(nsMetadata, "IDPSSODescriptor") && slices.Contains(strings.Fields(n.Value("protocolSupportEnumeration")), nsProtocol) {
			return n
		}
	}
	return nil
}

// validity takes validUntil and cacheDuration of an element; around and in an entity the strictest one counts (saml-metadata 2.3.1).
func (r *reading) validity(n *xmldoc.Node) error {
	if value, ok := n.Attr("validUntil"); ok {
		until, err := parseDateTime(value)
		if err != nil {
			return fail(KindNotXML, "The metadata's validUntil on %s is not a date and time such as 2026-12-31T00:00:00Z.", n.Local)
		}
		if r.m.ValidUntil.IsZero() || until.Before(r.m.ValidUntil) {
			r.m.ValidUntil = until
		}
	}
	if value, ok := n.Attr("cacheDuration"); ok {
		duration, err := parseDuration(value)
		if err != nil {
			r.warn("cacheDuration on " + n.Local + " is not a duration such as PT6H, and was not looked at.")
			return nil
		}
		if r.m.CacheDuration == 0 || duration < r.m.CacheDuration {
			r.m.CacheDuration = duration
		}
	}
	return nil
}

func (r *reading) endpoints(role *xmldoc.Node) error {
	var problem string
	take := func(name string) []snapshot.Endpoint {
		var out []snapshot.Endpoint
		for n := role.First; n != nil; n = n.Next {
			if !n.Is(nsMetadata, name) {
				continue
			}
			binding := strings.Trim(n.Value("Binding"), " \t\r\n")
			if binding != snapshot.BindingRedirect && binding != snapshot.BindingPOST {
				continue
			}
			e := snapshot.Endpoint{Binding: binding, URL: strings.Trim(n.Value("Location"), " \t\r\n"), ResponseURL: strings.Trim(n.Value("ResponseLocation"), " \t\r\n")}
			err := checkEndpoint(e.URL, r.o.AllowHTTPLoopback)
			if err == nil && e.ResponseURL != "" {
				err = checkEndpoint(e.ResponseURL, r.o.AllowHTTPLoopback)
			}
			if err != nil {
				problem = "The " + name + " endpoint " + clip(e.URL) + " is not used: it " + err.Error() + "."
				r.warn(problem)
				continue
			}
			if slices.Contains(out, e) {
				continue
			}
			if len(out) == maxEndpoints {
				r.warn("There are more " + name + " endpoints than are used.")
				break
			}
			out = append(out, e)
		}
		return out
	}
	r.m.Trust.SLO = take("SingleLogoutService")
	problem = ""
	if r.m.Trust.SSO = take("SingleSignOnService"); len(r.m.Trust.SSO) > 0 {
		return nil
	}
	if problem != "" {
		return fail(KindBadEndpoint, "The identity provider has no single sign-on endpoint that can be used. %s", problem)
	}
	return fail(KindBadEndpoint, "The identity provider has no single sign-on endpoint with the binding HTTP-Redirect or HTTP-POST.")
}

// checkEndpoint says what is wrong with a URL that browsers shall be sent to, as the end of a sentence.
func checkEndpoint(raw string, allowHTTPLoopback bool) error {
	u, err := url.Parse(raw)
	switch {
	case len(raw) > maxURL:
		return errors.New("is longer than 2048 characters")
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return errors.New("is not an absolute URL")
	case u.User != nil:
		return errors.New("has a user name in it")
	case u.Fragment != "":
		return errors.New("has a fragment in it")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && allowHTTPLoopback && isLoopbackHost(u.Hostname()):
		return nil
	}
	return errors.New("must be https: what goes over http can be read and changed on the way")
}

func isLoopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}

// advertised takes what helps people to write a mapping: NameID formats and attributes (saml-metadata 2.4.3).
func (r *reading) advertised(role *xmldoc.Node) {
	t := &r.m.Trust
	for n := role.First; n != nil; n = n.Next {
		switch {
		case n.Is(nsMetadata, "NameIDFormat"):
			format := n.Trimmed()
			if format != "" && len(format) <= 256 && len(t.NameIDFormats) < maxNameIDFormats && !slices.Contains(t.NameIDFormats, format) {
				t.NameIDFormats = append(t.NameIDFormats, format)
			}
		case n.Is(nsAssertion, "Attribute"):
			a := snapshot.AdvertisedAttribute{Name: n.Value("Name"), FriendlyName: n.Value("FriendlyName")}
			if len(a.FriendlyName) > maxAttributeName {
				a.FriendlyName = ""
			}
			known := func(b snapshot.AdvertisedAttribute) bool { return b.Name == a.Name }
			if a.Name != "" && len(a.Name) <= maxAttributeName && len(t.Attributes) < maxAttributes && !slices.ContainsFunc(t.Attributes, known) {
				t.Attributes = append(t.Attributes, a)
			}
		}
	}
}
