package controllers

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/trust"
)

// certificateFacts are what is shown of one of our own certificates.
type certificateFacts struct {
	sha256   string
	notAfter time.Time
}

// ownCertificate parses a certificate once: it is asked for in every pass.
func (m *memory) ownCertificate(der []byte) certificateFacts {
	sum := sha256.Sum256(der)
	if known, ok := m.certificates[sum]; ok {
		return known
	}
	facts := certificateFacts{sha256: hex.EncodeToString(sum[:])}
	if certificate, err := x509.ParseCertificate(der); err == nil {
		facts.notAfter = certificate.NotAfter
	}
	m.certificates[sum] = facts
	return facts
}

// expiring is a certificate that somebody has to replace.
type expiring struct {
	whose, remedy, sha256 string
	notAfter              time.Time
}

// replaceable returns the certificates of both sides that nothing has replaced yet: of the IdP's, for each use, the one that is good for
// longest, and of ours the one that signs, unless its successor is published.
func replaceable(status *v1alpha1.IdentityProviderStatus) []expiring {
	last := map[v1alpha1.CertificateUse]expiring{}
	for _, c := range status.Certificates {
		uses := []v1alpha1.CertificateUse{c.Use}
		if c.Use == v1alpha1.CertificateUseBoth {
			uses = []v1alpha1.CertificateUse{v1alpha1.CertificateUseSigning, v1alpha1.CertificateUseEncryption}
		}
		for _, use := range uses {
			if known, ok := last[use]; !ok || c.NotAfter.After(known.notAfter) {
				last[use] = expiring{"the IdP's certificate", "ask the IdP's administrator for a new one", c.SHA256, c.NotAfter.Time}
			}
		}
	}
	var all []expiring
	for _, use := range []v1alpha1.CertificateUse{v1alpha1.CertificateUseSigning, v1alpha1.CertificateUseEncryption} {
		if e, ok := last[use]; ok {
			all = append(all, e)
		}
	}
	if status.ServiceProvider == nil {
		return all
	}
	succeeded := false
	for _, c := range status.ServiceProvider.Certificates {
		succeeded = succeeded || c.Phase == v1alpha1.KeyPhaseNext
	}
	for _, c := range status.ServiceProvider.Certificates {
		if c.Phase == v1alpha1.KeyPhaseCurrent && !succeeded {
			all = append(all, expiring{"our own certificate", "its successor is published by itself; kubectl sso rotate does it now", c.SHA256, c.NotAfter.Time})
		}
	}
	return all
}

// certificatesValid looks at the certificates of both sides, and asks for another pass when the next threshold is reached.
func (s *scope) certificatesValid(c *conditions, status *v1alpha1.IdentityProviderStatus) {
	status.CertificateExpiry = ""
	if len(status.Certificates) == 0 {
		c.set(v1alpha1.ConditionCertificatesValid, metav1.ConditionUnknown, v1alpha1.ReasonDependent, "Trust has to be established first.")
		return
	}
	var first expiring
	for _, e := range replaceable(status) {
		if first.notAfter.IsZero() || e.notAfter.Before(first.notAfter) {
			first = e
		}
		s.laterAt(trust.NextExpiryThreshold(e.notAfter, s.now))
	}
	day := first.notAfter.UTC().Format(time.DateOnly)
	status.CertificateExpiry = day
	name := fmt.Sprintf("%s %s", first.whose, short(first.sha256))
	switch days, due := trust.ExpiryThreshold(first.notAfter, s.now); {
	case !due:
		c.set(v1alpha1.ConditionCertificatesValid, metav1.ConditionTrue, v1alpha1.ReasonValid, "The first to expire is %s, on %s.", name, day)
	case days == 0:
		c.set(v1alpha1.ConditionCertificatesValid, metav1.ConditionFalse, v1alpha1.ReasonExpired, "%s expired on %s. Sign-in goes on, and some IdPs may refuse it: %s.", upper(name), day, first.remedy)
	default:
		reason := map[int]string{90: v1alpha1.ReasonExpiringWithin90Days, 30: v1alpha1.ReasonExpiringWithin30Days, 7: v1alpha1.ReasonExpiringWithin7Days}[days]
		c.set(v1alpha1.ConditionCertificatesValid, metav1.ConditionTrue, reason, "%s expires on %s: %s.", upper(name), day, first.remedy)
	}
}

// short is enough of a fingerprint to tell certificates apart.
func short(sha256 string) string { return sha256[:min(16, len(sha256))] }

func upper(sentence string) string {
	if sentence == "" || sentence[0] < 'a' || sentence[0] > 'z' {
		return sentence
	}
	return string(sentence[0]-'a'+'A') + sentence[1:]
}
