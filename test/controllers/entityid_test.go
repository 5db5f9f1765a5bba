package controllers

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/trust"
)

// entityIDCase is one of the ways in which metadata reaches an IdentityProvider.
type entityIDCase struct {
	field string
	// source is the spec for the IdP's metadata, and edit puts other metadata where it comes from.
	source func(metadata string) v1alpha1.MetadataSource
	holder client.Object
	edit   func(t *testing.T, idp *v1alpha1.IdentityProvider, metadata string)
}

func entityIDCases(t *testing.T, ns string, now *samltest.IdP) map[string]entityIDCase {
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "idp"}, Data: map[string]string{"metadata.xml": string(now.Metadata())}}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "idp"}, Data: map[string][]byte{"metadata.xml": now.Metadata()}}
	return map[string]entityIDCase{
		"config-map": {field: "spec.saml.metadata.fromConfigMap", holder: configMap,
			source: func(string) v1alpha1.MetadataSource {
				return v1alpha1.MetadataSource{FromConfigMap: &v1alpha1.ConfigMapKeyReference{Name: "idp"}}
			},
			edit: func(t *testing.T, _ *v1alpha1.IdentityProvider, metadata string) {
				configMap.Data["metadata.xml"] = metadata
				update(t, configMap)
			}},
		"secret": {field: "spec.saml.metadata.fromSecret", holder: secret,
			source: func(string) v1alpha1.MetadataSource {
				return v1alpha1.MetadataSource{FromSecret: &v1alpha1.SecretKeyReference{Name: "idp"}}
			},
			edit: func(t *testing.T, _ *v1alpha1.IdentityProvider, metadata string) {
				secret.Data["metadata.xml"] = []byte(metadata)
				update(t, secret)
			}},
		"inline": {field: "spec.saml.metadata.inline",
			source: func(metadata string) v1alpha1.MetadataSource { return v1alpha1.MetadataSource{Inline: metadata} },
			edit: func(t *testing.T, idp *v1alpha1.IdentityProvider, metadata string) {
				change(t, idp, func() { idp.Spec.SAML.Metadata.Inline = metadata })
			}},
	}
}

// change edits the IdentityProvider as `kubectl edit` does: the operator may write its status at any moment.
func change(t *testing.T, idp *v1alpha1.IdentityProvider, edit func()) {
	t.Helper()
	before := idp.DeepCopy()
	edit()
	if err := k8s.Patch(t.Context(), idp, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// TestAnotherEntityIDIsRefusedUntilItIsPinned: whoever edits the ConfigMap, the Secret or the text, an IdentityProvider stays with the entity ID that it has, also
// over a restart, while the content changes once more and when something else in the spec is edited, and goes over when the new one is pinned.
func TestAnotherEntityIDIsRefusedUntilItIsPinned(t *testing.T) {
	t.Parallel()
	for name := range entityIDCases(t, "", upstream(t, "any")) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t)
			now, other := upstream(t, "acme"), upstream(t, "other")
			c := entityIDCases(t, ns, now)[name]
			o := newOperator(t, ns)
			idp := identityProvider(ns, "acme", c.source(string(now.Metadata())))
			if c.holder != nil {
				create(t, c.holder)
			}
			create(t, signInProvider(ns), idp, domainBinding(ns, "acme", domainOf("acme"), "acme"))
			door := newDoor(t, o)
			await(t, idp, "Ready", isTrue, "Serving")
			door.signsIn(t, "before", "acme", now)

			c.edit(t, idp, string(other.Metadata()))
			refused := func() {
				t.Helper()
				message := await(t, idp, "MetadataFresh", isFalse, "EntityIDChanged")
				mustContain(t, message, c.field, now.EntityID, "set spec.saml.metadata.entityID: "+other.EntityID)
				await(t, idp, "Ready", isFalse, "Invalid")
				await(t, idp, "Programmed", isFalse, "ServingLastGood")
				if idp.Status.EntityID != now.EntityID || idp.Status.SSOURL != now.SSOURL || len(idp.Status.Certificates) != 1 || idp.Status.Certificates[0].SHA256 != fingerprint(now) {
					t.Errorf("status shows what is not trusted: %+v", idp.Status)
				}
				door.signsIn(t, "with metadata of another entity", "acme", now)
				if err := door.signIn("acme", "alice@"+domainOf("acme"), other); err == nil {
					t.Error("another entity signs people in")
				}
			}
			refused()
			awaitEvent(t, idp, "Warning", "EntityIDChanged", "set spec.saml.metadata.entityID: "+other.EntityID)
			records := o.audit.of(audit.TypeSAMLIdPEntityIDChangeRefused, "acme")
			if len(records) != 1 || records[0].Reason != "EntityIDChanged" || records[0].Outcome != audit.OutcomeFailure || records[0].Actor.ID != "sallyport-operator" {
				t.Errorf("recorded were %+v", records)
			}
			o.restart()
			change(t, idp, func() { idp.Spec.DisplayName = "Acme Limited" }) // no edit but the pin is a pin
			refused()
			c.edit(t, idp, string(other.Metadata())+"<!-- the same again -->")
			refused()

			change(t, idp, func() { idp.Spec.SAML.Metadata.EntityID = v1alpha1.EntityID(other.EntityID) })
			await(t, idp, "Ready", isTrue, "Serving")
			await(t, idp, "MetadataFresh", isTrue, "NotRefreshed")
			if idp.Status.EntityID != other.EntityID {
				t.Errorf("pinned, and status shows %s", idp.Status.EntityID)
			}
			door.signsIn(t, "the one that is pinned", "acme", other)
			awaitEvent(t, idp, "Normal", "EndpointChanged", now.EntityID, other.EntityID)
			if n := o.audit.count(audit.TypeSAMLIdPMetadataRefreshed, "acme"); n != 1 {
				t.Errorf("that it has changed was recorded %d times", n)
			}
			// Without the pin it stays with what it has now.
			change(t, idp, func() { idp.Spec.SAML.Metadata.EntityID = "" })
			await(t, idp, "Ready", isTrue, "Serving")
		})
	}
}

