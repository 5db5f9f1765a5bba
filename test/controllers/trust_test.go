package controllers

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/trust"
)

// badPlay is what a metadata server does wrong, and what has to be said about it.
type badPlay struct {
	play   func(*played, *samltest.IdP) http.HandlerFunc
	reason string
	says   string
	record audit.Type
	// pinned writes the entity ID into the spec.
	pinned bool
}

func says(content string) func(*played, *samltest.IdP) http.HandlerFunc {
	return func(*played, *samltest.IdP) http.HandlerFunc { return answer(content) }
}

func edited(edit func(metadata string) string) func(*played, *samltest.IdP) http.HandlerFunc {
	return func(_ *played, idp *samltest.IdP) http.HandlerFunc { return answer(edit(string(idp.Metadata()))) }
}

func does(h http.HandlerFunc) func(*played, *samltest.IdP) http.HandlerFunc {
	return func(*played, *samltest.IdP) http.HandlerFunc { return h }
}

func replaced(old, by string) func(string) string {
	return func(metadata string) string { return strings.Replace(metadata, old, by, 1) }
}

const failed = audit.TypeSAMLIdPMetadataRefreshFailed

var badPlays = map[string]badPlay{
	"hang": {play: func(s *played, _ *samltest.IdP) http.HandlerFunc { return s.hang }, reason: "FetchFailed", says: "did not answer completely within", record: failed},
	"slow": {play: func(s *played, idp *samltest.IdP) http.HandlerFunc { return s.slow(string(idp.Metadata())) },
		reason: "FetchFailed", says: "did not answer completely within", record: failed},
	"status500":     {play: does(statusOf(500)), reason: "FetchFailed", says: "status 500", record: failed},
	"loopback":      {play: does(redirect("https://127.0.0.1:1/secret")), reason: "FetchFailed", says: "leads to 127.0.0.1", record: failed},
	"redirect-loop": {play: does(redirect("/redirect-loop/metadata")), reason: "FetchFailed", says: "redirects more than 3 times", record: failed},
	"huge":          {play: does(huge), reason: "FetchFailed", says: "larger than 50000000 bytes", record: failed},
	"gzip-bomb":     {play: does(gzipBomb), reason: "FetchFailed", says: "larger than 50000000 bytes", record: failed},
	"html":          {play: says("<!DOCTYPE html><html><body>secret-in-body<br>Sign in</body></html>"), reason: "InvalidMetadata", says: "web page", record: failed},
	"truncated":     {play: edited(func(m string) string { return m[:len(m)/2] }), reason: "InvalidMetadata", says: "breaks off", record: failed},
	"dtd":           {play: says(`<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>`), reason: "InvalidMetadata", says: "document type", record: failed},
	"wrong-root":    {play: says(`<Envelope xmlns="urn:secret-in-body"/>`), reason: "InvalidMetadata", says: "metadata", record: failed},
	"no-idp":        {play: edited(func(m string) string { return strings.ReplaceAll(m, "IDPSSODescriptor", "SPSSODescriptor") }), reason: "InvalidMetadata", says: "IDPSSODescriptor", record: failed},
	"expired": {play: edited(replaced("<md:EntityDescriptor", `<md:EntityDescriptor validUntil="2020-01-01T00:00:00Z"`)),
		reason: "MetadataExpired", says: "2020-01-01", record: audit.TypeSAMLIdPMetadataStale},
	"wrong-entity": {play: edited(replaced(`.idp.example/metadata"`, `.other.example/metadata"`)), pinned: true,
		reason: "EntityNotFound", says: "https://wrong-entity.other.example/metadata", record: failed},
	"changed-entity": {play: edited(replaced(`.idp.example/metadata"`, `.other.example/metadata"`)),
		reason: "EntityIDChanged", says: "https://changed-entity.other.example/metadata", record: audit.TypeSAMLIdPEntityIDChangeRefused},
}

