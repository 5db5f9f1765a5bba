package controllers

import (
	"fmt"
	"time"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
)

// metadataNews says which certificates and endpoints of an IdP came and went. The first trust has no news: that it was established says it.
func metadataNews(idp *v1alpha1.IdentityProvider, before, after *v1alpha1.IdentityProviderStatus) []news {
	if len(before.Certificates) == 0 {
		return nil
	}
	var all []news
	certificate := func(recordType audit.Type, c v1alpha1.IdentityProviderCertificate, reason, what string) {
		day := c.NotAfter.UTC().Format(time.DateOnly)
		all = append(all, news{
			key: key(idp, idp.ResourceVersion, reason, c.SHA256), kind: v1alpha1.KindIdentityProvider, about: idp,
			record: &audit.Record{Type: recordType, Actor: operator, Details: details{Certificate: c.SHA256, NotAfter: day}},
			event:  &eventNote{reason: reason, action: "Refresh", note: fmt.Sprintf("The IdP's certificate %s (until %s) was %s.", short(c.SHA256), day, what)},
		})
	}
	for _, c := range without(after.Certificates, before.Certificates) {
		certificate(audit.TypeSAMLIdPCertificateAdded, c, "CertificateAdded", "added")
	}
	for _, c := range without(before.Certificates, after.Certificates) {
		certificate(audit.TypeSAMLIdPCertificateRemoved, c, "CertificateRemoved", "removed")
	}
	changed := details{Before: map[string]string{}, After: map[string]string{}}
	note := "The IdP changed"
	for _, field := range []struct{ name, before, after string }{
		{"entityID", before.EntityID, after.EntityID}, {"ssoURL", before.SSOURL, after.SSOURL}, {"ssoBinding", string(before.SSOBinding), string(after.SSOBinding)}, {"sloURL", before.SLOURL, after.SLOURL},
	} {
		if field.before != field.after {
			changed.Updated = append(changed.Updated, field.name)
			changed.Before[field.name], changed.After[field.name] = field.before, field.after
			note += fmt.Sprintf(" %s from %q to %q;", field.name, field.before, field.after)
		}
	}
	if len(changed.Updated) > 0 {
		all = append(all, news{
			key: key(idp, idp.ResourceVersion, "endpoints"), kind: v1alpha1.KindIdentityProvider, about: idp,
			record: &audit.Record{Type: audit.TypeSAMLIdPMetadataRefreshed, Actor: operator, Details: changed},
			event:  &eventNote{reason: "EndpointChanged", action: "Refresh", note: note[:len(note)-1] + "."},
		})
	}
	return all
}

// without returns the certificates of a that are not in b.
func without(a, b []v1alpha1.IdentityProviderCertificate) []v1alpha1.IdentityProviderCertificate {
	known := map[string]bool{}
	for _, c := range b {
		known[c.SHA256] = true
	}
	var out []v1alpha1.IdentityProviderCertificate
	for _, c := range a {
		if !known[c.SHA256] {
			out = append(out, c)
		}
	}
	return out
}

// keyNews says what became of the SP keys: created, published, in use, retired.
func keyNews(idp *v1alpha1.IdentityProvider, before, after *v1alpha1.ConnectionEndpoints) []news {
	if after == nil {
		return nil
	}
	was := map[string]v1alpha1.ConnectionCertificate{}
	if before != nil {
		for _, c := range before.Certificates {
			was[c.SHA256] = c
		}
	}
	first := len(was) == 0
	var all []news
	add := func(recordType audit.Type, c v1alpha1.ConnectionCertificate, reason, note string) {
		all = append(all, news{
			key: key(idp, reason, c.SHA256), kind: v1alpha1.KindIdentityProvider, about: idp,
			record: &audit.Record{Type: recordType, Actor: operator,
				Details: details{Certificate: c.SHA256, Phase: string(c.Phase), NotAfter: c.NotAfter.UTC().Format(time.DateOnly)}},
			event: &eventNote{reason: reason, action: "RotateKeys", note: fmt.Sprintf(note, short(c.SHA256), c.NotAfter.UTC().Format(time.DateOnly))},
		})
	}
	for _, c := range after.Certificates {
		old, known := was[c.SHA256]
		delete(was, c.SHA256)
		switch {
		case !known && first:
			add(audit.TypeSAMLIdPSPCertificateCreated, c, "KeyCreated", "The first SP certificate %s (until %s) signs for this connection.")
		case !known && c.Phase == v1alpha1.KeyPhaseNext:
			add(audit.TypeSAMLIdPSPCertificatePublished, c, "KeyPublished", "The next SP certificate %s (until %s) is published in the SP metadata: register it at the IdP before it starts signing.")
		case c.Phase == v1alpha1.KeyPhaseCurrent && (!known || old.Phase != c.Phase):
			add(audit.TypeSAMLIdPSPCertificateRotated, c, "KeyRotated", "The SP certificate %s (until %s) signs now; the previous one still decrypts.")
		}
	}
	for _, c := range was {
		add(audit.TypeSAMLIdPSPCertificateRetired, c, "KeyRetired", "The previous SP certificate %s (until %s) is no longer used.")
	}
	return all
}