// TestAnotherSourceIsNoPin: the entity ID also stays when metadata comes from elsewhere, and manual.entityID is a pin of its own.
func TestAnotherSourceIsNoPin(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	server := newPlayed(t)
	o := newOperator(t, ns, withFetcher(trust.FetcherOptions{Proxy: server.through, Timeout: 8 * time.Second}))
	now, other := upstream(t, "acme"), upstream(t, "other")
	server.play("acme", answer(string(other.Metadata())))
	idp, binding := server.connection(ns, "acme")
	fromURL := idp.Spec.SAML.Metadata
	idp.Spec.SAML.Metadata = v1alpha1.MetadataSource{Inline: string(now.Metadata())}
	create(t, server.ca(ns), signInProvider(ns), idp, binding)
	door := newDoor(t, o)
	await(t, idp, "Ready", isTrue, "Serving")

	change(t, idp, func() { idp.Spec.SAML.Metadata = fromURL })
	mustContain(t, await(t, idp, "MetadataFresh", isFalse, "EntityIDChanged"), server.url("acme"), "set spec.saml.metadata.entityID: "+other.EntityID)
	door.signsIn(t, "while the URL has another entity", "acme", now)
	server.play("acme", answer(string(now.Metadata())))
	refresh(t, idp, "mended")
	await(t, idp, "MetadataFresh", isTrue, "Fresh")
	door.signsIn(t, "by URL", "acme", now)
	// The copy that is kept is lost while the operator is away, and the server says something else: what the pods have is the memory.
	o.stop()
	remove(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "sallyport-metadata-acme"}})
	server.play("acme", answer(string(other.Metadata())))
	o.start()
	await(t, idp, "MetadataFresh", isFalse, "EntityIDChanged")
	door.signsIn(t, "after the copy was lost", "acme", now)

	server.play("moved", answer(string(other.Metadata())))
	change(t, idp, func() { idp.Spec.SAML.Metadata.URL = v1alpha1.HTTPSURL(server.url("moved")) })
	mustContain(t, await(t, idp, "MetadataFresh", isFalse, "EntityIDChanged"), server.url("moved"))
	door.signsIn(t, "while another URL has another entity", "acme", now)

	change(t, idp, func() {
		idp.Spec.SAML.Metadata = v1alpha1.MetadataSource{Manual: &v1alpha1.ManualTrust{EntityID: v1alpha1.EntityID(other.EntityID), SSOURL: v1alpha1.HTTPSURL(other.SSOURL),
			Certificates: []string{pemOf(other.Certificate)}}}
	})
	await(t, idp, "Ready", isTrue, "Serving")
	door.signsIn(t, "by hand", "acme", other)
	if !strings.Contains(idp.Status.EntityID, "other") {
		t.Errorf("status shows %s", idp.Status.EntityID)
	}
}
