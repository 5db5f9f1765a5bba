package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/snapshot"
)

func (r *Reconciler) identityProvider(s *scope, idp *v1alpha1.IdentityProvider, f *compile.Finding) subject {
	status := r.identityProviderStatus(s, idp, f)
	return subject{kind: v1alpha1.KindIdentityProvider, object: idp, before: idp.Status, after: status,
		conditionsBefore: idp.Status.Conditions, conditionsAfter: status.Conditions}
}

// otherDomains tells whether the names of the bindings have changed: the admission policy reads them, so they are there before a binding is Ready.
func otherDomains(before, after v1alpha1.IdentityProviderStatus) bool {
	none := v1alpha1.BoundDomains{Count: ptr.To(int32(0))}
	return !apiequality.Semantic.DeepEqual(ptr.Deref(before.Domains, none), ptr.Deref(after.Domains, none))
}

func identityProviderNews(idp *v1alpha1.IdentityProvider, was, is *v1alpha1.IdentityProviderStatus) []news {
	return slices.Concat(metadataNews(idp, was, is), keyNews(idp, was.ServiceProvider, is.ServiceProvider), expiryNews(idp, was, is))
}

func (r *Reconciler) identityProviderStatus(s *scope, idp *v1alpha1.IdentityProvider, f *compile.Finding) v1alpha1.IdentityProviderStatus {
	status := *idp.Status.DeepCopy()
	status.ObservedGeneration = idp.Generation
	c := conditions(f.Conditions)
	if wanted, ok := s.wanted.connection(idp); ok {
		status.ServiceProvider = s.memory.endpoints(wanted)
	}
	if state := s.trust[idp.Name]; state != nil {
		c.set(state.fresh.Type, state.fresh.Status, state.fresh.Reason, "%s", state.fresh.Message)
		trustStatus(&status, state)
		s.certificatesValid(&c, idp, &status)
	} else {
		c.set(v1alpha1.ConditionMetadataFresh, metav1.ConditionUnknown, v1alpha1.ReasonDependent, "Waiting for the ServiceProvider.")
		c.set(v1alpha1.ConditionCertificatesValid, metav1.ConditionUnknown, v1alpha1.ReasonDependent, "Waiting for the ServiceProvider.")
	}
	s.people(&c, &status, idp)
	c.program(s, f, s.servedSameConnection(idp.Name))
	c.summarize(s, f, v1alpha1.ConditionAccepted, v1alpha1.ConditionTrustEstablished, v1alpha1.ConditionProgrammed)
	if ready := c.get(v1alpha1.ConditionReady); ready.Status == metav1.ConditionTrue && idp.Spec.State == v1alpha1.StateDisabled {
		c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDisabled, "spec.state is Disabled: nobody can sign in through it. Everything else is in order.")
	}
	if idp.DeletionTimestamp != nil && len(f.Bindings) > 0 {
		blocked := fmt.Sprintf("%s (%s): delete or rebind %s, and it is then removed automatically. Until then people can still sign in.",
			stillRefer(len(f.Bindings)), few(f.Bindings, 3), them(len(f.Bindings)))
		c.set(v1alpha1.ConditionDeletionBlocked, metav1.ConditionTrue, v1alpha1.ReasonDomainsBound, "%s", blocked)
		if ready := c.get(v1alpha1.ConditionReady); ready.Status == metav1.ConditionTrue {
			c.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonDeletionBlocked, "It is being deleted: %s", blocked)
		}
	}
	status.Conditions = c.merge(idp.Status.Conditions, idp.Generation, s.now)
	status.Domains = &v1alpha1.BoundDomains{Count: ptr.To(int32(len(f.Bindings))), Names: f.Bindings[:min(10, len(f.Bindings))]}
	return status
}

// people says who signs in through the IdentityProvider, as of the last count.
func (s *scope) people(c *conditions, status *v1alpha1.IdentityProviderStatus, idp *v1alpha1.IdentityProvider) {
	if s.counts == nil {
		// What was known stays until there is a new count.
		if old := meta.FindStatusCondition(idp.Status.Conditions, v1alpha1.ConditionGroupOverage); old != nil {
			c.set(old.Type, old.Status, old.Reason, "%s", old.Message)
		}
		return
	}
	counted := s.counts.IdPs[string(idp.UID)]
	status.Users = ptr.To(int64(counted.Users))
	if last := seconds(counted.LastSignIn); last != nil && (status.LastSignIn == nil || status.LastSignIn.Before(last)) {
		status.LastSignIn = last
	}
	if n := counted.GroupOverage; n > 0 {
		c.set(v1alpha1.ConditionGroupOverage, metav1.ConditionTrue, v1alpha1.ReasonTooManyGroups, "The IdP sent a link instead of the groups of %s, who are in more than 150 groups: they keep the groups they had. "+
			"In Entra ID: Attributes & Claims > Group claim: choose \"Groups assigned to the application\", or filter the groups.", plural(n, "user"))
	}
}