// TestWhateverAMetadataServerDoesPeopleSignIn plays everything that goes wrong. Each time status, an Event and an audit record say so once, people
// sign in while the server is being asked and after it, and when the server is well again that is said, too.
func TestWhateverAMetadataServerDoesPeopleSignIn(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	server := newPlayed(t)
	o := newOperator(t, ns, withFetcher(trust.FetcherOptions{Proxy: server.through, Timeout: 8 * time.Second}))
	create(t, server.ca(ns), signInProvider(ns))
	door := newDoor(t, o)
	key := upstream(t, "any")
	for name, bad := range badPlays {
		at := "https://" + name + ".idp.example"
		idp := &samltest.IdP{EntityID: at + "/metadata", SSOURL: at + "/sso", SLOURL: at + "/slo", Key: key.Key, Certificate: key.Certificate}
		server.play(name, answer(string(idp.Metadata())))
		object, binding := server.connection(ns, name)
		if bad.pinned {
			object.Spec.SAML.Metadata.EntityID = v1alpha1.EntityID(idp.EntityID)
		}
		create(t, object, binding)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad.check(t, o, server, door, object, idp)
		})
	}
}

func (bad badPlay) check(t *testing.T, o *operator, server *played, door *door, object *v1alpha1.IdentityProvider, idp *samltest.IdP) {
	name := object.Name
	await(t, object, "Ready", isTrue, "Serving")
	await(t, object, "MetadataFresh", isTrue, "Fresh")
	changed := object.Status.Metadata.LastChanged
	door.signsIn(t, "before", name, idp)

	asked := make(chan struct{}, 16)
	play := bad.play(server, idp)
	server.play(name, func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		play(w, r)
	})
	refresh(t, object, "bad")
	<-asked
	door.signsIn(t, "while the server is asked", name, idp)
	message := await(t, object, "MetadataFresh", isFalse, bad.reason)
	mustContain(t, message, server.url(name), bad.says)
	door.signsIn(t, "after it has failed", name, idp)
	await(t, object, "Ready", isTrue, "Serving")
	if object.Status.EntityID != idp.EntityID || len(object.Status.Certificates) != 1 || !object.Status.Metadata.LastChanged.Equal(changed) {
		t.Errorf("what is trusted has changed: %+v", object.Status)
	}
	awaitEvent(t, object, "Warning", bad.reason, bad.says)
	records := o.audit.of(bad.record, name)
	if len(records) != 1 || records[0].Reason != bad.reason || records[0].Outcome != audit.OutcomeFailure || records[0].Actor.ID != "sallyport-operator" {
		t.Errorf("recorded were %+v", records)
	}
	if text := fmt.Sprintf("%s %+v %+v", message, records, told(t, object, "")); strings.Contains(text, "secret-in-body") {
		t.Errorf("what the server sent is quoted: %s", text)
	}

	server.play(name, answer(string(idp.Metadata())))
	refresh(t, object, "good")
	await(t, object, "MetadataFresh", isTrue, "Fresh")
	awaitEvent(t, object, "Normal", "Fresh", "The last refresh succeeded.")
	if n := o.audit.count(audit.TypeSAMLIdPMetadataRefreshed, name); n != 1 {
		t.Errorf("the recovery was recorded %d times", n)
	}
	door.signsIn(t, "after it has recovered", name, idp)
}

