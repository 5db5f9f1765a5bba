package controllers

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/snapshot"
)

const day = 24 * time.Hour

func (r *Reconciler) identityProviderStatus(s *scope, idp *v1alpha1.IdentityProvider, f *compile.Finding) v1alpha1.IdentityProviderStatus {
	status := *idp.Status.DeepCopy()
	status.ObservedGeneration = idp.Generation
	c := conditions(f.Conditions)
	state := s.trust[idp.Name]
	if state != nil {
		c.set(state.fresh.Type, state.fresh.Status, state.fresh.Reason, "%s", state.fresh.Message)
		r.trustStatus(s, &status, state)
		r.certificatesValid(s, &c, &status)
	} else {
		c.set(v1alpha1.ConditionMetadataFresh, metav1.ConditionUnknown, v1alpha1.ReasonDependent, "The ServiceProvider has to be accepted first.")
		c.set(v1alpha1.ConditionCertificatesValid, metav1.ConditionUnknown, v1alpha1.ReasonDependent, "The ServiceProvider has to be accepted first.")
	}
	c.program(f, s.programmed, servedSame(s, idp.Name))
	c.summarize(f, s.programmed, v1alpha1.ConditionAccepted, v1alpha1.ConditionTrustEstablished, v1alpha1.ConditionProgrammed)
	if ready := c.get(v1alpha1.ConditionReady); ready.Status == metav1.ConditionTrue && idp.Spec.State == v1alpha1.StateDisabled {
		c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDisabled, "spec.state is Disabled: nobody can sign in through it. Everything else is in order.")
	}
	if idp.DeletionTimestamp != nil && len(f.Bindings) > 0 {
		c.set(v1alpha1.ConditionDeletionBlocked, metav1.ConditionTrue, v1alpha1.ReasonDomainsBound,
			"%s still refer to it (%s): delete or rebind them, and it goes by itself. Until then it keeps signing people in.", bindings(len(f.Bindings)), few(f.Bindings, 3))
	}
	status.Conditions = r.merge(idp.Status.Conditions, c, idp.Generation)
	status.Domains = &v1alpha1.BoundDomains{Count: ptr.To(int32(len(f.Bindings))), Names: f.Bindings[:min(10, len(f.Bindings))]}
	if connection, ok := connection(s.output.Snapshot, idp.Name); ok {
		status.ServiceProvider = endpoints(connection)
	}
	return status
}

func endpoints(c snapshot.Connection) *v1alpha1.ConnectionEndpoints {
	e := &v1alpha1.ConnectionEndpoints{EntityID: c.EntityID, ACSURL: c.ACSURL, SLOURL: c.SLOURL, MetadataURL: c.MetadataURL, TrustPageURL: c.TrustPageURL}
	for _, key := range c.Keys {
		certificate, err := x509.ParseCertificate(key.Certificate)
		if err != nil {
			continue
		}
		sum := sha256.Sum256(key.Certificate)
		e.Certificates = append(e.Certificates, v1alpha1.ConnectionCertificate{SHA256: hex.EncodeToString(sum[:]),
			NotAfter: metav1.NewTime(certificate.NotAfter), Phase: v1alpha1.KeyPhase(key.Phase)})
	}
	return e
}

// trustStatus shows what is trusted, so that a mapping can be written from it.
func (r *Reconciler) trustStatus(s *scope, status *v1alpha1.IdentityProviderStatus, state *trustState) {
	shown := &v1alpha1.MetadataStatus{Source: state.source, LastFetched: state.times.lastFetched, LastChanged: state.times.lastChanged, NextRefresh: state.times.nextRefresh}
	status.Metadata = shown
	metadata := state.metadata
	if metadata == nil {
		return
	}
	shown.Digest = metadata.Digest
	if !metadata.ValidUntil.IsZero() {
		shown.ValidUntil = ptr.To(metav1.NewTime(metadata.ValidUntil))
	}
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
	for _, certificate := range metadata.Certificates[:min(16, len(metadata.Certificates))] {
		status.Certificates = append(status.Certificates, v1alpha1.IdentityProviderCertificate{SHA256: certificate.SHA256, Subject: certificate.Subject,
			NotBefore: metav1.NewTime(certificate.NotBefore), NotAfter: metav1.NewTime(certificate.NotAfter), Use: v1alpha1.CertificateUse(certificate.Use)})
	}
}

// certificatesValid looks at every certificate of both sides, and asks for another pass when the next threshold is reached.
func (r *Reconciler) certificatesValid(s *scope, c *conditions, status *v1alpha1.IdentityProviderStatus) {
	var first time.Time
	whose := ""
	for _, certificate := range status.Certificates {
		if first.IsZero() || certificate.NotAfter.Time.Before(first) {
			first, whose = certificate.NotAfter.Time, "the IdP's certificate "+certificate.SHA256[:16]
		}
	}
	status.CertificateExpiry = ""
	if first.IsZero() {
		c.set(v1alpha1.ConditionCertificatesValid, metav1.ConditionUnknown, v1alpha1.ReasonDependent, "Trust has to be established first.")
		return
	}
	status.CertificateExpiry = first.UTC().Format(time.DateOnly)
	left := first.Sub(s.now)
	reason, state := v1alpha1.ReasonValid, metav1.ConditionTrue
	for _, threshold := range []struct {
		left   time.Duration
		reason string
	}{{90 * day, v1alpha1.ReasonExpiringWithin90Days}, {30 * day, v1alpha1.ReasonExpiringWithin30Days}, {7 * day, v1alpha1.ReasonExpiringWithin7Days}} {
		if left <= threshold.left {
			reason = threshold.reason
		} else {
			s.later(left - threshold.left + time.Second)
		}
	}
	message := fmt.Sprintf("The first to expire is %s, on %s.", whose, status.CertificateExpiry)
	if left <= 0 {
		reason, state = v1alpha1.ReasonExpired, metav1.ConditionFalse
		message = fmt.Sprintf("%s has expired on %s. Sign-in goes on: ask the IdP's admin for metadata with a new one.", whose, status.CertificateExpiry)
	}
	c.set(v1alpha1.ConditionCertificatesValid, state, reason, "%s", message)
}

func bindings(n int) string {
	if n == 1 {
		return "1 domain binding"
	}
	return fmt.Sprintf("%d domain bindings", n)
}

// few lists at most so many names, then how many more there are.
func few(names []string, most int) string {
	text := ""
	for i, name := range names {
		if i == most {
			return fmt.Sprintf("%s and %d more", text, len(names)-most)
		}
		if i > 0 {
			text += ", "
		}
		text += name
	}
	return text
}