// servedSameConnection tells whether every pod already serves this very connection.
func (s *scope) servedSameConnection(name string) bool {
	if s.wanted == nil || s.memory.served == nil {
		return false
	}
	now, ok := s.wanted.connections[name]
	if !ok {
		return false
	}
	before, ok := s.memory.served.connections[name]
	return ok && snapshot.SameConnection(&s.wanted.snapshot.Connections[now], &s.memory.served.snapshot.Connections[before])
}

func (m *memory) endpoints(c *snapshot.Connection) *v1alpha1.ConnectionEndpoints {
	e := &v1alpha1.ConnectionEndpoints{EntityID: c.EntityID, ACSURL: c.ACSURL, SLOURL: c.SLOURL, MetadataURL: c.MetadataURL, TrustPageURL: c.TrustPageURL}
	for _, key := range c.Keys {
		known := m.ownCertificate(key.Certificate)
		e.Certificates = append(e.Certificates, v1alpha1.ConnectionCertificate{SHA256: known.sha256, NotAfter: metav1.NewTime(known.notAfter), Phase: v1alpha1.KeyPhase(key.Phase)})
	}
	return e
}

// trustStatus shows what is trusted, so that a mapping can be written from it.
func trustStatus(status *v1alpha1.IdentityProviderStatus, state *trustState) {
	shown := &v1alpha1.MetadataStatus{}
	if status.Metadata != nil {
		shown = status.Metadata
	}
	shown.Source = state.source
	shown.LastFetched, shown.LastChanged, shown.NextRefresh = seconds(state.lastFetched), seconds(state.lastChanged), seconds(state.nextRefresh)
	status.Metadata = shown
	metadata := state.metadata
	if metadata == nil {
		return
	}
	shown.Digest, shown.ValidUntil = metadata.Digest, seconds(metadata.ValidUntil)
	shown.NameIDFormats = metadata.Trust.NameIDFormats[:min(16, len(metadata.Trust.NameIDFormats))]
	shown.Attributes = nil
	for _, a := range metadata.Trust.Attributes[:min(64, len(metadata.Trust.Attributes))] {
		shown.Attributes = append(shown.Attributes, v1alpha1.AdvertisedAttribute{Name: a.Name, FriendlyName: a.FriendlyName})
	}
	status.EntityID, status.SSOURL, status.SSOBinding, status.SLOURL = metadata.Trust.EntityID, "", "", ""
	if len(metadata.Trust.SSO) > 0 {
		status.SSOURL = metadata.Trust.SSO[0].URL
		status.SSOBinding = v1alpha1.BindingRedirect
		if metadata.Trust.SSO[0].Binding == snapshot.BindingPOST {
			status.SSOBinding = v1alpha1.BindingPOST
		}
	}
	if len(metadata.Trust.SLO) > 0 {
		status.SLOURL = metadata.Trust.SLO[0].URL
	}
	status.Certificates = nil
	for _, certificate := range metadata.Certificates[:min(32, len(metadata.Certificates))] {
		status.Certificates = append(status.Certificates, v1alpha1.IdentityProviderCertificate{SHA256: certificate.SHA256, Subject: certificate.Subject,
			NotBefore: metav1.NewTime(certificate.NotBefore), NotAfter: metav1.NewTime(certificate.NotAfter), Use: v1alpha1.CertificateUse(certificate.Use)})
	}
}

// seconds is a time as the API server keeps it, so that comparing with what it returns finds no difference.
func seconds(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return ptr.To(metav1.NewTime(t.Truncate(time.Second)))
}

func stillRefer(n int) string {
	if n == 1 {
		return "1 domain binding still refers to it"
	}
	return fmt.Sprintf("%d domain bindings still refer to it", n)
}

func them(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}

// few lists at most so many names, then how many more there are.
func few(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
