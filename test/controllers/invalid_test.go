package controllers

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/test/internal/crdcases"
)

// badEdit is what the API server takes and the operator cannot use: an edit of an object that was served.
type badEdit struct {
	object client.Object
	make   func()
	// reason is of the condition that says what is wrong; says is in its message: the field, and what to do.
	reason string
	says   []string
	// closed says that nobody signs in by it meanwhile; else what was good before is served on.
	closed bool
}

// servedText is what pods serve of everything, as text, without the generations, which count the edits.
func servedText(t testing.TB, ns string) (parts map[string]string) {
	t.Helper()
	s, err := tryServed(t, ns)
	if err != nil {
		return nil
	}
	parts = map[string]string{}
	add := func(name string, part any) {
		text, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		parts[name] = regexp.MustCompile(`(?i)"(mapping)?generation":\d+`).ReplaceAllString(string(text), "")
	}
	for _, c := range s.Connections {
		add("IdentityProvider "+c.Name, c)
	}
	for _, d := range s.Domains {
		add("DomainBinding "+d.Domain, d)
	}
	add("ServiceProvider", s.ServiceProvider)
	return parts
}

func badEdits(t testing.TB, ns string) map[string]badEdit {
	named := func(name string) (*v1alpha1.IdentityProvider, *v1alpha1.AttributeMapping) {
		return identityProvider(ns, name, v1alpha1.MetadataSource{Inline: idpMetadata(t, "https://"+name+".example.com/")}), attributeMapping(ns, name, name)
	}
	all := map[string]badEdit{}
	idp := func(name, reason string, says []string, edit func(spec *v1alpha1.IdentityProviderSpec)) {
		object, _ := named(name)
		all[name] = badEdit{object: object, reason: reason, says: says, make: func() { edit(&object.Spec) }}
	}
	idp("not-xml", "InvalidMetadata", []string{"metadata"}, func(s *v1alpha1.IdentityProviderSpec) { s.SAML.Metadata.Inline = "not metadata at all" })
	idp("no-idp", "InvalidMetadata", []string{"IDPSSODescriptor"}, func(s *v1alpha1.IdentityProviderSpec) {
		s.SAML.Metadata.Inline = strings.ReplaceAll(s.SAML.Metadata.Inline, "IDPSSODescriptor", "SPSSODescriptor")
	})
	idp("cut-off", "InvalidMetadata", []string{"breaks off"}, func(s *v1alpha1.IdentityProviderSpec) { s.SAML.Metadata.Inline = s.SAML.Metadata.Inline[:400] })
	idp("no-map", "ReferenceNotFound", []string{"spec.saml.metadata.fromConfigMap", "okta-metadata"}, func(s *v1alpha1.IdentityProviderSpec) {
		s.SAML.Metadata = v1alpha1.MetadataSource{FromConfigMap: &v1alpha1.ConfigMapKeyReference{Name: "okta-metadata"}}
	})
	idp("no-key", "ReferenceNotFound", []string{"spec.saml.metadata.fromSecret", "key"}, func(s *v1alpha1.IdentityProviderSpec) {
		s.SAML.Metadata = v1alpha1.MetadataSource{FromSecret: &v1alpha1.SecretKeyReference{Name: "empty"}}
	})
	idp("no-pair", "ReferenceNotFound", []string{"spec.saml.keys.secretRef"}, func(s *v1alpha1.IdentityProviderSpec) {
		s.SAML.Keys.SecretRef = &v1alpha1.KeyPairReference{Name: "nobody"}
	})
	idp("bad-pem", "InvalidCertificate", []string{"spec.saml.metadata.signatureCertificate"}, func(s *v1alpha1.IdentityProviderSpec) {
		s.SAML.Metadata.SignatureCertificate = &v1alpha1.SecretSource{SecretRef: v1alpha1.SecretKeyReference{Name: "garbage", Key: "cert"}}
	})
	idp("not-signed", "SignatureInvalid", []string{"sign"}, func(s *v1alpha1.IdentityProviderSpec) {
		s.SAML.Metadata.SignatureCertificate = &v1alpha1.SecretSource{SecretRef: v1alpha1.SecretKeyReference{Name: "garbage", Key: "good"}}
	})
	idp("other-idp", "EntityIDChanged", []string{"https://evil.example.com/"}, func(s *v1alpha1.IdentityProviderSpec) {
		s.SAML.Metadata.Inline = idpMetadata(t, "https://evil.example.com/")
	})
	mapping := func(name, reason string, says []string, edit func(spec *v1alpha1.AttributeMappingSpec)) {
		_, object := named(name)
		all[name] = badEdit{object: object, reason: reason, says: says, make: func() { edit(&object.Spec) }}
	}
	mapping("no-cel", "InvalidRule", []string{"rules[0].when"}, func(s *v1alpha1.AttributeMappingSpec) {
		s.Rules = []v1alpha1.GroupRule{{When: "'ML' in", AddGroups: []v1alpha1.Group{"ml"}}}
	})
	mapping("no-attribute", "UnknownProfileAttribute", []string{"spec.profile", "costCentre"}, func(s *v1alpha1.AttributeMappingSpec) {
		s.Profile = []v1alpha1.ProfileSource{{Attribute: "costCentre", From: []v1alpha1.AttributeSource{{Name: "cc"}}}}
	})
	mapping("no-example", "ExampleFailed", []string{"examples[0]"}, func(s *v1alpha1.AttributeMappingSpec) { s.Email.From[0].Name = "mail" })
	_, lost := named("lost")
	all["lost"] = badEdit{object: lost, reason: "IdentityProviderNotFound", says: []string{"identityProviderRef"}, make: func() { lost.Spec.IdentityProviderRef.Name = "nobody" }, closed: true}
	held := domainBinding(ns, "held", "held.example", "held")
	all["held"] = badEdit{object: held, reason: "IdentityProviderNotFound", says: []string{"identityProviderRef"}, make: func() { held.Spec.IdentityProviderRef.Name = "nobody" }, closed: true}
	return all
}

