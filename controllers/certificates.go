package controllers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/trust"
	"sallyport.dev/sallyport/internal/web/jwt"
)

// certificateFacts are what is shown of one of our own certificates.
type certificateFacts struct {
	sha256   string
	notAfter time.Time
	// keyID is the kid of a key of the signed header.
	keyID string
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
		if public, ok := certificate.PublicKey.(*ecdsa.PublicKey); ok && public.Curve == elliptic.P256() {
			facts.keyID, _ = jwt.KeyID(public) // a key that is none of the header's has none
		}
	}
	m.certificates[sum] = facts
	return facts
}

// expiring is a certificate that somebody has to replace one day.
type expiring struct {
	connection, side string
	whose, remedy    string
	sha256           string
	notAfter         time.Time
	// shown is where status says how near the end is.
	shown *v1alpha1.CertificateExpiry
}

// name is enough of it for a person to find it.
func (e expiring) name() string { return e.whose + " " + short(e.sha256) }

// replaceable returns the certificates of both sides that nothing has replaced yet, each once: of the IdP's, for each use, the one that is
// good for longest, and of the SP's the one that signs, unless its successor is published.
func replaceable(idp *v1alpha1.IdentityProvider, status *v1alpha1.IdentityProviderStatus) []expiring {
	last := map[v1alpha1.CertificateUse]int{}
	for i, c := range status.Certificates {
		uses := []v1alpha1.CertificateUse{c.Use}
		if c.Use == v1alpha1.CertificateUseBoth {
			uses = []v1alpha1.CertificateUse{v1alpha1.CertificateUseSigning, v1alpha1.CertificateUseEncryption}
		}
		for _, use := range uses {
			if known, ok := last[use]; !ok || c.NotAfter.After(status.Certificates[known].NotAfter.Time) {
				last[use] = i
			}
		}
	}
	var all []expiring
	for i := range status.Certificates {
		c := &status.Certificates[i]
		if signing, ok := last[v1alpha1.CertificateUseSigning]; ok && signing == i {
			all = append(all, theirs(idp, c))
		} else if encryption, ok := last[v1alpha1.CertificateUseEncryption]; ok && encryption == i {
			all = append(all, theirs(idp, c))
		}
	}
	if status.ServiceProvider == nil {
		return all
	}
	succeeded := false
	for _, c := range status.ServiceProvider.Certificates {
		succeeded = succeeded || c.Phase == v1alpha1.KeyPhaseNext
	}
	remedy := fmt.Sprintf("its replacement is published automatically; to start now: kubectl sso rotate idp/%s -n %s", idp.Name, idp.Namespace)
	if ref := idp.Spec.SAML.Keys.SecretRef; ref != nil {
		remedy = fmt.Sprintf("put a new key pair into Secret %s", ref.Name)
	}
	for i := range status.ServiceProvider.Certificates {
		if c := &status.ServiceProvider.Certificates[i]; c.Phase == v1alpha1.KeyPhaseCurrent && !succeeded {
			all = append(all, expiring{idp.Name, "sp", "the SP certificate", remedy, c.SHA256, c.NotAfter.Time, &c.Expiry})
		}
	}
	return all
}

func theirs(idp *v1alpha1.IdentityProvider, c *v1alpha1.IdentityProviderCertificate) expiring {
	remedy := "ask the IdP's administrator for a new certificate"
	if idp.Spec.SAML.Metadata.URL == "" {
		remedy += ", and put it into spec.saml.metadata"
	}
	return expiring{idp.Name, "idp", "the IdP's certificate", remedy, c.SHA256, c.NotAfter.Time, &c.Expiry}
}