// TestARolloverAtTheIdPRunsByItself goes through what an IdP does when it replaces its signing certificate.
func TestARolloverAtTheIdPRunsByItself(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	server := newPlayed(t)
	o := newOperator(t, ns, withFetcher(trust.FetcherOptions{Proxy: server.through, Timeout: 8 * time.Second}))
	object, binding := server.connection(ns, "roll")
	old := upstream(t, "roll")
	next := withNewKey(t, old)
	server.play("roll", tagged(string(old.Metadata())))
	create(t, server.ca(ns), signInProvider(ns), object, binding)
	door := newDoor(t, o)
	await(t, object, "Ready", isTrue, "Serving")
	door.signsIn(t, "with the old key", "roll", old)
	if err := door.signIn("roll", "alice@"+domainOf("roll"), next); err == nil {
		t.Error("a key that was never published signs people in")
	}

	// Nothing has changed: nothing is said. It was asked all the same.
	quiet := func(again string) {
		t.Helper()
		records, events, asked := o.audit.everything("roll"), len(ofTheOperator(t, object)), server.times("roll")
		fetched := object.Status.Metadata.LastFetched
		eventually(t, "it is another second", func() bool { return time.Now().Unix() > fetched.Unix() })
		refresh(t, object, again)
		eventually(t, "the time of the fetch is shown", func() bool {
			return k8s.Get(t.Context(), client.ObjectKeyFromObject(object), object) == nil && object.Status.Metadata.LastFetched.After(fetched.Time)
		})
		if server.times("roll") != asked+1 {
			t.Errorf("the server was asked %d times", server.times("roll")-asked)
		}
		if r, e := o.audit.everything("roll"), len(ofTheOperator(t, object)); r != records || e != events {
			t.Errorf("nothing has changed, and there are %d more records and %d more Events: %+v", r-records, e-events, ofTheOperator(t, object))
		}
		door.signsIn(t, again, "roll", old)
	}
	quiet("answered with 304")
	server.play("roll", answer(string(old.Metadata())))
	quiet("answered with the same again")

	server.play("roll", answer(bothKeys(old, next)))
	refresh(t, object, "both")
	awaitCertificates(t, object, 2)
	awaitEvent(t, object, "Normal", "CertificateAdded", fingerprint(next)[:16])
	door.signsIn(t, "the old key beside the new one", "roll", old)
	door.signsIn(t, "the new key beside the old one", "roll", next)

	server.play("roll", answer(string(next.Metadata())))
	refresh(t, object, "new alone")
	awaitCertificates(t, object, 1)
	awaitEvent(t, object, "Normal", "CertificateRemoved", fingerprint(old)[:16])
	door.signsIn(t, "the new key alone", "roll", next)
	if err := door.signIn("roll", "alice@"+domainOf("roll"), old); err == nil {
		t.Error("the old key still signs people in")
	}

	moved := &samltest.IdP{EntityID: next.EntityID, SSOURL: next.SSOURL + "/v2", SLOURL: next.SLOURL, Key: next.Key, Certificate: next.Certificate}
	server.play("roll", answer(string(moved.Metadata())))
	refresh(t, object, "moved")
	awaitEvent(t, object, "Normal", "EndpointChanged", next.SSOURL, moved.SSOURL)
	await(t, object, "Ready", isTrue, "Serving")
	door.signsIn(t, "at the new endpoint", "roll", moved)

	for recordType, want := range map[audit.Type]string{audit.TypeSAMLIdPCertificateAdded: fingerprint(next), audit.TypeSAMLIdPCertificateRemoved: fingerprint(old)} {
		records := o.audit.of(recordType, "roll")
		if len(records) != 1 || !strings.Contains(fmt.Sprintf("%+v", records[0].Details), want) {
			t.Errorf("recorded were %+v, want %s", records, want)
		}
	}
	if records := o.audit.of(audit.TypeSAMLIdPMetadataRefreshed, "roll"); len(records) != 1 || !strings.Contains(fmt.Sprintf("%+v", records[0].Details), moved.SSOURL) {
		t.Errorf("the endpoint's change was recorded as %+v", records)
	}
}