// TestEveryMistakeAndItsCorrection: objects that are served get an edit that is wrong. What the API server refuses changes nothing. What it takes is said, with the field, in
// a condition of the object; it takes no other object down, and what was good before is served on, unless that would let in whom it should not. The correction makes
// everything as it was.
func TestEveryMistakeAndItsCorrection(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	newOperator(t, ns)
	create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "empty"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "garbage"}, Data: map[string][]byte{"cert": []byte("no certificate"), "good": []byte(certificatePEM(t))}})
	sp, all := serviceProvider(ns), badEdits(t, ns)
	create(t, sp)
	var idps []*v1alpha1.IdentityProvider
	for _, name := range slices.Sorted(maps.Keys(all)) {
		m := all[name]
		idp, itself := m.object.(*v1alpha1.IdentityProvider)
		if !itself {
			idp = identityProvider(ns, name, v1alpha1.MetadataSource{Inline: idpMetadata(t, "https://"+name+".example.com/")})
			create(t, m.object)
		}
		create(t, idp)
		idps = append(idps, idp)
	}
	newPod(t, ns, "main")
	wellAll := func() {
		t.Helper()
		for _, m := range all {
			await(t, m.object, "Ready", isTrue, "Serving")
		}
		for _, idp := range idps {
			await(t, idp, "Ready", isTrue, "Serving") // with its keys
		}
		await(t, sp, "Ready", isTrue, "Serving")
	}
	wellAll()
	good := servedText(t, ns)

	refuseAll(t, ns, all["held"].object, sp)
	before := map[string]client.Object{}
	for name, m := range all {
		before[name] = m.object.DeepCopyObject().(client.Object)
		eventually(t, name+" is edited", func() bool {
			read(t, m.object)
			m.make()
			return k8s.Update(t.Context(), m.object) == nil
		})
	}
	for name, m := range all {
		awaitProblem(t, name, m)
	}
	eventually(t, "what was good before is served", func() bool {
		now := servedText(t, ns)
		for name, m := range all {
			if !m.closed && now["IdentityProvider "+name] != good["IdentityProvider "+name] {
				return false
			}
		}
		return now["ServiceProvider"] == good["ServiceProvider"] && now["DomainBinding held.example"] != good["DomainBinding held.example"]
	})
	await(t, sp, "Ready", isTrue, "Serving")
	for name, m := range all {
		eventually(t, name+" is corrected", func() bool {
			read(t, m.object)
			corrected := before[name].DeepCopyObject().(client.Object)
			corrected.SetResourceVersion(m.object.GetResourceVersion())
			return k8s.Update(t.Context(), corrected) == nil
		})
	}
	wellAll()
	var now map[string]string
	t.Cleanup(func() {
		for part, was := range good {
			if t.Failed() && now != nil && now[part] != was {
				t.Logf("%s was served as\n%s\nand is\n%s", part, was, now[part])
			}
		}
	})
	eventually(t, "everything is served as it was", func() bool { now = servedText(t, ns); return maps.Equal(now, good) })
}

// awaitProblem waits until a condition of the object says what is wrong, of this edit.
func awaitProblem(t testing.TB, name string, m badEdit) {
	t.Helper()
	var last []metav1.Condition
	says := func(c metav1.Condition) bool {
		return c.Status == isFalse && c.Reason == m.reason && c.ObservedGeneration == m.object.GetGeneration() &&
			!slices.ContainsFunc(m.says, func(part string) bool { return !strings.Contains(c.Message, part) })
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		read(t, m.object)
		if last = conditionsOf(t, m.object); slices.ContainsFunc(last, says) {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: no condition says %s with %q: %+v", name, m.reason, m.says, last)
			return
		}
	}
}

// refusedAtLeast is how many edits docs/reliability.md says are refused.
const refusedAtLeast = 190

// refuseAll makes every edit that the API server refuses to objects that are served.
func refuseAll(t testing.TB, ns string, binding client.Object, sp *v1alpha1.ServiceProvider) {
	t.Helper()
	live := map[string]client.Object{"ServiceProvider": sp, "DomainBinding": binding, "IdentityProvider": identityProvider(ns, "no-cel", v1alpha1.MetadataSource{}), "AttributeMapping": attributeMapping(ns, "no-cel", "")}
	refused := 0
	for kind, object := range live {
		read(t, object)
		content, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range crdcases.All() {
			if c.Kind != kind || c.Message == "" || !strings.HasPrefix(c.Path, "spec") {
				continue
			}
			edited := &unstructured.Unstructured{}
			if err := json.Unmarshal(content, &edited.Object); err != nil {
				t.Fatal(err)
			}
			edited.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
			crdcases.Set(t, edited, c.Path, c.Value)
			if err := k8s.Update(t.Context(), edited); !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
				t.Errorf("%s %s=%s was not refused: %v", kind, c.Path, c.Value, err)
			}
			refused++
		}
		generation := object.GetGeneration()
		if read(t, object); object.GetGeneration() != generation || !isReady(t, object) {
			t.Errorf("what was refused has changed %s %s", kind, object.GetName())
		}
	}
	if refused < refusedAtLeast {
		t.Errorf("only %d edits were refused: this part of the test looks at too little", refused)
	}
	t.Logf("%d edits were refused", refused)
}