// certificatesValid looks at the certificates of both sides, and asks for another pass when the next threshold is reached.
func (s *scope) certificatesValid(c *conditions, idp *v1alpha1.IdentityProvider, status *v1alpha1.IdentityProviderStatus) {
	for i := range status.Certificates {
		status.Certificates[i].Expiry = ""
	}
	for i := 0; status.ServiceProvider != nil && i < len(status.ServiceProvider.Certificates); i++ {
		status.ServiceProvider.Certificates[i].Expiry = ""
	}
	all := replaceable(idp, status)
	s.expiring = append(s.expiring, all...)
	var first expiring
	for _, e := range all {
		if first.notAfter.IsZero() || e.notAfter.Before(first.notAfter) {
			first = e
		}
		s.laterAt(trust.NextExpiryThreshold(e.notAfter, s.now))
		if days, due := trust.ExpiryThreshold(e.notAfter, s.now); due {
			*e.shown = expiries[days]
		}
	}
	status.CertificateExpiry = ""
	if len(status.Certificates) == 0 {
		c.set(v1alpha1.ConditionCertificatesValid, metav1.ConditionUnknown, v1alpha1.ReasonDependent, "Waiting for trust to be established.")
		return
	}
	day := first.notAfter.UTC().Format(time.DateOnly)
	status.CertificateExpiry = day
	if *first.shown == "" {
		c.set(v1alpha1.ConditionCertificatesValid, metav1.ConditionTrue, v1alpha1.ReasonValid, "The first to expire is %s, on %s.", first.name(), day)
		return
	}
	holds := metav1.ConditionTrue
	if *first.shown == v1alpha1.CertificateExpiryExpired {
		holds = metav1.ConditionFalse
	}
	c.set(v1alpha1.ConditionCertificatesValid, holds, reasonOfExpiry[*first.shown], "%s", first.sentence())
}

// sentence says when it ends or has ended, and what to do.
func (e expiring) sentence() string {
	day := e.notAfter.UTC().Format(time.DateOnly)
	if *e.shown == v1alpha1.CertificateExpiryExpired {
		goesOn := "Sign-in still works"
		if e.side == "sp" {
			goesOn += ", but some IdPs may refuse it"
		}
		return fmt.Sprintf("%s expired on %s. %s: %s.", upper(e.name()), day, goesOn, e.remedy)
	}
	return fmt.Sprintf("%s expires on %s: %s.", upper(e.name()), day, e.remedy)
}

var (
	expiries = map[int]v1alpha1.CertificateExpiry{
		90: v1alpha1.CertificateExpiryWithin90Days, 30: v1alpha1.CertificateExpiryWithin30Days, 7: v1alpha1.CertificateExpiryWithin7Days, 0: v1alpha1.CertificateExpiryExpired,
	}
	reasonOfExpiry = map[v1alpha1.CertificateExpiry]string{
		v1alpha1.CertificateExpiryWithin90Days: v1alpha1.ReasonExpiringWithin90Days, v1alpha1.CertificateExpiryWithin30Days: v1alpha1.ReasonExpiringWithin30Days,
		v1alpha1.CertificateExpiryWithin7Days: v1alpha1.ReasonExpiringWithin7Days, v1alpha1.CertificateExpiryExpired: v1alpha1.ReasonExpired,
	}
)

// expiryNews tells of every certificate that has passed another threshold. What status showed before makes each one told once, also when two
// certificates of one connection end at different times.
func expiryNews(idp *v1alpha1.IdentityProvider, before, after *v1alpha1.IdentityProviderStatus) []news {
	was := map[string]v1alpha1.CertificateExpiry{}
	for _, c := range before.Certificates {
		was[c.SHA256] = c.Expiry
	}
	if before.ServiceProvider != nil {
		for _, c := range before.ServiceProvider.Certificates {
			was[c.SHA256] = c.Expiry
		}
	}
	var all []news
	for _, e := range replaceable(idp, after) {
		if *e.shown == "" || *e.shown == was[e.sha256] {
			continue
		}
		reason, sentence := reasonOfExpiry[*e.shown], e.sentence()
		all = append(all, news{
			key: key(idp, idp.ResourceVersion, reason, e.sha256), kind: v1alpha1.KindIdentityProvider, about: idp,
			record: &audit.Record{Type: audit.TypeSAMLIdPCertificateExpiring, Reason: reason, Actor: operator,
				Details: details{Certificate: e.sha256, NotAfter: e.notAfter.UTC().Format(time.DateOnly), Message: sentence}},
			event: &eventNote{warning: true, reason: reason, action: "CheckCertificates", note: sentence},
		})
	}
	return all
}

// short is enough of a fingerprint to tell certificates apart.
func short(sha256 string) string { return sha256[:min(16, len(sha256))] }

func upper(sentence string) string {
	if sentence == "" || sentence[0] < 'a' || sentence[0] > 'z' {
		return sentence
	}
	return string(sentence[0]-'a'+'A') + sentence[1:]
}
