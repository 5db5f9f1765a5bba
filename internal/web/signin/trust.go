package signin

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"slices"

	"sallyport.dev/sallyport/internal/saml"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/setup"
	"sallyport.dev/sallyport/internal/web/site"
)

// metadata serves the SP metadata of a connection (saml-metadata 2.3), also while it is disabled or waits for trust.
func (h *Handler) metadata(w http.ResponseWriter, r *http.Request, s *site.Site) {
	c := h.connection(w, r, s)
	if c == nil {
		return
	}
	xml, err := c.SAML.Metadata()
	if err != nil {
		h.Log.Error("the SP metadata could not be written", "idp", c.Name, "error", err)
		h.Page(w, s, http.StatusServiceUnavailable, pages.Message{Heading: "The metadata is not ready", Sentence: "The connection has no key yet. Come back in a moment."})
		return
	}
	sum := sha256.Sum256(xml)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	header := w.Header()
	pages.Harden(header)
	header.Set("Content-Type", "application/samlmetadata+xml")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Write(xml) //nolint:errcheck // the client went away
}

// trust is the page for the administrator at the other side.
func (h *Handler) trust(w http.ResponseWriter, r *http.Request, s *site.Site) {
	c := h.connection(w, r, s)
	if c == nil {
		return
	}
	xml, err := c.SAML.Metadata()
	if err != nil {
		h.Log.Warn("the SP metadata could not be written", "idp", c.Name, "error", err)
	}
	product, steps := setup.Steps(&c.Connection)
	h.Page(w, s, http.StatusOK, pages.Trust{
		DisplayName: c.Label(), Product: product, MetadataURL: c.MetadataURL, Metadata: string(xml), Established: c.Trust != nil, Enabled: c.Enabled,
		Values: ourValues(c), Steps: steps, Attributes: expected(c), Profile: expectedProfile(c), Certificates: certificates(c.Keys),
	})
}

func ourValues(c *site.Connection) []pages.TrustValue {
	values := []pages.TrustValue{
		{Label: "Entity ID", Value: c.EntityID, Note: "Also called audience, audience URI or identifier. Every letter counts."},
		{Label: "ACS URL", Value: c.ACSURL, Note: "Also called reply URL, single sign-on URL or recipient. Binding: HTTP-POST."},
	}
	if c.Logout.Enabled {
		values = append(values, pages.TrustValue{Label: "Single logout URL", Value: c.SLOURL, Note: "Bindings: HTTP-Redirect and HTTP-POST. Messages must be signed."})
	}
	return append(values,
		pages.TrustValue{Label: "Metadata", Value: c.MetadataURL, URL: c.MetadataURL, Note: "Most products read everything above from it."},
		nameID(c))
}

func nameID(c *site.Connection) pages.TrustValue {
	if c.Request.NameIDFormat != "" {
		return pages.TrustValue{Label: "NameID format", Value: c.Request.NameIDFormat}
	}
	return pages.TrustValue{Label: "NameID format", Value: "Any", Plain: true, Note: "Best is persistent, which never changes for a person; emailAddress works too."}
}

// expected are the names that the connection's mapping reads, in the words of the mapping.
func expected(c *site.Connection) []pages.ExpectedAttribute {
	m := c.Connection.Mapping
	return withNames([]pages.ExpectedAttribute{
		{Use: "E-mail address", Names: sourceNames(m.Email), Required: true},
		{Use: "First name", Names: sourceNames(m.FirstName)},
		{Use: "Last name", Names: sourceNames(m.LastName)},
		{Use: "Groups", Names: sourceNames(m.Groups.From)},
	})
}

// expectedProfile are those that fill the profile.
func expectedProfile(c *site.Connection) []pages.ExpectedAttribute {
	var list []pages.ExpectedAttribute
	for _, p := range c.Connection.Mapping.Profile {
		list = append(list, pages.ExpectedAttribute{Use: pages.Words(p.Attribute), Names: sourceNames(p.From)})
	}
	return withNames(list)
}

func withNames(list []pages.ExpectedAttribute) []pages.ExpectedAttribute {
	return slices.DeleteFunc(list, func(a pages.ExpectedAttribute) bool { return len(a.Names) == 0 })
}

func sourceNames(sources []snapshot.AttributeSource) []string {
	var names []string
	for _, s := range sources {
		names = append(names, cmp.Or(s.Name, "NameID ("+s.NameID+")"))
	}
	return names
}

// certificates lists our own, the one that signs first.
func certificates(keys []snapshot.SPKey) []pages.Certificate {
	use := map[snapshot.KeyPhase]string{
		snapshot.KeyCurrent: "signs and decrypts", snapshot.KeyNext: "will sign; trust it already", snapshot.KeyPrevious: "still decrypts",
	}
	var list []pages.Certificate
	for _, phase := range []snapshot.KeyPhase{snapshot.KeyCurrent, snapshot.KeyNext, snapshot.KeyPrevious} {
		for _, key := range keys {
			if key.Phase != phase {
				continue
			}
			entry := pages.Certificate{
				Phase: string(phase), Use: use[phase], SHA256: saml.Fingerprint(key.Certificate),
				PEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: key.Certificate})),
			}
			if certificate, err := x509.ParseCertificate(key.Certificate); err == nil {
				entry.NotAfter = pages.On(certificate.NotAfter)
			}
			list = append(list, entry)
		}
	}
	return list
}