// TestASecretOfCertificatesIsFollowed is the rollover of a connection that is set up by hand: first the new certificate beside the old one, then it
// alone, in a Secret that somebody else keeps.
func TestASecretOfCertificatesIsFollowed(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	old := upstream(t, "manual")
	next := withNewKey(t, old)
	object := identityProvider(ns, "manual", v1alpha1.MetadataSource{Manual: &v1alpha1.ManualTrust{EntityID: v1alpha1.EntityID(old.EntityID), SSOURL: v1alpha1.HTTPSURL(old.SSOURL),
		CertificatesFrom: &v1alpha1.SecretSource{SecretRef: v1alpha1.SecretKeyReference{Name: "certificates"}}}})
	secret := &corev1.Secret{Data: map[string][]byte{"tls.crt": []byte(pemOf(old.Certificate))}}
	secret.Namespace, secret.Name = ns, "certificates"
	create(t, secret, signInProvider(ns), object, domainBinding(ns, "manual", domainOf("manual"), "manual"))
	door := newDoor(t, o)
	await(t, object, "Ready", isTrue, "Serving")
	door.signsIn(t, "the old key", "manual", old)

	secret.Data["tls.crt"] = []byte(pemOf(old.Certificate) + pemOf(next.Certificate))
	update(t, secret)
	awaitCertificates(t, object, 2)
	awaitEvent(t, object, "Normal", "CertificateAdded", fingerprint(next)[:16])
	door.signsIn(t, "the old key beside the new one", "manual", old)
	door.signsIn(t, "the new key beside the old one", "manual", next)

	secret.Data["tls.crt"] = []byte("not a certificate")
	update(t, secret)
	mustContain(t, await(t, object, "Accepted", isFalse, "Invalid"), "spec.saml.metadata.manual.certificatesFrom", "certificates")
	door.signsIn(t, "with a Secret that is not PEM", "manual", next)

	secret.Data["tls.crt"] = []byte(pemOf(next.Certificate))
	update(t, secret)
	awaitCertificates(t, object, 1)
	door.signsIn(t, "the new key alone", "manual", next)
	if err := door.signIn("manual", "alice@"+domainOf("manual"), old); err == nil {
		t.Error("a certificate that was taken out still signs people in")
	}
}

// TestServersAndSignaturesThatAreNotTrusted: a server whose authority is unknown, and metadata that is not signed although it has to be.
func TestServersAndSignaturesThatAreNotTrusted(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	server := newPlayed(t)
	o := newOperator(t, ns, withFetcher(trust.FetcherOptions{Proxy: server.through, Timeout: 8 * time.Second}))
	idp := upstream(t, "okta")
	server.play("okta", answer(string(idp.Metadata())))
	object, binding := server.connection(ns, "okta")
	bundle := object.Spec.SAML.Metadata.CABundle
	object.Spec.SAML.Metadata.CABundle = nil
	federation := &corev1.Secret{Data: map[string][]byte{"tls.crt": []byte(pemOf(withNewKey(t, idp).Certificate))}}
	federation.Namespace, federation.Name = ns, "federation"
	create(t, server.ca(ns), federation, signInProvider(ns), object, binding)
	mustContain(t, await(t, object, "TrustEstablished", isFalse, "FetchFailed"), "authority that is not known", "spec.saml.metadata.caBundle")
	if n := o.audit.count(audit.TypeSAMLIdPTrustFailed, "okta"); n != 1 {
		t.Errorf("that there is no trust was recorded %d times", n)
	}
	object.Spec.SAML.Metadata.CABundle = bundle
	update(t, object)
	door := newDoor(t, o)
	await(t, object, "Ready", isTrue, "Serving")
	door.signsIn(t, "with the authority's certificate", "okta", idp)

	object.Spec.SAML.Metadata.SignatureCertificate = &v1alpha1.SecretSource{SecretRef: v1alpha1.SecretKeyReference{Name: "federation"}}
	update(t, object)
	mustContain(t, await(t, object, "MetadataFresh", isFalse, "SignatureInvalid"), "sign", server.url("okta"))
	awaitEvent(t, object, "Warning", "SignatureInvalid", "sign")
	door.signsIn(t, "with metadata that is not signed", "okta", idp)
}
